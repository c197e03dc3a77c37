"""Restored files come to their places by renames that a crash can interrupt and no link leads away."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.moves import carry_out, copy_into, plan_moves
from ansible_collections.groundwork.flask.plugins.module_utils.common import paths
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.backup_host import as_root

DATA = on_host("data", "shop")


class Crash(BaseException):
    """The power goes."""


def restored(path: Path) -> list[dict[str, str]]:
    """A directory and a database that wait to take the places of others; returns the plan."""
    for place, text in ((path / "live", "live"), (path / "new", "restored")):
        (place / "data").mkdir(parents=True)
        (place / "data" / "file").write_text(text)
        (place / "app.db").write_text(text)
    (path / "live" / "app.db-wal").write_text("live")
    return [
        {
            "new": str(path / "new" / name),
            "path": str(path / "live" / name),
            "old": str(path / "live" / f"{name}.before"),
        }
        for name in ("data", "app.db")
    ]


@pytest.mark.parametrize("recreated", [False, True], ids=["", "and the app makes its directory again"])
@pytest.mark.parametrize("steps", range(6))
def test_a_restore_is_finished_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, recreated: bool
) -> None:
    moves, rename, left = restored(tmp_path), os.rename, [steps]

    def crashing(source: str, target: str, **directories: int) -> None:
        if not left[0]:
            raise Crash
        left[0] -= 1
        rename(source, target, **directories)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", crashing)
        if steps < 5:
            with pytest.raises(Crash):
                carry_out(moves)
        else:
            carry_out(moves)
    if recreated and not (tmp_path / "live" / "data").exists():
        (tmp_path / "live" / "data").mkdir()
    told = carry_out(moves)
    assert (tmp_path / "live/data/file").read_text() == "restored"
    assert (tmp_path / "live/data.before/file").read_text() == "live"
    assert (tmp_path / "live/app.db").read_text() == "restored"
    assert (tmp_path / "live/app.db.before").read_text() == "live"
    assert (tmp_path / "live/app.db.before-wal").read_text() == "live"
    assert not (tmp_path / "live/app.db-wal").exists()
    assert [move["previous"] for move in told] == [move["old"] for move in moves]


def test_a_mount_point_is_not_put_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda _path: True)
    with pytest.raises(BackupError, match=f"{DATA} is a mount point"):
        plan_moves({"paths": [DATA], "target": "/x", "snapshot": "1"}, "now")


def moved(path: Path, place: Path) -> list[dict[str, str]]:
    """A plan that puts a directory in a place."""
    (path / "new").mkdir()
    (path / "new" / "file").write_text("restored")
    return [{"new": str(path / "new"), "path": str(place), "old": f"{place}.before"}]


def test_a_path_that_leads_through_a_link_by_now_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "d").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        carry_out(moved(tmp_path, tmp_path / "app" / "d" / "uploads"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_in_the_place_of_a_path_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "live").symlink_to(tmp_path / "outside")
    carry_out(moved(tmp_path, tmp_path / "live"))
    assert not (tmp_path / "live").is_symlink()
    assert (tmp_path / "live" / "file").read_text() == "restored"
    assert (tmp_path / "live.before").is_symlink()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(("turns", "ok"), [(3, True), (100, False)])
def test_an_app_that_makes_its_directory_anew_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int, ok: bool
) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "file").write_text("live")
    rename, left = os.rename, [turns]

    def racing(source: str, target: str, **directories: int) -> None:
        if source == "new" and left[0]:
            left[0] -= 1
            (tmp_path / "live").mkdir()
            (tmp_path / "live" / "file").write_text("again")
        rename(source, target, **directories)

    monkeypatch.setattr(os, "rename", racing)
    moves = moved(tmp_path, tmp_path / "live")
    if ok:
        carry_out(moves)
        assert (tmp_path / "live" / "file").read_text() == "restored"
    else:
        with pytest.raises(BackupError, match="is recreated again and again"):
            carry_out(moves)
    assert (tmp_path / "live.before" / "file").read_text() == "live"


@as_root
@pytest.mark.parametrize("exchanged", ["link", "directory of the app's", "filled directory"])
def test_a_copy_to_another_disk_goes_where_only_root_enters(tmp_path: Path, exchanged: str) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "outside").mkdir()
    beside = tmp_path / "beside"
    if exchanged == "link":
        beside.symlink_to(tmp_path / "outside")
    else:
        beside.mkdir(mode=0o700)
        if exchanged == "filled directory":
            (beside / "new").symlink_to(tmp_path / "outside")
        else:
            os.chown(beside, 65534, 65534)
    parent = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises((BackupError, OSError)):
        copy_into(parent, "beside", str(tmp_path / "new"))
    os.close(parent)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_path_on_another_disk_is_copied_beside_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "restored" / str(tmp_path).lstrip("/") / "live").mkdir(parents=True)
    (tmp_path / "restored" / str(tmp_path).lstrip("/") / "live" / "file").write_text("restored")
    status_of, far = paths.status_of, str(tmp_path / "restored")

    def on_another_disk(path: str) -> Any:
        found = status_of(path)
        return SimpleNamespace(st_dev=-1) if found and path.startswith(far) else found

    with monkeypatch.context() as patch:
        patch.setattr(paths, "status_of", on_another_disk)
        moves = plan_moves({"paths": [str(tmp_path / "live")], "target": far, "snapshot": "01234567"}, "now")
    assert moves[0]["new"] == str(tmp_path / ".live.restored-01234567" / "live")
    assert carry_out(moves) == [{"path": str(tmp_path / "live"), "previous": ""}]
    assert (tmp_path / "live" / "file").read_text() == "restored"
    assert not (tmp_path / ".live.restored-01234567").exists()
