"""Databases are found by their content, and copied whole by processes of their owners."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import databases, steps
from ansible_collections.groundwork.flask.plugins.module_utils.backup.databases import find_database
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.common import sqlite, trees
from ansible_collections.groundwork.flask.tests.unit.backup_host import as_root, database, staged

UTILS = Path(__file__).parents[2] / "plugins" / "module_utils"


def test_a_database_is_known_by_its_content(tmp_path: Path) -> None:
    database(tmp_path / "photo.jpg")
    (tmp_path / "app.db").write_text("not one")
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "photo.jpg")
    found = [find_database(item) for item in trees.Walk([str(tmp_path)])]
    assert [database.path for database in found if database] == [str(tmp_path / "photo.jpg")]


def test_a_copy_keeps_owner_mode_and_time(scene: SimpleNamespace) -> None:
    path = scene.data / "app.db"
    database(path)
    path.chmod(0o640)
    os.utime(path, (1, 1))
    stage, manifest = staged(scene)
    (record,) = manifest["databases"]
    copy = stage.directory / record["copy"]
    found = copy.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_mtime) == (0o640, path.stat().st_uid, 1)
    assert record["sha256"] == hashlib.sha256(copy.read_bytes()).hexdigest()
    assert record["path"] == str(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can copy as somebody else")
def test_a_copy_is_made_with_the_rights_of_the_owner(scene: SimpleNamespace) -> None:
    """A database of nobody's in a directory of root's: nobody cannot get at it, so it is not copied for nobody."""
    scene.data.chmod(0o700)
    database(scene.data / "app.db", journal_mode="delete")
    os.chown(scene.data / "app.db", 65534, 65534)
    with pytest.raises(BackupError, match=r"app\.db could not be copied"):
        staged(scene)


@as_root
@pytest.mark.parametrize("left", ["link", "hard link", "directory", "another's file", "too long", "nothing"])
def test_what_a_copier_leaves_is_taken_for_what_it_is(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """The copier has read what an app wrote; it may be the app's by then."""
    os.chown(scene.data, 65534, 65534)
    database(scene.data / "app.db")
    (scene.path / "secret").write_text("foreign")

    def hostile(_argv: Any, sandbox: list[tuple[str, str]], *_rest: Any) -> tuple[int, str]:
        copy = Path(dict(sandbox)["BindPaths"]) / "0"
        if left == "link":
            copy.symlink_to(scene.path / "secret")
        elif left == "hard link":
            copy.hardlink_to(scene.path / "secret")
        elif left == "directory":
            copy.mkdir()
        elif left != "nothing":
            copy.touch()
            os.chown(copy, *((0, 0) if left == "another's file" else (65534, 65534)))
            os.truncate(copy, (1 << 30) if left == "too long" else 1)
        return 0, '{"number": 0, "journal_mode": "wal"}\n{"number": "x"}\n\x1b[2J\n[]'

    monkeypatch.setattr(steps, "in_unit", hostile)
    with pytest.raises(BackupError, match=r"app\.db could not be copied: the copying process left"):
        staged(scene)


@as_root
def test_databases_of_an_app_are_copied_as_the_app(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the file: in the app's directory a path leads where the app likes."""
    os.chown(scene.data, 65534, 65534)
    for name, uid in (("app.db", 65534), ("roots.db", 0), ("daemons.db", 1)):
        database(scene.data / name)
        os.chown(scene.data / name, uid, uid)
    started = []

    def unit(_argv: Any, sandbox: list[tuple[str, str]], *_rest: Any) -> tuple[int, str]:
        started.append(dict(sandbox))
        return 0, ""

    monkeypatch.setattr(steps, "in_unit", unit)
    with pytest.raises(BackupError, match="ended without an answer"):
        staged(scene)
    (sandbox,) = started
    assert sandbox["User"] == "nobody"
    assert (sandbox["NoNewPrivileges"], sandbox["CapabilityBoundingSet"], sandbox["ProtectSystem"]) == (
        "yes",
        "",
        "strict",
    )
    assert sandbox["PrivateNetwork"] == "yes"


def test_both_programs_know_a_database_by_the_same_signs() -> None:
    assert (databases.SQLITE_MAGIC, databases.SIDECARS) == (sqlite.MAGIC, sqlite.SIDECARS)
    assert databases.COPIER.samefile(sqlite.__file__)


def test_root_s_program_opens_no_database() -> None:
    files = [path for package in ("backup", "common") for path in (UTILS / package).glob("*.py")]
    assert [path.name for path in files if "import sqlite3" in path.read_text()] == ["sqlite.py"]
    assert [path.name for path in files if re.search("import .*sqlite", path.read_text())] == ["sqlite.py"]
