# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check, list and validate the repositories."""

from __future__ import annotations

import time

from ..common import clock
from .config import Config
from .errors import BackupError, limited, say
from .restic import PLACES, REPOSITORY_SECONDS, Restic, is_absent
from .status import Status, fingerprint

CHECK_SECONDS = 6 * 3600


def check(config: Config, lock: int, everything: bool) -> list[str]:
    """Check the structure of the repositories and, in turn, a quarter of their data a week, or all of it."""
    week = int(time.strftime("%V", time.gmtime(clock.now())))
    data = "--read-data" if everything else f"--read-data-subset={week % 4 + 1}/4"
    problems = []
    for repository in config.repositories:
        restic = Restic(config, repository, lock)
        try:
            restic.unlock()
            restic.must("check", data, seconds=CHECK_SECONDS)
            say(f"{repository.name}: no errors ({data})")
        except (BackupError, OSError) as error:
            problems.append(str(error))
    return problems


def validate(config: Config) -> None:
    """Refuse a configuration whose password does not open the repositories in use; raises BackupError."""
    status = Status(config)
    for repository in config.repositories:
        record = status.of_repository(repository)
        if record.get("password") not in (None, fingerprint(config)):
            with limited(REPOSITORY_SECONDS, f"restic cat in {repository.name}"):
                opened = Restic(config, repository).call("cat", "config")
            if opened.returncode and not is_absent(opened):
                raise BackupError(
                    f"the repository {repository.name} ({repository.shown}) was made with another password. "
                    f"Put the old one back: {PLACES}. Or let it open with both first, on the host: "
                    f"restic -r {repository.shown} --password-file {config.password_file} key add"
                )


def list_snapshots(config: Config, lock: int) -> dict[str, list[dict[str, str]]]:
    """The snapshots of this host by set, oldest first, those of sets that are no longer configured included."""
    listed: dict[str, list[dict[str, str]]] = {item.name: [] for item in config.sets}
    for repository in config.repositories:
        restic = Restic(config, repository, lock)
        try:
            if not restic.unlock():
                continue
            for snapshot in restic.snapshots():
                for tag in snapshot.get("tags") or []:
                    listed.setdefault(tag, []).append(
                        {"snapshot": snapshot["short_id"], "time": snapshot["time"], "repository": repository.name}
                    )
        except (BackupError, OSError) as error:
            say(str(error))
    return listed
