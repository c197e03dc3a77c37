"""A Flask app with Flask-Migrate on PostgreSQL, and SQLite beside it: saved before a migration, put back together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import services
import testing
from stranger import MIGRATIONS, App, project
from testinfra.host import Host
from testing import on_host

DATA = on_host("data", "notes")
SAVED = f"{on_host('state')}/saved/notes"
APP = """
import os, sqlite3
from flask import Flask, request
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SQLALCHEMY_DATABASE_URI"]
db = SQLAlchemy(app)
Migrate(app, db)

@app.get("/")
def index():
    return {"version": "v1"}

@app.route("/notes", methods=["GET", "POST"])
def notes():
    with sqlite3.connect(os.environ["DATA_DIR"] + "/beside.db") as beside:
        beside.execute("CREATE TABLE IF NOT EXISTS note (text)")
        if request.method == "POST":
            given = {"text": request.args["text"]}
            db.session.execute(text("INSERT INTO note (text) VALUES (:text)"), given)
            db.session.commit()
            beside.execute("INSERT INTO note VALUES (:text)", given)
        return {
            "notes": [row[0] for row in db.session.execute(text("SELECT text FROM note ORDER BY id"))],
            "beside": [row[0] for row in beside.execute("SELECT text FROM note")],
        }
"""
FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.create_table(
        "note",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.String(100)),
        sa.Column("colour", sa.String(100), server_default="red"),
    )
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.drop_column("note", "colour")
"""
FAILS = SECOND + '    op.execute("SELECT nonsense")\n'
FILES = {
    "requirements.txt": "flask>=3.1.1\nflask-migrate\nflask-sqlalchemy\n",
    "notes.py": APP,
    "migrations/alembic.ini": "[alembic]\n",
    "migrations/env.py": MIGRATIONS,
    "migrations/versions/first.py": FIRST,
}
# A way back that is killed when it has loaded, or when it has swapped; what the app's command starts is the same.
KILLED = f"""
import os, signal, sys
sys.path.insert(0, "{on_host("packages")}")
from groundwork_release.database.postgresql import PostgreSQL
from groundwork_release.release.command import app_at, engine
from pathlib import Path
swap, when = PostgreSQL.swap, sys.argv[1]
def mortal(self, fresh, kept):
    if when == "after":
        swap(self, fresh, kept)
    os.kill(os.getpid(), signal.SIGKILL)
PostgreSQL.swap = mortal
engine(app_at("notes", Path("/")), "root").roll_back(data="saved")
"""


