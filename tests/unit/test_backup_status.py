"""What is remembered of earlier runs, and warned of."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import Config, Repository
from ansible_collections.groundwork.flask.plugins.module_utils.backup.report import report, warnings
from ansible_collections.groundwork.flask.plugins.module_utils.backup.status import Status
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock


def remembered(config: Any, age: timedelta = timedelta(0), **record: Any) -> Any:
    """The status of a host whose set shop was backed up to all repositories so long ago."""
    status = Status(config)
    time = clock.timestamp(clock.now() - age.total_seconds())
    for repository in config.repositories:
        status.of_repository(repository)
        if repository.directory:
            Path(repository.directory).mkdir(exist_ok=True)
            Path(repository.directory, "config").touch()
        done = {"time": time, "snapshot": "01234567", "size": 1, "files": 1, "added": 1}
        status.of_set("shop")["repositories"][repository.name] = done
    status.of_set("shop").update(record)
    return status


def test_no_warning_when_all_is_well(scene: SimpleNamespace) -> None:
    config = scene.config()
    far = Config(**{**vars(config), "repositories": (Repository("far", "sftp:host:dir"),)})
    assert warnings(remembered(far), clock.now()) == []


@pytest.mark.parametrize(
    ("age", "record", "warning"),
    [
        (timedelta(hours=40), {}, "The last backup of shop in one is of .* Look at: systemctl status"),
        (timedelta(0), {"error": "no dump"}, "The last backup of shop failed: no dump"),
        (timedelta(0), {"warnings": ["x is damaged"]}, "shop: x is damaged"),
        (timedelta(0), {"repositories": {}}, "shop has no backup in one. Run: systemctl start groundwork-backup"),
        (
            timedelta(0),
            {"drills": {"one": {"ok": False, "time": "2026-01-01T00:00:00+00:00", "problem": "bad blob"}}},
            "The restore drill of shop from one failed on .*: bad blob",
        ),
    ],
)
def test_warning(scene: SimpleNamespace, age: timedelta, record: dict[str, Any], warning: str) -> None:
    known = remembered(scene.config(repositories=("one",)), age, **record)
    said = warnings(known, clock.now())
    assert report(known)["sets"]["shop"]["warnings"] == said[1:]
    assert said[0].startswith("All backups are on this host")
    assert re.match(warning, said[1])
    assert len(said) == 2


def test_a_repository_that_moved_is_a_new_one(scene: SimpleNamespace) -> None:
    config = scene.config(repositories=("one",))
    remembered(config).save()
    moved = Config(**{**vars(config), "repositories": (Repository("one", "sftp:host:dir"),)})
    assert Status(config).success("shop", config.repositories[0])
    assert Status(moved).success("shop", moved.repositories[0]) is None
