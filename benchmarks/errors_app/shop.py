"""An app that takes as long as one that queries and renders does, and one that fails after the same."""

import hashlib
import time

from flask import Flask

app = Flask(__name__)
WORK_SECONDS = 0.010  # of processor time


@app.get("/")
def work() -> str:
    """Answer after some work."""
    end, found = time.thread_time() + WORK_SECONDS, b""
    while time.thread_time() < end:
        found = hashlib.sha256(found).digest()
    return found.hex()


@app.get("/fail")
def fail() -> str:
    """Fail after some work."""
    raise ValueError(work())