class Notes(App):
    """The app, and the source that it is deployed from."""

    def __init__(self, host: Host, directory: Path, name: str = "notes", provider: str = "postgresql") -> None:
        self.directory, self.provider = directory, provider
        self.definition: dict[str, Any] = {
            "wsgi_app": "notes:app",
            "release_command": "flask db upgrade",
            "certificate": {"provider": "self_signed"},
            "watch": 0,
            "database": {"provider": provider},
            "domains": [f"{name}.test"],
            "server": {"workers": 1, "threads": 4},
            "health_timeout": 120,
            "skip_checks": ["stable"],
        }
        self.version("v1")
        result = testing.play(host, flask_apps={name: self.definition})
        assert result.returncode == 0, testing.said(result)[-3000:]
        super().__init__(host, name, **self.definition)

    def version(self, version: str, migration: str = "") -> None:
        """Define a version, with a second migration if there is one."""
        driver = "psycopg[binary]" if self.provider == "postgresql" else "pymysql"
        requirements = FILES["requirements.txt"] + driver
        files = {**FILES, "requirements.txt": requirements, "notes.py": APP.replace("v1", version)}
        second = "migrations/versions/second.py"
        (self.directory / second).unlink(missing_ok=True)
        source = project(self.directory, {**files, **({second: migration} if migration else {})})
        self.definition["source"] = source
        if hasattr(self, "options"):
            self.options["source"] = source

    def write(self, text: str) -> None:
        assert self.ask(f"/notes?text={text}", "POST").status == 200

    def both(self) -> tuple[list[str], list[str]]:
        """The notes in PostgreSQL, and those in SQLite."""
        found = self.ask("/notes").json
        return found["notes"], found["beside"]

    def columns(self) -> str:
        query = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'note'::regclass"
        return services.postgresql(self.host, "notes", f"{query} AND attnum > 0 AND NOT attisdropped")

    def databases(self) -> list[str]:
        query = "SELECT datname FROM pg_database WHERE datname LIKE 'notes%' ORDER BY 1"
        return services.superuser(self.host, query).split()

    def back(self) -> str:
        done = self.command("rollback --data saved")
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def notes(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Notes:
    app = Notes(host, tmp_path_factory.mktemp("notes"))
    app.write("first")
    return app


def test_a_migration_that_fails_leaves_everything_as_it_was(notes: Notes) -> None:
    notes.version("v2", FAILS)
    notes.refused("step command", "`flask db upgrade` failed", "nonsense")
    assert notes.both() == (["first"], ["first"])
    assert notes.columns() == "id text colour"


def test_a_dump_that_would_not_fit_is_refused_with_the_numbers(notes: Notes) -> None:
    notes.version("v2", SECOND)
    notes.sh(f"mount -t tmpfs -o size=20m none {SAVED}")
    try:
        notes.refused("step save", "the disk is too full for a dump of the database notes", "20 MB are free")
    finally:
        notes.sh(f"umount {SAVED}")
    assert notes.columns() == "id text colour"


def test_a_migration_that_drops_a_column_is_undone_with_the_saved_data(notes: Notes) -> None:
    notes.version("v2", SECOND)
    first = notes.live
    notes.deploy()
    second = notes.live
    notes.write("second")
    assert notes.columns() == "id text"
    heads = {row["release"]: row["migration_heads"] for row in json.loads(notes.command("releases --json").stdout)}
    assert (heads[first], heads[second]) == (["0001"], ["0002"])
    noted = json.loads(notes.sh(f"cat {SAVED}/{second}.json"))
    assert noted["tables"] == {"public.alembic_version": 1, "public.note": 1}
    assert notes.host.run("setpriv --reuid notes --clear-groups cat %s", f"{SAVED}/{second}.database/dump").rc != 0
    refused = notes.command("rollback")
    assert refused.returncode == 1
    assert "0002" in refused.stderr

    said = notes.back()
    assert (notes.live, notes.both(), notes.columns()) == (first, (["first"], ["first"]), "id text colour")
    own, kept = notes.databases()
    assert own == "notes"
    assert kept.startswith("notes.before_")
    assert f"is kept as {kept}" in said
    assert services.postgresql(notes.host, "notes", "SELECT text FROM note ORDER BY id", kept) == "first\nsecond"
    notes.write("after")
    assert notes.both()[0] == ["first", "after"]
    assert notes.look()["leftovers"] == []


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.full), "after"])
def test_a_kill_at_the_swap_is_healed(notes: Notes, when: str) -> None:
    """Neither the data nor the release are those of the way back, in PostgreSQL and in SQLite alike."""
    notes.version("v2", SECOND)
    notes.deploy()
    second, databases = notes.live, notes.databases()
    notes.write(f"written-{when}")
    before = notes.both()
    assert notes.host.run("python3 -c %s %s", KILLED, when).rc == 137
    assert notes.host.run("systemctl is-active notes@%s.service", second).rc != 0
    assert notes.databases() != databases
    done = notes.command("unlock")
    assert done.returncode == 0, done.stderr
    assert (notes.live, notes.both(), notes.databases()) == (second, before, databases)
    assert notes.ask().json == {"version": "v2"}
    notes.back()


