# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot, and the manifest in it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import clock, paths
from ..common.files import make_directory
from ..common.programs import ANSWER_LIMIT
from .config import SERVICES, Config
from .errors import BackupError
from .restic import REPOSITORY_SECONDS, Restic
from .service_steps import FILE as SERVICE_FILE
from .space import MEBIBYTE, need_space


@dataclass(frozen=True)
class Snapshot:
    """One snapshot, and the repository it is in."""

    restic: Restic
    id: str
    time: str

    def restore(self, target: Path, fresh: bool = False) -> SnapshotManifest:
        """Restore all of it below ``target``, verified against its hashes, and return its manifest.

        :param target: is not there yet, in a directory that only root can write.
        :param fresh: read every byte from the repository, nothing from the cache.
        """
        output = self.restic.must("stats", "--json", "--mode", "restore-size", self.id, seconds=REPOSITORY_SECONDS)
        size = json.loads(output.stdout)["total_size"]
        need_space(target, size * 1.05 + 64 * MEBIBYTE, "the restore")
        make_directory(target, 0o700)
        options = ("--no-cache",) if fresh else ()
        self.restic.must("restore", self.id, "--target", str(target), "--verify", *options)
        return SnapshotManifest.read(self, target)


@dataclass(frozen=True)
class SnapshotManifest:
    """What a snapshot states that it holds, once it is restored; it is data, and read as such.

    :param stage: where the copies of the databases are.
    :param databases: each with ``path``, ``copy`` and ``sha256``.
    :param services: by name, each with ``files`` and what they hold; none in snapshots of earlier versions.
    """

    set: str
    paths: tuple[str, ...]
    databases: tuple[Mapping[str, str], ...]
    users: Mapping[int, str]
    groups: Mapping[int, str]
    stage: Path
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, snapshot: Snapshot, target: Path) -> SnapshotManifest:
        """Find and read the manifest in a restored tree; one that is not ours raises BackupError."""
        stages = below(target, str(snapshot.restic.config.state)) / "stage"
        foreign = BackupError(f"snapshot {snapshot.id} has no readable manifest: it was not made by this program")
        try:
            with paths.directory(str(stages)) as descriptor:
                found = [name for name in os.listdir(descriptor) if paths.status_of(f"{stages / name}/manifest.json")]
            if len(found) != 1:
                raise foreign
            with paths.directory(str(stages / found[0])) as descriptor:
                stream = os.fdopen(paths.open_regular(descriptor, "manifest.json"), "rb")
            with stream:
                return cls.parse(json.loads(stream.read(ANSWER_LIMIT)), stages / found[0])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise foreign from error

    @classmethod
    def parse(cls, raw: Mapping[str, Any], stage: Path) -> SnapshotManifest:
        """Take what a manifest states; a path that is none raises ValueError."""
        paths = tuple(map(str, raw["paths"]))
        databases = tuple(
            {key: str(database[key]) for key in ("path", "copy", "sha256")} for database in raw["databases"]
        )
        for path in [*paths, *(database["path"] for database in databases)]:
            if not path.startswith("/") or path.startswith("//") or path == "/" or os.path.normpath(path) != path:
                raise ValueError(path)
        for database in databases:
            if not re.fullmatch(r"\d+(/copy)?", database["copy"]):
                raise ValueError(database["copy"])
        users, groups = ({int(key): str(name) for key, name in raw[kind].items()} for kind in ("users", "groups"))
        services = {str(name): parse_service(entry) for name, entry in (raw.get("services") or {}).items()}
        if unknown := set(services) - set(SERVICES):
            raise ValueError(", ".join(unknown))
        return cls(str(raw["set"]), paths, databases, users, groups, stage, services)

    @property
    def saved_paths(self) -> list[str]:
        """The paths of a snapshot, with the databases that lie outside of them."""
        outside = [database["path"] for database in self.databases]
        return [*self.paths, *(path for path in outside if not is_within(path, self.paths))]


def parse_service(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Take what a manifest states of a service; a file's name that is none raises ValueError."""
    files = [{"name": str(file["name"]), "sha256": str(file["sha256"])} for file in raw["files"]]
    for file in files:
        if not SERVICE_FILE.fullmatch(file["name"]):
            raise ValueError(file["name"])
    tables = {str(name): int(rows) for name, rows in raw.get("tables", {}).items()}
    keys = {
        str(name): {kind: int(numbers[kind]) for kind in ("keys", "expires")}
        for name, numbers in raw.get("keys", {}).items()
    }
    sizes = {name: int(raw.get(name, 0)) for name in ("size", "memory")}
    return {"files": files, "tables": tables, "keys": keys, **sizes}


def is_within(path: str, others: Iterable[str]) -> bool:
    """True for a path that is one of the others or below one."""
    return any(path == other or path.startswith(f"{other}/") for other in others)


def find_snapshot(config: Config, name: str, wanted: str, lock: int, place: str = "") -> Snapshot:
    """The newest snapshot of a set, or the one of this id, from the first repository that has it; else BackupError."""
    problems = []
    for repository in config.repositories:
        if place and repository.name != place:
            continue
        restic = Restic(config, repository, lock)
        try:
            if not restic.unlock():
                raise BackupError(f"{repository.name}: there is no repository at {repository.shown}")
            found = restic.snapshots(name)
        except (BackupError, OSError) as error:
            problems.append(str(error))
            continue
        matching = [snapshot for snapshot in found if wanted == "latest" or snapshot["id"].startswith(wanted)]
        if matching:
            time_made = clock.timestamp(clock.parse(matching[-1]["time"]))
            return Snapshot(restic, matching[-1]["id"][:8], time_made)
        there = ", ".join(snapshot["short_id"] for snapshot in found) or "none"
        problems.append(f"{repository.name} has no snapshot {wanted} of the set {name}; there are: {there}")
    raise BackupError("; ".join(problems) or f"there is no backup repository {place}")


def below(root: str | Path, path: str) -> Path:
    """An absolute path as it is below another root."""
    return Path(f"{root}/{path.lstrip('/')}")
