"""A copy that is much smaller than the one before is saved, and warned of."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import restic
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet
from ansible_collections.groundwork.flask.plugins.module_utils.backup.losses import compare_with_last, losses
from ansible_collections.groundwork.flask.plugins.module_utils.backup.report import warnings
from ansible_collections.groundwork.flask.plugins.module_utils.backup.run import run
from ansible_collections.groundwork.flask.plugins.module_utils.backup.stage import Stage
from ansible_collections.groundwork.flask.plugins.module_utils.backup.status import Status
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock, trees
from ansible_collections.groundwork.flask.tests.unit.backup_host import staged


def summary(monkeypatch: pytest.MonkeyPatch, size: int, files: int) -> None:
    """Have restic say that it has saved this."""
    told = {"total_bytes_processed": size, "total_files_processed": files}
    monkeypatch.setenv("FAKE_SUMMARY", json.dumps(told))


def test_a_much_smaller_copy_is_saved_and_warned_of_for_a_week(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = scene.config(repositories=("one",))
    monkeypatch.setattr(restic, "PROXIES", ("FAKE_SUMMARY",))

    def told(size: int, files: int, day: int) -> list[str]:
        summary(monkeypatch, size, files)
        monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, day, tzinfo=UTC).timestamp())
        assert run(config, [], 2) == (True, [])
        found = Status(config)
        assert found.sets["shop"]["repositories"]["one"]["size"] == size
        return [text for text in warnings(found, clock.now()) if "much smaller" in text]

    assert told(100 << 20, 1000, 1) == []
    assert told(60 << 20, 600, 2) == []  # the next one is compared with this
    (warning,) = told(20 << 20, 400, 3)
    assert "smaller than on 2026-11-02" in warning
    assert "(snapshot 01234567 in one): 20.0 MiB instead of 60.0 MiB." in warning
    assert len(told(20 << 20, 400, 9)) == 1
    assert told(20 << 20, 400, 10) == []
    assert told(20 << 20, 400, 11) == []
    assert "100 files instead of 400" in told(20 << 20, 100, 12)[0]
    assert told(20 << 20, 400, 13) == []


@pytest.mark.parametrize(
    ("size", "files", "databases", "lost"),
    [
        (10_000_000, 100, {"/a.db": 100_000}, []),
        (5_000_000, 50, {"/a.db": 50_000, "/new.db": 1}, []),
        (4_999_999, 100, {"/a.db": 100_000}, ["4.8 MiB instead of 9.5 MiB"]),
        (10_000_000, 49, {"/a.db": 100_000}, ["49 files instead of 100"]),
        (10_000_000, 100, {"/a.db": 8192}, ["the database /a.db has 8.0 KiB instead of 97.7 KiB"]),
        (10_000_000, 100, {}, ["the database /a.db is gone"]),
    ],
)
def test_losses(size: int, files: int, databases: dict[str, int], lost: list[str]) -> None:
    last = {"size": 10_000_000, "files": 100, "databases": {"/a.db": 100_000, "/small.db": 8192}}
    assert losses(last, {"size": size, "files": files}, {"/small.db": 8192, **databases}, []) == lost


def test_what_is_remembered_does_not_grow_with_the_number_of_databases(scene: SimpleNamespace) -> None:
    item = BackupSet("shop", (str(scene.data),), databases=("/named.db",))
    status = Status(scene.config(item))
    stage = Stage(status.config, item)
    largest = {f"{scene.data}/{'d' * 200}/large-{number}.db": 9_000_000 + number for number in range(100)}
    others = {f"{scene.data}/{'d' * 200}/{number}.db": 8_000_000 for number in range(4000)}
    stage.databases = {"/named.db": 50_000, **others, **largest, "/" + "d/" * 300: 99_000_000}
    done = {"time": clock.timestamp(), "snapshot": "01234567", "size": 1 << 30, "files": 5000}
    compare_with_last(status.of_set("shop"), done, status.config.repositories[0], stage)
    status.save()
    assert status.path.stat().st_size < 64 << 10
    remembered = status.of_set("shop")["baseline"]["databases"]
    assert remembered == {"/named.db": 50_000, **largest}


def test_a_planted_cache_is_named(scene: SimpleNamespace) -> None:
    (scene.data / "CACHEDIR.TAG").write_bytes(trees.CACHE_SIGNATURE)
    stage, _manifest = staged(scene)
    last = {"size": 10_000_000, "files": 100, "databases": {}}
    assert f"left out as caches (they hold a CACHEDIR.TAG): {scene.data}" in losses(
        last, {"size": 9, "files": 1}, stage.databases, stage.caches
    )
