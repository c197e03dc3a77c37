"""An app that stands on nothing: what the others have beside their web server, it has not."""

from __future__ import annotations

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> dict[str, str]:
    """The names of the variables that lead to a service, with their values."""
    return {name: value for name, value in os.environ.items() if "REDIS" in name or "DATABASE" in name}
