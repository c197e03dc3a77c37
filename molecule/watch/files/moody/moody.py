"""An app that answers as a test tells it: with the status in a file of its data directory, 200 without one."""

import logging
import os
import pathlib

from flask import Flask

app = Flask(__name__)
TOLD = pathlib.Path(os.environ["DATA_DIR"], "answer")


@app.get("/")
def answer() -> tuple[str, int]:
    """Answer as told."""
    return "moody\n", int(TOLD.read_text()) if TOLD.exists() else 200


@app.get("/log/<level>/<message>")
def log(level: str, message: str) -> str:
    """Log a message with a level of Python's logging."""
    app.logger.log(logging.getLevelNamesMapping()[level.upper()], message)
    return "logged\n"


@app.get("/broken")
def broken() -> str:
    """Fail as an untouched app does."""
    secret = "canary-of-a-local-variable"  # noqa: F841 - what must not reach an error tracker
    raise ZeroDivisionError("moody")
