"""What a configuration of the backup is refused for, and what a repository is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet, Config, Repository
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"name": "Shop", "paths": ["/a"]}, "a name is made of small letters"),
        ({"name": "../x", "paths": ["/a"]}, "a name is made of small letters"),
        ({"name": "shop", "paths": ["exports"]}, "backup set shop: 'exports' must be an absolute path below /"),
        ({"name": "shop", "paths": ["/"]}, "must be an absolute path below /"),
        ({"name": "shop", "paths": ["/srv/.."]}, "must be an absolute path below /"),
        ({"name": "shop", "paths": ["//"]}, "must be an absolute path below /"),
        ({"name": "shop", "paths": ["/a"], "databases": ["b.db"]}, "'b.db' must be an absolute path"),
        ({"name": "shop", "paths": []}, "backup set shop has no paths"),
        (
            {"name": "shop", "paths": ["/srv/../etc"]},
            "'/srv/../etc' must be a path without '..' and control characters",
        ),
        ({"name": "shop", "paths": ["/srv/a\nb"]}, "must be a path without '..' and control characters"),
        ({"name": "shop", "paths": ["/a"], "user": "shop -x"}, "user 'shop -x' is not the name of a user"),
        ({"name": "shop", "paths": ["/a"], "timeout": "1h"}, "timeout '1h' is not a number of seconds"),
        (
            {"name": "shop", "paths": ["/a"], "services": ["mysql"], "user": "shop"},
            "services has mysql; there are: postgresql, mariadb, redis",
        ),
        (
            {"name": "shop", "paths": ["/a"], "services": ["redis"] * 2, "user": "shop"},
            "services has one of them twice",
        ),
        ({"name": "shop", "paths": ["/a"], "services": ["redis"]}, "has services: `user` says of which app"),
    ],
)
def test_a_set_is_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(BackupError, match=re.escape(message)):
        BackupSet.parse(raw)


GOOD = {"host": "box", "sets": [{"name": "a", "paths": ["/a"]}], "keep": {"daily": 7}, "max_age_hours": 36}


@pytest.mark.parametrize(
    ("settings", "repositories", "message"),
    [
        ({"sets": [*GOOD["sets"], *GOOD["sets"]]}, [{"name": "x", "repository": "/x"}], "two backup sets are called a"),  # type: ignore[misc]
        ({"keep": {"dayly": 7}}, [{"name": "x", "repository": "/x"}], "backup_keep: dayly is none of last, hourly"),
        ({}, [], "there is no backup repository"),
        ({}, [{"name": "x"}], "needs a name and a repository"),
        ({}, [{"name": "x", "repository": "/x"}] * 2, "two backup repositories are called x"),
    ],
)
def test_a_configuration_is_refused(
    tmp_path: Path, settings: dict[str, Any], repositories: list[dict[str, Any]], message: str
) -> None:
    (tmp_path / "backup.json").write_text(json.dumps({**GOOD, **settings}))
    (tmp_path / "backup.repositories.json").write_text(json.dumps(repositories))
    with pytest.raises(BackupError, match=re.escape(message)):
        Config.load(tmp_path)


@pytest.mark.parametrize(
    ("location", "directory", "shown"),
    [
        ("/var/backups/restic", "/var/backups/restic", "/var/backups/restic"),
        ("local:/mnt/x", "/mnt/x", "local:/mnt/x"),
        ("rest:https://me:secret@host/box/", None, "rest:https://host/box/"),
        ("sftp:me@host:dir", None, "sftp:me@host:dir"),
        ("s3:https://host/bucket", None, "s3:https://host/bucket"),
    ],
)
def test_repository(location: str, directory: str | None, shown: str) -> None:
    repository = Repository("x", location)
    assert (repository.directory, repository.shown) == (directory, shown)
