# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on the backups: the last one of each set, its restore drill, and warnings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..common import clock
from ..common.clock import DAY
from .config import BackupSet, Repository
from .copies import kept_copies
from .space import free_share
from .status import Status

RECREATED_WARNED_FOR = 14 * DAY
LITTLE_SPACE = 0.1  # the free share of a repository's disk


def report(status: Status) -> dict[str, Any]:
    """What `status --json` prints."""
    sets, now = {}, clock.now()
    for item in status.config.sets:
        record = status.of_set(item.name)
        successes = {
            repository.name: found
            for repository in status.config.repositories
            if (found := status.success(item.name, repository))
        }
        newest = max(successes.values(), key=lambda found: clock.parse(found["time"]), default=None)
        sets[item.name] = {
            "last": newest["time"] if newest else None,
            "snapshot": newest["snapshot"] if newest else None,
            "size": newest["size"] if newest else None,
            "files": newest["files"] if newest else None,
            "repositories": sorted(successes),
            "drill": max(record["drills"].values(), key=lambda drill: clock.parse(drill["time"]), default=None),
            "error": record["error"],
            "attempted": record.get("attempted"),
            "seconds": record.get("seconds"),
            "warnings": list(set_warnings(status, item, now)),
        }
    names = dict.fromkeys([*sets, *status.sets])
    copies = {name: kept_copies(status, name) for name in names}
    return {
        "sets": sets,
        "copies": {name: found for name, found in copies.items() if found},
        "warnings": warnings(status, now),
    }


def warnings(status: Status, at: float) -> list[str]:
    """What the operator should act on, each with its remedy."""
    config, found = status.config, []
    if all(repository.directory for repository in config.repositories):
        places = ", ".join(repository.shown for repository in config.repositories)
        found.append(
            f"All backups are on this host ({places}) and would be lost with it. "
            "Add a repository elsewhere (sftp:…, s3:…, rest:…) to backup_repositories."
        )
    for repository in config.repositories:
        found += repository_warnings(status, repository, at)
    for item in config.sets:
        found += set_warnings(status, item, at)
    return found


def set_warnings(status: Status, item: BackupSet, at: float) -> Iterator[str]:
    """What is wrong with a set."""
    record = status.of_set(item.name)
    if record["error"]:
        yield f"The last backup of {item.name} failed: {record['error']}"
    yield from (f"{item.name}: {warning}" for warning in record.get("warnings", []))
    for repository in status.config.repositories:
        yield from copy_warnings(status, item, repository, at)


def repository_warnings(status: Status, repository: Repository, at: float) -> Iterator[str]:
    """What is wrong with a repository."""
    recreated = status.of_repository(repository).get("recreated")
    if recreated and at - clock.parse(recreated) < RECREATED_WARNED_FOR:
        yield (
            f"The repository {repository.name} ({repository.shown}) was missing and was created anew on "
            f"{recreated}: older snapshots are not in it. Check that its disk is mounted."
        )
    free = free_share(repository.directory)
    if free is not None and free < LITTLE_SPACE:
        yield (
            f"The disk of the repository {repository.name} has {free:.0%} left. Free some space, or keep fewer "
            "snapshots (backup_keep)."
        )


def copy_warnings(status: Status, item: BackupSet, repository: Repository, at: float) -> Iterator[str]:
    """What is wrong with the snapshots of a set in a repository."""
    last = status.success(item.name, repository)
    if last is None:
        if not item.vacant:
            yield f"{item.name} has no backup in {repository.name}. Run: systemctl start groundwork-backup"
    elif at - clock.parse(last["time"]) > status.config.max_age_hours * 3600:
        yield (
            f"The last backup of {item.name} in {repository.name} is of {last['time']}. "
            "Look at: systemctl status groundwork-backup.timer groundwork-backup.service"
        )
    drill = status.of_set(item.name)["drills"].get(repository.name)
    if drill and not drill["ok"]:
        yield (
            f"The restore drill of {item.name} from {repository.name} failed on {drill['time']}: {drill['problem']} "
            "Try `restic repair`, or move the repository away: the next run makes a new one."
        )
