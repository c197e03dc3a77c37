# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is backed up, where to, and for how long: read from /etc/groundwork and checked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import on_host, paths
from .errors import BackupError

RETENTION = ("last", "hourly", "daily", "weekly", "monthly", "yearly", "within")
SERVICES = ("postgresql", "mariadb", "redis")
LISTS = ("paths", "databases", "before", "after", "restore", "services")


@dataclass(frozen=True)
class BackupSet:
    """Paths that are copied and brought back together.

    :param databases: SQLite databases that must be there; those under ``paths`` are found without being named.
    :param before: shell commands run first; one that fails stops the backup of this set.
    :param after: shell commands run at the end, whatever happened.
    :param restore: commands run once a restore has put all in place, before what was stopped for it starts again.
    :param services: what else is saved and restored, of the app whose name ``user`` is: see :data:`SERVICES`.
    :param user: user who runs these commands, in the sandbox of ``<user>@.service`` if there is one; "" for root.
    :param owner: user who gets restored files whose own user does not exist on this host; "" for none.
    :param timeout: seconds that preparing it, and then each snapshot, may take; 0 for the default.
    :param optional: paths that are not there are left out, where they would be an error; it is not restored in place.
    """

    name: str
    paths: tuple[str, ...]
    databases: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    user: str = ""
    owner: str = ""
    timeout: int = 0
    optional: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> BackupSet:
        """Read one set; a wrong name or path raises BackupError."""
        name = str(raw.get("name", ""))
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
            raise BackupError(f"backup set {name!r}: a name is made of small letters, digits and . _ -")
        lists = {option: tuple(map(str, raw.get(option) or ())) for option in LISTS}
        for path in lists["paths"] + lists["databases"]:
            if not path.startswith("/") or os.path.normpath(path) in ("/", "//"):
                raise BackupError(f"backup set {name}: {path!r} must be an absolute path below /")
            if ".." in path.split("/") or not path.isprintable():
                raise BackupError(f"backup set {name}: {path!r} must be a path without '..' and control characters")
        if not lists["paths"] + lists["databases"]:
            raise BackupError(f"backup set {name} has no paths")
        if unknown := [service for service in lists["services"] if service not in SERVICES]:
            raise BackupError(f"backup set {name}: services has {', '.join(unknown)}; there are: {', '.join(SERVICES)}")
        if len(set(lists["services"])) != len(lists["services"]):
            raise BackupError(f"backup set {name}: services has one of them twice")
        user, owner = (str(raw.get(option) or "") for option in ("user", "owner"))
        for option, account in (("user", user), ("owner", owner)):
            if account and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", account):
                raise BackupError(f"backup set {name}: {option} {account!r} is not the name of a user")
        if lists["services"] and not user:
            raise BackupError(f"backup set {name} has services: `user` says of which app")
        timeout = raw.get("timeout") or 0
        if not str(timeout).isdigit():
            raise BackupError(f"backup set {name}: timeout {timeout!r} is not a number of seconds")
        optional = bool(raw.get("optional"))
        return cls(name, **lists, user=user, owner=owner, timeout=int(timeout), optional=optional)

    @property
    def vacant(self) -> bool:
        """True for an optional set of which nothing is there yet."""
        return self.optional and not any(os.path.exists(path) for path in self.paths)


@dataclass(frozen=True)
class Repository:
    """Where snapshots go.

    :param location: what restic calls a repository: a directory, or sftp:…, s3:…, rest:….
    :param environment: what restic needs to get there, such as AWS_ACCESS_KEY_ID; secret.
    :param prune: False where this host must not or cannot remove old snapshots.
    """

    name: str
    location: str
    environment: Mapping[str, str] = field(default_factory=dict)
    prune: bool = True

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Repository:
        """Read one repository; a missing name or location raises BackupError."""
        if not raw.get("name") or not raw.get("repository"):
            raise BackupError("a backup repository needs a name and a repository")
        environment = {str(key): str(value) for key, value in (raw.get("environment") or {}).items()}
        return cls(str(raw["name"]), str(raw["repository"]), environment, bool(raw.get("prune", True)))

    @property
    def directory(self) -> str | None:
        """The directory of a repository on this host, else None."""
        location = self.location.removeprefix("local:")
        return location if location.startswith("/") else None

    @property
    def shown(self) -> str:
        """The location without a password in it."""
        return re.sub(r"//[^/@]*@", "//", self.location)


CONFIGURATION = on_host.path("configuration")


@dataclass(frozen=True)
class Config:
    """All that a run needs to know; the directories are parameters for the sake of tests."""

    host: str
    sets: tuple[BackupSet, ...]
    repositories: tuple[Repository, ...]
    keep: Mapping[str, Any] = field(default_factory=lambda: {"daily": 7, "weekly": 4, "monthly": 6})
    max_age_hours: float = 36
    set_timeout: int = 10800
    password_file: Path = on_host.path("configuration") / "backup.password"
    state: Path = on_host.path("state") / "backup"
    restored: Path = on_host.path("state") / "restore"
    runtime: Path = on_host.path("runtime") / "backup"
    cache: Path = Path("/var/cache/groundwork-backup")
    restic: str = "/usr/bin/restic"

    @classmethod
    def load(cls, directory: Path = CONFIGURATION) -> Config:
        """Read and check the configuration; what is wrong raises BackupError."""
        try:
            raw = json.loads((directory / "backup.json").read_text())
            repositories = json.loads((directory / "backup.repositories.json").read_text())
            items = [json.loads(file.read_text()) for file in sorted((directory / "backup.d").glob("*.json"))]
        except (OSError, ValueError) as error:
            raise BackupError(f"the configuration cannot be read: {error}") from error
        sets = tuple(BackupSet.parse(item) for item in [*raw["sets"], *items])
        for kind, names in (
            ("backup sets", [item.name for item in sets]),
            ("backup repositories", [item["name"] for item in repositories]),
        ):
            if twice := {name for name in names if names.count(name) > 1}:
                raise BackupError(f"two {kind} are called {', '.join(sorted(twice))}")
        if unknown := set(raw["keep"]) - set(RETENTION):
            raise BackupError(f"backup_keep: {', '.join(sorted(unknown))} is none of {', '.join(RETENTION)}")
        if not repositories:
            raise BackupError("there is no backup repository")
        return cls(
            host=str(raw["host"]),
            sets=sets,
            repositories=tuple(Repository.parse(item) for item in repositories),
            keep=raw["keep"],
            max_age_hours=float(raw["max_age_hours"]),
            set_timeout=int(raw.get("set_timeout", cls.set_timeout)),
            password_file=directory / "backup.password",
            # Where an administrator has moved them, there is a link of root's.
            state=Path(paths.resolved(str(cls.state))),
            restored=Path(paths.resolved(str(cls.restored))),
        )

    def chosen_sets(self, names: Sequence[str], some: bool = False) -> tuple[BackupSet, ...]:
        """The sets of these names, or all; an unknown name raises BackupError, or counts for nothing with ``some``."""
        known = {item.name: item for item in self.sets}
        if some and names:
            return tuple(known[name] for name in names if name in known)
        if unknown := [name for name in names if name not in known]:
            raise BackupError(f"there is no backup set {', '.join(unknown)} here; there are: {', '.join(known)}")
        return tuple(known[name] for name in names) or self.sets

    def never_copied(self) -> list[str]:
        """Directories that are left out of every snapshot: copies of what is in it."""
        local = [repository.directory for repository in self.repositories if repository.directory]
        return [*local, str(self.restored), str(self.state / "drill")]
