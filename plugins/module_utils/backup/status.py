# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs have done."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import Any

from .config import Config, Repository
from .private import private_directory, write_private


class Status:
    """What earlier runs have done, in one file of the state directory.

    ``sets``: by set and repository, the last success, its snapshot and sizes, the last error, the last restore drill;
    ``repositories``: by repository, its location and the fingerprint of the password that opened it.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.path = config.state / "status.json"
        self.sets: dict[str, dict[str, Any]] = {}
        self.repositories: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(FileNotFoundError):
            vars(self).update(json.loads(self.path.read_text()))

    def save(self) -> None:
        """Write the file anew by a rename."""
        private_directory(self.config.state)
        write_private(self.path, {"sets": self.sets, "repositories": self.repositories})

    def of_set(self, name: str) -> dict[str, Any]:
        """The record of one set, made if need be."""
        return self.sets.setdefault(name, {"repositories": {}, "drills": {}, "error": None})

    def of_repository(self, repository: Repository) -> dict[str, Any]:
        """The record of one repository; a repository that moved is a new one."""
        record = self.repositories.setdefault(repository.name, {})
        if record.get("location") != repository.shown:
            record.clear()
            record["location"] = repository.shown
            for of_set in self.sets.values():
                of_set["repositories"].pop(repository.name, None)
                of_set["drills"].pop(repository.name, None)
        return record

    def success(self, name: str, repository: Repository) -> dict[str, Any] | None:
        """The last success of a set in a repository; None also when the repository is gone."""
        self.of_repository(repository)
        if repository.directory and not os.path.exists(os.path.join(repository.directory, "config")):
            return None
        found: dict[str, Any] | None = self.of_set(name)["repositories"].get(repository.name)
        return found


def fingerprint(config: Config) -> str:
    """A hash that tells whether the password changed; it is stored where only root reads, as is the password itself."""
    return hashlib.sha256(b"groundwork backup\0" + config.password_file.read_bytes().strip()).hexdigest()


def save_status(status: Status) -> list[str]:
    """Write the file; what went wrong with that, which stops no set."""
    try:
        status.save()
    except OSError as error:
        return [f"the status could not be written: {error}"]
    return []
