"""Counts in SQLite, says which release and process answered and what it saw; answers slowly or in parts if asked."""

from __future__ import annotations

import getpass
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

from flask import Flask, Response, request

VERSION = "v1"
DATABASE = os.environ["DATA_DIR"] + "/shop.sqlite3"


def connect() -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(DATABASE, timeout=10, isolation_level=None))


def answer(**more: object) -> dict[str, object]:
    return {"release": os.environ["RELEASE"], "version": VERSION, "pid": os.getpid(), **more}


def create_app(currency: str) -> Flask:
    app = Flask(__name__)

    with connect() as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS hits (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL)")
        db.execute("INSERT OR IGNORE INTO hits VALUES (1, 0)")

    @app.get("/")
    @app.get("/healthz")
    def index() -> dict[str, object]:
        return answer()

    @app.get("/seen")
    def seen() -> dict[str, object]:
        return answer(
            user=getpass.getuser(),
            currency=currency,
            client=request.remote_addr,
            url=request.url,
            secure=request.is_secure,
            root=request.script_root,
            ours=[name for name, _value in request.headers if name.startswith("X-Groundwork")],
        )

    @app.get("/path/<path:rest>")
    def path(rest: str) -> dict[str, object]:
        return answer(rest=rest, client=request.remote_addr, secure=request.is_secure, host=request.host)

    @app.post("/keep/<name>")
    def keep(name: str) -> dict[str, object]:
        """Store an upload, or a link to what the query names."""
        place = os.path.join(os.environ["DATA_DIR"], "uploads/public", name)
        if target := request.args.get("symlink"):
            os.symlink(target, place)
        elif target := request.args.get("hardlink"):
            os.link(target, place)
        else:
            request.files["file"].save(place)
        return answer()

    @app.get("/count")
    def count() -> dict[str, object]:
        with connect() as db:
            return answer(count=db.execute("SELECT count FROM hits").fetchone()[0])

    @app.post("/hit")
    def hit() -> dict[str, object]:
        """Count one more; each answer has a number of its own."""
        with connect() as db:
            db.execute("PRAGMA synchronous = NORMAL")
            (number,) = db.execute("UPDATE hits SET count = count + 1 RETURNING count").fetchone()
        return answer(count=number)

    @app.route("/wait/<float:seconds>", methods=["GET", "POST"])
    def wait(seconds: float) -> dict[str, object]:
        time.sleep(min(seconds, 10))
        return answer(body=len(request.get_data()))

    @app.post("/upload")
    def upload() -> dict[str, object]:
        return answer(sha256=hashlib.sha256(request.get_data()).hexdigest())

    @app.get("/stream")
    def stream() -> Response:
        """Five parts; after the first, whoever has read it is to count one more, or there are no others."""

        def hits() -> int:
            with connect() as db:
                return int(db.execute("SELECT count FROM hits").fetchone()[0])

        def parts() -> Iterator[str]:
            before = hits()
            yield "part 0\n"
            until = time.monotonic() + 20
            while hits() == before:
                if time.monotonic() > until:
                    return
                time.sleep(0.05)
            yield from (f"part {number}\n" for number in range(1, 5))

        return Response(parts(), mimetype="text/plain", headers={"X-Accel-Buffering": "no"})

    return app
