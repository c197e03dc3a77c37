"""A Flask app with Flask-Migrate and SQLite: what is saved before a migration, and what a way back across one asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stranger import MIGRATIONS, App, project
from testinfra.host import Host
from testing import on_host

DATA = on_host("data", "notes")
APP = """
import os
from flask import Flask, request
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///" + os.environ["DATA_DIR"] + "/notes.db"
db = SQLAlchemy(app)
Migrate(app, db)

@app.get("/")
def index():
    return {"version": "v1"}

@app.route("/notes", methods=["GET", "POST"])
def notes():
    if request.method == "POST":
        db.session.execute(text("INSERT INTO note (text) VALUES (:text)"), {"text": request.args["text"]})
        db.session.commit()
    return {"notes": [row[0] for row in db.session.execute(text("SELECT text FROM note ORDER BY id"))]}
"""
FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table("note", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.String))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("note", sa.Column("colour", sa.String))
"""
FILES = {
    "requirements.txt": "flask>=3.1.1\nflask-migrate\nflask-sqlalchemy\n",
    "notes.py": APP,
    "migrations/alembic.ini": "[alembic]\n",
    "migrations/env.py": MIGRATIONS,
    "migrations/versions/first.py": FIRST,
}
QUERY = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall())"


class Notes(App):
    """The app, and the source that it is deployed from."""

    def __init__(self, host: Host, directory: Path) -> None:
        super().__init__(host, "notes", wsgi_app="notes:app", release_command="flask db upgrade")
        self.directory = directory

    def version(self, version: str) -> None:
        """Define v1, or v2, which brings a migration."""
        files = {**FILES, "notes.py": APP.replace("v1", version)}
        second = "migrations/versions/second.py"
        (self.directory / second).unlink(missing_ok=True)
        self.options["source"] = project(self.directory, {**files, **({second: SECOND} if version != "v1" else {})})

    def write(self, text: str) -> None:
        assert self.ask(f"/notes?text={text}", "POST").status == 200

    def notes(self) -> list[str]:
        notes: list[str] = self.ask("/notes").json["notes"]
        return notes

    def query(self, path: str, statement: str) -> str:
        return str(self.host.check_output("python3 -c %s %s %s", QUERY, path, statement))

    def rows(self) -> dict[str, dict[str, Any]]:
        """The releases by id, as the app's command lists them."""
        return {row["release"]: row for row in json.loads(self.command("releases --json").stdout)}


@pytest.fixture(scope="module")
def notes(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Notes:
    app = Notes(host, tmp_path_factory.mktemp("notes"))
    app.version("v1")
    app.deploy()
    app.write("first")
    return app


def test_a_failing_save_stops_the_deploy(notes: Notes) -> None:
    notes.version("v2")
    notes.options["backup"] = {"before": ["echo the store is down; exit 3"]}
    notes.refused("step save", "exit status 3", "the store is down", "flask db upgrade")
    del notes.options["backup"]
    assert notes.query(f"{DATA}/notes.db", "SELECT version_num FROM alembic_version") == "[('0001',)]"
    assert notes.notes() == ["first"]


def test_the_databases_are_saved_before_the_migration(notes: Notes) -> None:
    notes.version("v2")
    first = notes.live
    notes.deploy()
    second = notes.live
    saved = f"{on_host('state')}/saved/notes/{second}/notes.db"
    assert notes.query(saved, "SELECT * FROM note") == "[(1, 'first')]"
    assert notes.query(f"{DATA}/notes.db", "SELECT * FROM note") == "[(1, 'first', None)]"
    assert notes.host.run("setpriv --reuid notes --clear-groups cat %s", saved).rc != 0
    assert {release: row["migration_heads"] for release, row in notes.rows().items() if row["state"] != "bad"} == {
        first: ["0001"],
        second: ["0002"],
    }


def test_a_way_back_across_a_migration_is_refused_until_it_is_chosen(notes: Notes) -> None:
    second = notes.live
    notes.write("second")
    result = notes.command("rollback")
    assert result.returncode == 1
    for words in ("0001", "0002", "--data saved", f"saved/notes/{second}", "--data keep"):
        assert words in result.stderr
    assert notes.live == second
    assert notes.ask().json == {"version": "v2"}

    result = notes.command("rollback --data keep")
    assert result.returncode == 0, result.stderr
    assert notes.ask().json == {"version": "v1"}
    assert notes.notes() == ["first", "second"]


def test_the_saved_copy_can_be_put_back(notes: Notes) -> None:
    notes.version("v2")
    notes.deploy()
    notes.write("third")
    result = notes.command("rollback --data saved")
    assert result.returncode == 0, result.stderr
    assert notes.ask().json == {"version": "v1"}
    assert notes.notes() == ["first"]
    notes.write("after")
    assert notes.notes() == ["first", "after"]
    kept = notes.sh(f"ls {DATA}/notes.db.before-rollback-*").splitlines()[0]
    assert "third" in notes.query(kept, "SELECT text FROM note")


def test_what_was_put_back_is_migrated_again(notes: Notes) -> None:
    notes.version("v2")
    notes.deploy()
    assert notes.ask().json == {"version": "v2"}
    assert notes.query(f"{DATA}/notes.db", "SELECT version_num FROM alembic_version") == "[('0002',)]"
    assert notes.notes() == ["first", "after"]
