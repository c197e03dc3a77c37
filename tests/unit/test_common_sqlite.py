"""Copies of SQLite databases are whole while somebody writes to them, and can be put back."""

from __future__ import annotations

import inspect
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import sqlite
from ansible_collections.groundwork.flask.tests.unit.backup_host import database


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_copy_is_consistent_under_a_writer(tmp_path: Path, journal_mode: str) -> None:
    """Each transaction moves 1 from one account to the other: a torn copy has another sum."""
    path = tmp_path / "odd name?#\n.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"PRAGMA journal_mode = {journal_mode}")
        made.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount)")
        made.execute("CREATE TABLE ballast (x)")
        made.executemany("INSERT INTO account VALUES (?, 1000)", [(1,), (2,)])
        made.executemany("INSERT INTO ballast VALUES (?)", [("x" * 500,) for _turn in range(2000)])
        made.commit()
    ended = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as writer:
            while not ended.wait(0.002):
                writer.execute("BEGIN IMMEDIATE")
                writer.execute("UPDATE account SET amount = amount - 1 WHERE id = 1")
                writer.execute("UPDATE account SET amount = amount + 1 WHERE id = 2")
                writer.execute("COMMIT")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3):
            copy = tmp_path / f"copy-{number}"
            assert sqlite.copy_database(str(path), str(copy)) == {"journal_mode": journal_mode}
            with closing(sqlite3.connect(copy)) as copied:
                assert copied.execute("SELECT sum(amount) FROM account").fetchone() == (2000,)
                assert copied.execute("PRAGMA journal_mode").fetchone() == (journal_mode,)
    finally:
        ended.set()
        thread.join()


def test_what_is_only_in_the_log_is_copied(tmp_path: Path) -> None:
    database(tmp_path / "app.db", rows=0)
    with closing(sqlite3.connect(tmp_path / "app.db")) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        sqlite.copy_database(str(tmp_path / "app.db"), str(tmp_path / "copy"))
    with closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_database_that_needs_an_unknown_extension_is_copied_page_by_page(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as made:
        made.create_collation("house", lambda a, b: (a > b) - (a < b))
        made.execute("CREATE TABLE t (x TEXT COLLATE house UNIQUE)")
        made.executemany("INSERT INTO t VALUES (?)", [("b",), ("a",)])
        made.commit()
    outcome = sqlite.copy_database(str(tmp_path / "app.db"), str(tmp_path / "copy"))
    with closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT count(*) FROM t NOT INDEXED").fetchone() == (2,), outcome


class TestSaving:
    """The commands of the engine, with real databases, in a process of its own as the engine runs it."""

    @pytest.fixture
    def shop(self, tmp_path: Path) -> Iterator[sqlite3.Connection]:
        """An app that has its database open in WAL mode, with rows that are in the log alone."""
        (tmp_path / "data/deep").mkdir(parents=True)
        (tmp_path / "saved").mkdir()
        with closing(sqlite3.connect(tmp_path / "data/deep/shop.sqlite")) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            with connection:
                connection.execute("CREATE TABLE orders (number)")
                connection.execute("INSERT INTO orders VALUES (1)")
            yield connection

    def run(self, verb: str, directory: Path) -> subprocess.CompletedProcess[str]:
        command = (sys.executable, "-c", inspect.getsource(sqlite), verb)
        stamp = [] if verb == "save" else ["20261123-120000"]
        return subprocess.run(
            (*command, str(directory / "data"), str(directory / "saved"), *stamp),
            capture_output=True,
            text=True,
            check=False,
        )

    def orders(self, path: Path) -> list[int]:
        with closing(sqlite3.connect(path)) as connection:
            return [row[0] for row in connection.execute("SELECT number FROM orders ORDER BY number")]

    def test_saved_and_restored(self, tmp_path: Path, shop: sqlite3.Connection) -> None:
        path = tmp_path / "data/deep/shop.sqlite"
        (tmp_path / "data/upload.txt").write_text("no database")
        (tmp_path / "data/empty.db").touch()
        (tmp_path / "data/link.db").symlink_to(path)
        shop.execute("INSERT INTO orders VALUES (99)")  # not committed, so no part of a copy
        done = self.run("save", tmp_path)
        assert (done.returncode, done.stdout) == (0, f"saved {path}\n")
        assert [str(copy.relative_to(tmp_path / "saved")) for copy in sqlite.databases(tmp_path / "saved")] == [
            "deep/shop.sqlite"
        ]
        assert self.orders(tmp_path / "saved/deep/shop.sqlite") == [1]
        shop.commit()
        with shop:
            shop.execute("INSERT INTO orders VALUES (2)")
        log = path.with_name("shop.sqlite-wal")
        assert log.stat().st_size > 0
        done = self.run("restore", tmp_path)
        assert (done.returncode, done.stdout) == (0, f"restored {path}\n")
        assert self.orders(path) == [1]
        kept = [entry for entry in path.parent.iterdir() if ".before-rollback-" in entry.name]
        (before,) = [entry for entry in kept if not entry.name.endswith(("-wal", "-shm"))]
        assert self.orders(before) == [1, 2, 99], "its log has moved with it"

    def test_a_restore_can_be_undone(self, tmp_path: Path, shop: sqlite3.Connection) -> None:
        path = tmp_path / "data/deep/shop.sqlite"
        self.run("save", tmp_path)
        with shop:
            shop.execute("INSERT INTO orders VALUES (2)")
        self.run("restore", tmp_path)
        done = self.run("undo", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert self.orders(path) == [1, 2]
        assert [entry for entry in path.parent.iterdir() if ".before-rollback-" in entry.name] == []

    @pytest.mark.usefixtures("shop")
    def test_what_a_rollback_put_aside_is_not_saved_again(self, tmp_path: Path) -> None:
        self.run("save", tmp_path)
        self.run("restore", tmp_path)
        assert len(list(sqlite.databases(tmp_path / "data"))) == 1

    def test_without_a_data_directory(self, tmp_path: Path) -> None:
        (tmp_path / "saved").mkdir()
        assert self.run("save", tmp_path).returncode == 0

    @pytest.mark.usefixtures("shop")
    def test_a_broken_database_stops_it(self, tmp_path: Path) -> None:
        (tmp_path / "data/broken.db").write_bytes(sqlite.MAGIC + b"x" * 5000)
        done = self.run("save", tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("DatabaseError: ")
        assert "Traceback" not in done.stderr

    @pytest.mark.usefixtures("shop")
    def test_no_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Usage:
            free = 100

        monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage)
        with pytest.raises(SystemExit, match=r"the databases have \d+ MB, and 0 MB are free: make room"):
            sqlite.save(tmp_path / "data", tmp_path / "saved")
        assert list((tmp_path / "saved").iterdir()) == []
