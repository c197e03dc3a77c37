"""Counts in SQLite, and says which release and which version answered."""

import os
import signal
import sqlite3
import time
from contextlib import closing

from flask import Flask

VERSION = "v1"
DATABASE = os.environ["DATA_DIR"] + "/shop.sqlite3"

app = Flask(__name__)


def connect() -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(DATABASE, timeout=60, isolation_level=None))


def answer(**more: int) -> dict[str, object]:
    return {"release": os.environ["RELEASE"], "version": VERSION, **more}


with connect() as db:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE IF NOT EXISTS hits (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL)")
    db.execute("INSERT OR IGNORE INTO hits VALUES (1, 0)")


@app.route("/", methods=["GET", "POST"])
def index() -> dict[str, object]:
    return answer()


@app.post("/hit")
def hit() -> dict[str, object]:
    """Count one more; each answer has a number of its own."""
    with connect() as db:
        db.execute("PRAGMA synchronous = NORMAL")
        (count,) = db.execute("UPDATE hits SET count = count + 1 RETURNING count").fetchone()
    return answer(count=count)


@app.get("/slow")
def slow() -> dict[str, object]:
    time.sleep(5)
    return answer()


@app.get("/stuck")
def stuck() -> dict[str, object]:
    """Never answer: this thread hangs, the others of its worker go on."""
    while True:
        time.sleep(60)


@app.post("/freeze")
def freeze() -> dict[str, object]:
    """Never answer, and stop the whole worker."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return stuck()


@app.get("/healthz")
def health() -> dict[str, object]:
    return answer()


@app.cli.command("release-check")
def release_check() -> None:
    print("release check passed")
