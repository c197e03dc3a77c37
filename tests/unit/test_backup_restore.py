"""Which restores are refused, and what they leave on the host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import restore as restoring
from ansible_collections.groundwork.flask.plugins.module_utils.backup import units
from ansible_collections.groundwork.flask.plugins.module_utils.backup.cli import write_restored
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet
from ansible_collections.groundwork.flask.plugins.module_utils.backup.copies import forget_copies
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.moves import carry_out, plan_moves
from ansible_collections.groundwork.flask.plugins.module_utils.backup.report import report
from ansible_collections.groundwork.flask.plugins.module_utils.backup.restore import (
    not_restored,
    not_shared,
    refuse_foreign,
    restore_in_place,
    restore_journal,
)
from ansible_collections.groundwork.flask.plugins.module_utils.backup.status import Status
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.paused import PauseError
from ansible_collections.groundwork.flask.tests.unit.backup_host import deep

DATA = on_host("data", "shop")


def test_the_host_set_is_not_restored_in_place(scene: SimpleNamespace) -> None:
    item = BackupSet("host", (str(scene.data),), optional=True)
    with pytest.raises(BackupError, match="the set host belongs to the whole host"):
        restore_in_place(scene.config(item), item, lambda: pytest.fail("looked for"), "", "latest")


def test_only_the_set_s_own_paths_are_put_in_place() -> None:
    item = BackupSet("shop", (DATA,), ("/srv/more.db",))
    plan: dict[str, Any] = {"snapshot": "1", "target": "/t"}
    refuse_foreign({**plan, "paths": [DATA, f"{DATA}/sub", "/srv/more.db"]}, item)
    plan["paths"] = [DATA, "/etc/systemd/system", "/var/lib/shopping"]
    with pytest.raises(BackupError, match="holds /etc/systemd/system, /var/lib/shopping, which is no path of the set"):
        refuse_foreign(plan, item)


def test_a_path_is_put_where_a_link_of_root_s_leads_on_this_host(tmp_path: Path) -> None:
    """An administrator has moved /var to another disk since the backup."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to("disk")
    saved = str(tmp_path / "var" / "data")
    (tmp_path / "restored" / saved.lstrip("/")).mkdir(parents=True)
    restored = {"paths": [saved], "target": str(tmp_path / "restored"), "snapshot": "01234567"}
    refuse_foreign(restored, BackupSet("shop", (saved,)))
    carry_out(plan_moves(restored, "now"))
    assert (tmp_path / "disk" / "data").is_dir()
    assert (tmp_path / "var").is_symlink()


