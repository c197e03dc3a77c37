"""Tally: a page with a button, and how often it was pressed.

The count is in an SQLite file in the directory that DATA_DIR names, or else in Flask's instance folder.
Some routes do what real apps do now and then: answer slowly, answer in pieces, fail.
"""

from __future__ import annotations

import os
import pwd
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from flask import Flask, Response, abort, jsonify, redirect, render_template_string, request, url_for
from flask.typing import ResponseReturnValue

SLOWEST = 10.0  # seconds
MOST_LINES = 100

PAGE = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Tally: {{ count }}</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="{{ url_for('static', filename='style.css') }}">
</head>
<body>
  <main>
    <h1>Tally</h1>
    <p class="count">{{ "{:,}".format(count) }}</p>
    <form method="post" action="{{ url_for('hit') }}"><button>Count one more</button></form>
  </main>
</body>
</html>
"""

app = Flask(__name__)
DATABASE = Path(os.environ.get("DATA_DIR") or app.instance_path).absolute() / "tally.sqlite3"


def connect() -> closing[sqlite3.Connection]:
    """Open the database: for one ``with`` block, every statement for itself, waiting up to 10 s for others."""
    return closing(sqlite3.connect(DATABASE, timeout=10, isolation_level=None))


def make_table() -> None:
    """Make the table and its only row, unless they are there."""
    DATABASE.parent.mkdir(parents=True, exist_ok=True)
    with connect() as db:
        db.execute("CREATE TABLE IF NOT EXISTS tally (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL)")
        db.execute("INSERT OR IGNORE INTO tally (id, count) VALUES (1, 0)")


make_table()


@app.get("/")
def index() -> str:
    """The page."""
    with connect() as db:
        (count,) = db.execute("SELECT count FROM tally").fetchone()
    return render_template_string(PAGE, count=count)


@app.post("/hit")
def hit() -> ResponseReturnValue:
    """Count one more. A browser is sent back to the page, others get the new count as JSON."""
    with connect() as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE tally SET count = count + 1")
        (count,) = db.execute("SELECT count FROM tally").fetchone()
        db.execute("COMMIT")
    if "text/html" in request.headers.get("Accept", ""):
        return redirect(url_for("index"), 303)
    return jsonify(count=count)


@app.get("/slow")
def slow() -> Response:
    """Answer after ``?seconds=`` (0 to 10, default 1)."""
    try:
        seconds = float(request.args.get("seconds", "1"))
    except ValueError:
        abort(400, "seconds is a number.")
    if not 0 <= seconds <= SLOWEST:
        abort(400, f"seconds is between 0 and {SLOWEST:g}.")
    time.sleep(seconds)
    return jsonify(slept=seconds)


@app.get("/stream")
def stream() -> Response:
    """Answer in ``?lines=`` lines (1 to 100, default 10), one every 0.1 s."""
    lines = min(max(request.args.get("lines", 10, type=int), 1), MOST_LINES)

    def generate() -> Iterator[str]:
        for number in range(1, lines + 1):
            yield f"line {number} of {lines}\n"
            if number < lines:
                time.sleep(0.1)

    # The header asks a proxy to pass every line on at once.
    return Response(generate(), mimetype="text/plain", headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"})


@app.get("/fail")
def fail() -> str:
    """Fail, so that the log and the error page can be looked at."""
    raise RuntimeError("This failure is deliberate: someone asked for /fail")


@app.get("/whoami")
def whoami() -> Response:
    """A diagnostic page: what the server knows of this very connection, and which process answered."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    response = jsonify(
        about="A diagnostic page: what this server knows of your connection, and which process answered.",
        remote_addr=request.remote_addr,
        scheme=request.scheme,
        url=request.url,
        host=request.host,
        pid=os.getpid(),
        user=user,
    )
    response.headers["Cache-Control"] = "no-store"
    return response
