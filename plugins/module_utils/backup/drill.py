# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore drills: the newest snapshot of each set is restored to a temporary directory and compared."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common import clock, paths
from ..common.text import escaped
from . import steps
from .config import BackupSet, Config, Repository
from .databases import NO_ANSWER, run_jobs, sha256
from .errors import BackupError, limited, say
from .private import clear, private_directory
from .service_restore import drill_services
from .services import NAMES
from .snapshot import SnapshotManifest, below, find_snapshot
from .status import Status, save_status


def compare(nodes: Iterable[Mapping[str, Any]], root: Path) -> Iterator[str]:
    """What of a snapshot's list (`restic ls --json`) is not so in the restored tree; restic itself checks contents."""
    kinds = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK}
    for node in nodes:
        if node.get("struct_type") != "node" or node["type"] not in kinds or "\ufffd" in node["path"]:
            continue
        found = paths.status_of(str(below(root, node["path"])))
        if found is None:
            yield f"{node['path']} is missing"
        elif not kinds[node["type"]](found.st_mode):
            yield f"{node['path']} is not a {node['type']}"
        elif node["type"] == "file" and node.get("size", 0) != found.st_size:
            yield f"{node['path']} has {found.st_size} bytes instead of {node.get('size', 0)}"
        elif node["type"] != "symlink" and node["mode"] & 0o777 != found.st_mode & 0o777:
            yield f"{node['path']} has another mode"
        elif os.geteuid() == 0 and (node["uid"], node["gid"]) != (found.st_uid, found.st_gid):
            yield f"{node['path']} has another owner"


def check_databases(config: Config, manifest: SnapshotManifest, seconds: float) -> list[str]:
    """What is wrong with the restored copies of databases; each is opened by a process of its owner."""
    problems = []
    by_owner: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for database in manifest.databases:
        copy = manifest.stage / database["copy"]
        with paths.parent_of(str(copy)) as (parent, name):
            descriptor = paths.open_regular(parent, name)
            os.fchmod(parent, 0o711)  # Nobody enters the directories above it.
        try:
            if sha256(descriptor) != database["sha256"]:
                problems.append(f"{database['path']} has another hash")
                continue
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        by_owner.setdefault((status.st_uid, status.st_gid), []).append((database["path"], str(copy)))
    manifest.stage.chmod(0o711)
    for owner, copies in by_owner.items():
        sandbox = [
            *steps.STRICT,
            *steps.OFFLINE,
            *steps.account(*owner),
            ("TemporaryFileSystem", f"{config.state}:ro"),
            ("BindReadOnlyPaths", str(manifest.stage)),
        ]
        answers = run_jobs([{"check": copy} for _path, copy in copies], sandbox, seconds)
        for number, (path, _copy) in enumerate(copies):
            if (answer := answers.get(number, {}).get("check", NO_ANSWER)) != "ok":
                problems.append(f"{path}: {answer}")
    return problems


def compared(item: BackupSet, manifest: SnapshotManifest) -> list[str]:
    """What was loaded of the services and compared, as a message has it."""
    found = []
    for service, entry in manifest.services.items():
        if service == "redis" and service in item.services:
            found.append(f"{sum(one['keys'] for one in entry['keys'].values())} keys in Redis")
        elif service in item.services:
            rows = sum(entry["tables"].values())
            found.append(f"{rows} rows in {len(entry['tables'])} tables of {NAMES[service]}")
    return found


def drill_set(config: Config, item: BackupSet, repository: Repository, lock: int) -> dict[str, Any]:
    """Restore the newest snapshot of a set into a temporary directory and compare every file; return the outcome."""
    outcome: dict[str, Any] = {
        "time": clock.timestamp(),
        "repository": repository.name,
        "ok": False,
        "problem": None,
    }
    root = config.state / "drill" / item.name
    seconds = item.timeout or config.set_timeout
    try:
        clear(root.parent)
        private_directory(root.parent)
        with limited(2 * seconds, "the restore drill"):  # All is restored, where a backup reads what is new.
            snapshot = find_snapshot(config, item.name, "latest", lock, repository.name)
            outcome["snapshot"] = snapshot.id
            manifest = snapshot.restore(root, fresh=True)
            listed = snapshot.restic.must("ls", "--json", snapshot.id)
            problems = list(itertools.islice(compare(listed.objects(listed.out), root), 5))
            problems += check_databases(config, manifest, seconds)
            problems += drill_services(config, item, manifest, seconds)
            if problems:
                raise BackupError("; ".join(problems[:5]))
            outcome["files"] = sum(node.get("type") == "file" for node in listed.objects(listed.out))
            outcome["databases"] = len(manifest.databases)
            outcome["services"] = compared(item, manifest)
            outcome["ok"] = True
    except BackupError as error:
        outcome["problem"] = str(error)
    except Exception as error:
        outcome["problem"] = escaped(f"{type(error).__name__}: {error}")
    finally:
        clear(root.parent)
    return outcome


def drill(config: Config, names: Sequence[str], lock: int) -> list[str]:
    """Restore every set that has a backup, each from the repository whose turn it is; return what went wrong."""
    status, problems = Status(config), []
    for item in config.chosen_sets(names):
        record = status.of_set(item.name)
        places = [place for place in config.repositories if status.success(item.name, place)]
        if not places:
            if not item.vacant:
                problems.append(f"{item.name} has no backup to restore")
            continue
        drills = record["drills"]
        place = min(places, key=lambda place: drills[place.name]["time"] if place.name in drills else "")
        outcome = drill_set(config, item, place, lock)
        record["drills"][place.name] = outcome
        problems += save_status(status)
        if outcome["ok"]:
            found = [f"{outcome['files']} files", *outcome["services"]]
            if outcome["databases"]:
                found.insert(1, f"{outcome['databases']} SQLite databases")
            say(
                f"{item.name}: snapshot {outcome['snapshot']} of {place.name} passed the restore drill; as they were "
                f"saved: {', '.join(found)}"
            )
        else:
            problems.append(f"{item.name} cannot be restored from {place.name}: {outcome['problem']}")
    return problems