@pytest.mark.full
def test_mariadb_is_saved_and_put_back_the_same_way(host: Host, tmp_path: Path) -> None:
    tunes = Notes(host, tmp_path, "tunes", "mariadb")
    tunes.write("first")
    first = tunes.live
    tunes.version("v2", SECOND)
    tunes.deploy()
    tunes.write("second")
    columns = "SELECT group_concat(column_name) FROM information_schema.columns WHERE table_name = 'note'"
    assert services.mariadb(host, "tunes", f"{columns} AND table_schema = 'tunes'").strip() == "id,text"
    said = tunes.back()
    assert (tunes.live, tunes.both()) == (first, (["first"], ["first"]))
    assert services.mariadb(host, "tunes", f"{columns} AND table_schema = 'tunes'").strip() == "id,text,colour"
    databases = services.mariadb(host, "root", "SHOW DATABASES LIKE 'tunes%'", "mysql").split()
    assert databases[0] == "tunes"
    assert f"is kept as {databases[1]}" in said
    assert services.mariadb(host, "root", "SELECT text FROM note ORDER BY id", databases[1]).split() == [
        "first",
        "second",
    ]


# A CA that the host trusts, its certificate for the name of the database server, and a server that shows it.
TLS = """
set -e
cd /root
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=databases -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=db.test -keyout db.key -out db.csr 2>/dev/null
printf 'subjectAltName=DNS:db.test' > db.ext
openssl x509 -req -in db.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile db.ext -out db.crt 2>/dev/null
cp ca.crt /usr/local/share/ca-certificates/databases.crt
update-ca-certificates >/dev/null
grep -q db.test /etc/hosts || echo '127.0.0.1 db.test other.test' >> /etc/hosts
directory=$(echo /etc/postgresql/*/main)
install -o postgres -m 0600 db.key db.crt $directory
cat > $directory/conf.d/tls.conf <<END
listen_addresses = '127.0.0.1'
ssl = on
ssl_cert_file = '$directory/db.crt'
ssl_key_file = '$directory/db.key'
END
systemctl restart postgresql
"""
PASSWORD = "h0t/p@ss:wörd%"


@pytest.fixture(scope="module")
def managed(notes: Notes) -> Iterator[Notes]:
    """The app, whose database is to be another one."""
    notes.host.check_output("bash -c %s", TLS)
    services.superuser(notes.host, f"CREATE ROLE managed LOGIN PASSWORD '{PASSWORD}'")
    services.superuser(notes.host, "CREATE DATABASE managed OWNER managed")
    notes.secrets["DATABASE_PASSWORD"] = PASSWORD
    notes.version("v3")
    yield notes
    services.superuser(notes.host, "DROP DATABASE managed WITH (FORCE)")
    services.superuser(notes.host, "DROP ROLE managed")


class TestManaged:
    """A database that is reached by TLS and a password, as one of a provider is."""

    def test_a_certificate_for_another_name_is_refused_and_no_message_has_the_password(self, managed: Notes) -> None:
        managed.options["database"] = {"url": "postgresql://managed@other.test/managed"}
        reason = managed.refused("certificate", "other.test")
        assert PASSWORD not in reason
        assert "h0t" not in reason

    @pytest.mark.parametrize("driver", ["psycopg[binary]", pytest.param("psycopg2-binary", marks=pytest.mark.full)])
    def test_the_one_for_its_name_is_accepted(self, managed: Notes, driver: str) -> None:
        managed.options["database"] = {"url": "postgres://managed@db.test/managed"}
        path = managed.directory / "requirements.txt"
        path.write_text(FILES["requirements.txt"] + driver)
        managed.deploy()
        managed.write(driver.partition("[")[0])
        assert managed.both()[0][-1] == driver.partition("[")[0]
        encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'managed'"
        assert services.superuser(managed.host, encrypted) == "t"
        shown = managed.sh(f"cat {on_host('current', 'notes')}/definition.json {on_host('state')}/releases/notes.jsonl")
        assert "h0t" not in shown
