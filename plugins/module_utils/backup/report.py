# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person or a program is told of the backups: the last of each set, and what to act on."""

from __future__ import annotations

from typing import Any

from ..common import clock
from ..common.clock import DAY
from .copies import kept_copies
from .space import free_share
from .status import Status


def report(status: Status) -> dict[str, Any]:
    """What `status --json` prints."""
    sets = {}
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
            "tried": record.get("tried"),
            "seconds": record.get("seconds"),
        }
    names = dict.fromkeys([*sets, *status.sets])
    copies = {name: kept_copies(status, name) for name in names}
    return {
        "sets": sets,
        "copies": {name: found for name, found in copies.items() if found},
        "warnings": warnings(status, clock.now()),
    }


def warnings(status: Status, at: float) -> list[str]:
    """Everything a person should know, each with its remedy."""
    config, said = status.config, []
    if all(repository.directory for repository in config.repositories):
        places = ", ".join(repository.shown for repository in config.repositories)
        said.append(
            f"All backups are on this host ({places}) and would be lost with it. "
            "Add a repository elsewhere (sftp:…, s3:…, rest:…) to backup_repositories."
        )
    for repository in config.repositories:
        record = status.of_repository(repository)
        if (made_anew := record.get("made_anew")) and at - clock.parse(made_anew) < 14 * DAY:
            said.append(
                f"The repository {repository.name} ({repository.shown}) was gone and was made anew on {made_anew}: "
                "older snapshots are not in it. Look whether its disk is mounted."
            )
        if (free := free_share(repository.directory)) is not None and free < 0.1:
            said.append(
                f"The disk of the repository {repository.name} has {free:.0%} left. Free some space, or keep fewer "
                "snapshots (backup_keep)."
            )
    for item in config.sets:
        record = status.of_set(item.name)
        if record["error"]:
            said.append(f"The last backup of {item.name} failed: {record['error']}")
        for problem in record.get("notes", []):
            said.append(f"{item.name}: {problem}")
        for repository in config.repositories:
            found = status.success(item.name, repository)
            if found is None:
                if not item.vacant:
                    said.append(
                        f"{item.name} has no backup in {repository.name}. Run: systemctl start groundwork-backup"
                    )
            elif at - clock.parse(found["time"]) > config.max_age_hours * 3600:
                said.append(
                    f"The last backup of {item.name} in {repository.name} is of {found['time']}. "
                    "Look at: systemctl status groundwork-backup.timer groundwork-backup.service"
                )
            drill = record["drills"].get(repository.name)
            if drill and not drill["ok"]:
                said.append(
                    f"{item.name} could not be restored from {repository.name} on {drill['time']}: {drill['problem']} "
                    "Try `restic repair`, or move the repository away: the next run makes a new one."
                )
    return said