def test_a_snapshot_with_other_paths_is_not_put_in_place(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = BackupSet("shop", (str(scene.data),))
    config = scene.config(item)
    config.state.mkdir()
    other = scene.path / "other"
    other.write_text("live")
    told = {"snapshot": "01234567", "target": str(scene.path / "target"), "paths": [str(scene.data), str(other)]}
    monkeypatch.setattr(restoring, "restore_aside", lambda *_arguments: told)
    found: Any = SimpleNamespace(id="01234567")
    with pytest.raises(BackupError, match="other, which is no path of the set shop"):
        restore_in_place(config, item, lambda: found, "", "latest")
    assert (other.read_text(), (scene.data / "note").read_text()) == ("live", "hello")
    assert not restore_journal(config, "shop").exists()


def test_what_came_back_and_what_did_not_is_told(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    item = BackupSet("shop", (str(scene.data),), before=("pg_dump shop > $DATA_DIR/shop.sql\n",), owner="shop")
    config = scene.config(item)
    config.state.mkdir()
    target = scene.path / "target"
    (target / str(scene.data).lstrip("/")).mkdir(parents=True)
    told: dict[str, Any] = {
        "set": "shop",
        "snapshot": "01234567",
        "time": "2026-11-29T02:30:00Z",
        "repository": "local",
    }
    told |= {"target": str(target), "paths": [str(scene.data)], "databases": [f"{scene.data}/shop.db"]}
    monkeypatch.setattr(restoring, "restore_aside", lambda *_arguments: told)
    found: Any = SimpleNamespace(id="01234567")
    outcome = restore_in_place(config, item, lambda: found, "", "latest")
    assert [place["path"] for place in outcome["restored"]] == [str(scene.data)]
    assert outcome["databases"] == [f"{scene.data}/shop.db"]
    assert outcome["not_restored"] == [
        "What `pg_dump shop > $DATA_DIR/shop.sql\\n` wrote is back as files, and was loaded nowhere: load it yourself.",
        "The code, the settings and the secrets of the app are as they were before the restore.",
        "Data kept elsewhere, such as in PostgreSQL, MySQL or Redis, was not touched.",
    ]
    write_restored(outcome)
    written = capsys.readouterr().out
    assert all(f"  {sentence}\n" in written for sentence in outcome["not_restored"])
    assert not_restored(BackupSet("wiki", ("/srv/wiki",))) == outcome["not_restored"][2:]


def test_a_target_in_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(BackupError, match=f"others than root can write to {shared}. Name a directory below"):
        not_shared(shared / "new" / "target")
    (tmp_path / "link").symlink_to("real")
    assert not_shared(tmp_path / "link" / "new") == tmp_path / "real" / "new"


def test_copies_of_restores_are_listed_and_removed(scene: SimpleNamespace, tmp_path: Path) -> None:
    config = scene.config()
    kept = [
        tmp_path / "data.before-restore-20261129T010203",
        tmp_path / "data.before-restore-20261129T010203.2",
        tmp_path / "restored" / "shop-01234567",
        tmp_path / "restored" / "shop-01234567.in-place",
    ]
    others = [
        tmp_path / "data.before-restore-mine",
        tmp_path / "database.before-restore-20261129T010203",
        tmp_path / "restored" / "shop-eu-01234567",
        tmp_path / "restored" / "notes",
    ]
    for path in (*kept, *others):
        path.mkdir(parents=True)
    deep(kept[0], 25)
    (kept[1] / "link").symlink_to(others[3])
    status = Status(config)
    status.of_set("shop")["copies"] = [str(tmp_path / "elsewhere"), str(tmp_path / "gone")]
    status.of_set("left")["copies"] = [str(tmp_path / "of-a-set-that-left")]
    status.save()
    for name in ("elsewhere", "of-a-set-that-left"):
        (tmp_path / name).mkdir()
    found = report(Status(config))["copies"]
    assert sorted(found["shop"]) == sorted(map(str, (*kept, tmp_path / "elsewhere")))
    assert found["left"] == [str(tmp_path / "of-a-set-that-left")]
    assert sorted(forget_copies(config, "shop")) == sorted(found["shop"])
    assert forget_copies(config, "left") == found["left"]
    assert report(Status(config))["copies"] == {}
    assert all(path.exists() for path in (*others, scene.data))
    assert not any(path.exists() for path in kept)


def test_copies_of_an_interrupted_restore_are_kept(scene: SimpleNamespace) -> None:
    config = scene.config()
    config.state.mkdir()
    restore_journal(config, "shop").touch()
    with pytest.raises(BackupError, match=r"may be all there is of the data. Finish it first: restore shop --in-place"):
        forget_copies(config, "shop")
    assert forget_copies(config, "wiki") == []


def test_an_app_is_stopped_by_the_engine_and_what_it_says_is_passed_on(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    @contextlib.contextmanager
    def paused(app: str, by: str) -> Iterator[list[str]]:
        asked.append((app, by))
        if app == "shap":
            raise PauseError("shap cannot be stopped")
        yield ["the job nightly ran and was ended"]

    monkeypatch.setattr(units, "paused", paused)
    with units.stopped(scene.config(), "shop") as notices:
        assert (asked, notices) == ([("shop", "a restore")], ["the job nightly ran and was ended"])
    with units.stopped(scene.config(), "") as notices:
        assert (len(asked), notices) == (1, [])
    with pytest.raises(BackupError, match="shap cannot be stopped"), units.stopped(scene.config(), "shap"):
        raise AssertionError
