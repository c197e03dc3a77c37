"""What goes into a snapshot, and what is left out of it, whatever an app's data is like."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import stage
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet
from ansible_collections.groundwork.flask.plugins.module_utils.backup.databases import SQLITE_MAGIC, find_database
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.stage import Stage, as_pattern
from ansible_collections.groundwork.flask.tests.unit.backup_host import as_root, damaged, database, deep, staged


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/a*b/[c]?/d\\e", "/a\\*b/\\[c]\\?/d\\\\e"),
        ("/$HOME/a$$", "/$$HOME/a$$$$"),
        ("/a\nb", "/a[\t-\v]b"),
        ("/a  ", "/a [ ]"),
        ("/a\r", "/a[\r]"),
        ("/a\n", "/a[\t-\v]"),
        ("/ a#!", "/ a#!"),
    ],
)
def test_a_path_is_escaped_as_a_line_of_patterns(path: str, pattern: str) -> None:
    assert as_pattern(path) == pattern


def test_the_stage_holds_copies_and_a_manifest(scene: SimpleNamespace) -> None:
    database(scene.data / "app.db")
    damaged(scene.data / "upload")
    (scene.path / "outside").mkdir()
    database(scene.path / "outside" / "more.db")
    item = BackupSet(
        "shop",
        (str(scene.data), str(scene.data / "sub"), str(scene.path / "link")),
        (str(scene.path / "outside/more.db"),),
    )
    (scene.data / "sub").mkdir()
    (scene.path / "link").symlink_to(scene.data)
    stage = Stage(scene.config(item), item)
    stage.fill(60)
    manifest = json.loads((stage.directory / "manifest.json").read_text())
    assert manifest["paths"] == [str(scene.data)] == stage.paths
    assert [entry["path"] for entry in manifest["databases"]] == [
        str(scene.data / "app.db"),
        str(scene.path / "outside/more.db"),
    ]
    assert {str(scene.data / f"app.db{suffix}") for suffix in ("", "-wal", "-shm", "-journal")} <= set(stage.excluded)
    assert str(scene.data / "upload") not in stage.excluded
    assert [warning.split(" is damaged")[0] for warning in stage.warnings] == [str(scene.data / "upload")]


@pytest.mark.parametrize(
    ("paths", "databases", "message"),
    [
        (("data", "gone"), (), "gone is not there. Correct the paths of the backup set shop."),
        (("data",), ("gone.db",), "gone.db is not an SQLite database, or not there"),
        (("data",), ("data/broken.db",), "broken.db could not be copied"),
    ],
)
def test_the_stage_refuses(
    scene: SimpleNamespace, paths: tuple[str, ...], databases: tuple[str, ...], message: str
) -> None:
    damaged(scene.data / "broken.db")
    item = BackupSet(
        "shop", tuple(str(scene.path / path) for path in paths), tuple(str(scene.path / path) for path in databases)
    )
    with pytest.raises(BackupError, match=re.escape(message)):
        Stage(scene.config(item), item).fill(60)


def test_what_cannot_be_saved_is_left_out_and_named(scene: SimpleNamespace) -> None:
    """Sparse beyond the disk, too deep, no file at all: none of it stops the set."""
    for name, start in (("sparse", b""), ("sparse.db", SQLITE_MAGIC)):
        with (scene.data / name).open("wb") as stream:
            stream.write(start)
            stream.truncate(4 << 40)
    os.mkfifo(scene.data / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(scene.data, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    deep(scene.data, 25)
    stage, manifest = staged(scene)
    assert [warning.split(": ")[0] for warning in stage.warnings] == [
        f"{scene.data}/sparse is left out",
        f"{scene.data}/sparse.db is left out",
        "left out, for its path has more than 3500 bytes",
    ]
    assert manifest["databases"] == []
    assert all(len(os.fsencode(path)) < 3800 for path in stage.excluded)
    assert len([path for path in stage.excluded if "ddd" in path]) == 1
    for name in ("fifo", "socket", "note"):
        assert str(scene.data / name) not in stage.excluded


def test_files_that_vanish_stop_nothing(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (scene.data / name).mkdir()
        database(scene.data / name / "app.db")
    find = find_database

    def vanishing(item: Any) -> Any:
        shutil.rmtree(scene.data / "a", ignore_errors=True)
        (scene.data / "b" / "app.db").unlink(missing_ok=True)
        return find(item)

    monkeypatch.setattr(stage, "find_database", vanishing)
    _stage, manifest = staged(scene)
    assert [record["path"] for record in manifest["databases"]] == [str(scene.data / "c" / "app.db")]


@as_root
def test_a_set_s_path_does_not_lead_through_a_link_of_the_app_s(scene: SimpleNamespace) -> None:
    os.chown(scene.data, 65534, 65534)
    (scene.data / "uploads").symlink_to("/etc")
    item = BackupSet("shop", (str(scene.data / "uploads" / "ssh"),))
    with pytest.raises(BackupError, match="others than root can change this link"):
        Stage(scene.config(item), item).fill(60)
