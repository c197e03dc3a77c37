# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load what a snapshot has of a set's services beside what is live, compare it, and put it in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import service_database, service_redis
from .config import BackupSet, Config
from .errors import BackupError, say
from .private import clear
from .service_database import DRILL, FRESH
from .service_steps import AsTheApp
from .services import DIRECTORY, NAMES
from .snapshot import SnapshotManifest, below

ASIDE = ".groundwork-services"  # in a restored tree

# For each database that a restore has loaded: the provider, its name until it is live, the live one's from then on.
Exchanged = Sequence[Mapping[str, str]]


def take_aside(target: Path, manifest: SnapshotManifest) -> None:
    """Take what services had been saved out of a restored stage, which is about to be removed."""
    if manifest.services:
        (manifest.stage / DIRECTORY).rename(target / ASIDE)


def drill_services(config: Config, item: BackupSet, manifest: SnapshotManifest, seconds: float) -> list[str]:
    """Load what was saved of each service beside the live one, compare and remove it; what is wrong with it."""
    problems = []
    for service, entry in manifest.services.items():
        if service not in item.services:
            continue  # The set has it no more, so this host may not have its server.
        app = AsTheApp(config, item, seconds)
        source, place = manifest.stage / DIRECTORY / service, manifest.stage / f"load-{service}"
        try:
            if service == "redis":
                service_redis.load(app, entry, source, place)
            else:
                loaded = service_database.load(app, service, entry, source, place, DRILL)
                service_database.drop(item.user, service, loaded)
        except BackupError as error:
            problems.append(f"{NAMES[service]}: {error}")
    return problems


def prepare(config: Config, item: BackupSet, restored: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    """Load what was saved of the services beside what is live, and compare it: nothing that is live changes.

    :param restored: what ``restore_aside`` returned.
    :returns: the paths that are put in place beside those of the set, the databases whose names are exchanged, and what
        was not loaded, in sentences.
    """
    paths: list[str] = []
    exchanged: list[dict[str, str]] = []
    target = Path(restored["target"])
    notes: list[str] = []
    for service, entry in restored.get("services", {}).items():
        if service not in item.services:
            continue
        app = AsTheApp(config, item, item.timeout or config.set_timeout)
        source = target / ASIDE / service
        try:
            if service == "redis":
                data = service_redis.directory(item.user)
                clear(below(target, str(data)))
                service_redis.load(app, entry, source, below(target, str(data)))
                paths.append(str(data))
            else:
                fresh = service_database.load(app, service, entry, source, target / f"{ASIDE}-load", FRESH)
                kept = f"{item.user}.before_{stamp.lower()}"  # MariaDB keeps names in small letters.
                exchanged.append({"provider": service, "fresh": fresh, "kept": kept})
        except BackupError as error:
            abandon(item, exchanged)
            raise BackupError(f"{NAMES[service]} cannot be restored, and nothing was changed: {error}") from error
        notes += app.notes
    return {"service_paths": paths, "exchanged": exchanged, "notes": notes}


def abandon(item: BackupSet, exchanged: Exchanged) -> None:
    """Drop the databases that were loaded for a restore which is not carried out."""
    for one in exchanged:
        try:
            service_database.drop(item.user, one["provider"], one["fresh"])
        except BackupError as error:
            say(f"WARNING: the database {one['fresh']} is left: {error}")


def are_beside(item: BackupSet, exchanged: Exchanged) -> bool:
    """Whether all databases that were loaded are beside the live ones still; False also where that is not known."""
    try:
        return all(one["fresh"] in service_database.databases(item.user, one["provider"]) for one in exchanged)
    except BackupError:
        return False


@contextmanager
def redis_still(config: Config, item: BackupSet, paths: Sequence[str]) -> Iterator[None]:
    """Keep the Redis of an app stopped while its files are exchanged, if they are."""
    with ExitStack() as stack:
        if paths:
            stack.enter_context(service_redis.standing_still(config, item.user))
        yield


def exchange(item: BackupSet, exchanged: Exchanged) -> None:
    """Put the loaded databases in place of the live ones, as far as that is not done yet."""
    for one in exchanged:
        service_database.swap(item.user, one["provider"], one["fresh"], one["kept"])


def exchange_back(item: BackupSet, exchanged: Exchanged) -> None:
    """Put the databases that were live in their place again, as far as they were exchanged."""
    for one in exchanged:
        service_database.swap(item.user, one["provider"], one["kept"], one["fresh"])
