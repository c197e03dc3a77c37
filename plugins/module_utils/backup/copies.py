# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restores leave on the host: list it, and remove it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence

from ..common import paths, trees
from .config import Config
from .errors import BackupError
from .restore import restore_journal
from .service_database import TITLES, drop, left_over
from .status import Status

RESTORED_NAME = r"-[0-9a-f]{8}(\.in-place)?"
ASIDE_NAME = r"\.before-restore-\d{8}T\d{6}(-wal|-shm|-journal)?(\.\d+)?"


def kept_copies(status: Status, name: str) -> list[str]:
    """What restores of a set have left: paths, and databases as a message names them."""
    return [*kept_paths(status, name), *map(kept_database, status.sets.get(name, {}).get("kept_databases", []))]


def kept_database(database: Mapping[str, str]) -> str:
    """A database that a restore has kept, as a message names it."""
    return f"the {TITLES[database['provider']]} database {database['name']}"


def kept_paths(status: Status, name: str) -> list[str]:
    """The paths that restores of a set have left: what was in its paths before, and what was restored beside them.

    It is remembered; what was left by an earlier version of this program is recognised by its name.
    """
    config = status.config
    found = dict.fromkeys(status.sets.get(name, {}).get("copies", []))
    restored = str(config.restored)
    found.update(dict.fromkeys(f"{restored}/{entry}" for entry in named(restored, name, RESTORED_NAME)))
    for path in (path for item in config.sets if item.name == name for path in (*item.paths, *item.databases)):
        with contextlib.suppress(OSError):
            above, _slash, last = paths.resolved(path).rpartition("/")
            found.update(dict.fromkeys(f"{above}/{entry}" for entry in named(above, last, ASIDE_NAME)))
    return [path for path in found if paths.status_of(path)]


def named(directory: str, name: str, suffix: str) -> list[str]:
    """The entries of a directory whose name is this one with a suffix, a regular expression."""
    try:
        with paths.directory(directory or "/") as descriptor:
            return sorted(entry for entry in os.listdir(descriptor) if re.fullmatch(re.escape(name) + suffix, entry))
    except OSError:
        return []


def forget_copies(config: Config, name: str) -> list[str]:
    """Remove what restores of a set have left; the paths. A restore that was interrupted raises BackupError.

    The set may be one that is no longer configured.
    """
    status = Status(config)
    if restore_journal(config, name).exists():
        raise BackupError(
            f"a restore of {name} was interrupted, and one of its copies may be all there is of the data. "
            f"Finish it first: restore {name} --in-place"
        )
    gone: list[str] = []
    left: list[str] = []
    record = status.sets.get(name, {})
    for database in beside(config, name, record.get("kept_databases", []), left):
        try:
            drop(database["app"], database["provider"], database["name"])
            gone.append(kept_database(database))
        except BackupError as error:
            left.append(f"{kept_database(database)}: {error}")
    if not left:
        record.pop("kept_databases", None)
    for path in kept_paths(status, name):
        try:
            with paths.parent_of(path) as (parent, last):
                trees.remove_at(parent, last)
            gone.append(path)
        except OSError as error:
            left.append(f"{path}: {error.strerror}")
    if name in status.sets:
        record["copies"] = kept_paths(status, name)
        status.save()
    if left:
        raise BackupError(f"could not be removed: {'; '.join(left)}")
    return gone


def beside(
    config: Config, name: str, kept: Sequence[Mapping[str, str]], problems: list[str]
) -> list[Mapping[str, str]]:
    """The databases that restores of a set have kept, and those that a restore or drill which was killed has left."""
    found = list(kept)
    for item in config.sets:
        for provider in TITLES if item.name == name else ():
            if provider in item.services:
                try:
                    names = left_over(item.user, provider)
                    found += [{"app": item.user, "provider": provider, "name": one} for one in names]
                except BackupError as error:
                    problems.append(str(error))
    return found
