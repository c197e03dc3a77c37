# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a set beside the live files, or in their place."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..common import clock, paths
from ..common.text import escaped
from .commands import shell
from .config import BackupSet, Config
from .errors import BackupError, say
from .moves import carry_out, plan_moves, take_back
from .private import clear, private_directory, write_private
from .service_restore import abandon, are_beside, exchange, exchange_back, prepare, redis_still, take_aside
from .services import NAMES, not_touched
from .settle import settle
from .snapshot import Snapshot, find_snapshot, is_within
from .status import Status
from .units import stopped


def restore_aside(snapshot: Snapshot, target: Path, item: BackupSet | None) -> dict[str, Any]:
    """Restore into a directory of its own; what is there from the same snapshot is left as it is."""
    target = not_shared(target)
    marker = target / ".groundwork-restore.json"
    if marker.exists() and json.loads(marker.read_text())["snapshot"] == snapshot.id:
        done: dict[str, Any] = json.loads(marker.read_text())
        return done
    if target.exists() and any(target.iterdir()):
        if target.parent != not_shared(snapshot.restic.config.restored):
            raise BackupError(f"{target} is not empty. Name a directory that is not there yet.")
        clear(target)  # What an interrupted restore left: only this program writes there.
    elif target.exists():
        target.rmdir()
    private_directory(snapshot.restic.config.restored)
    manifest = snapshot.restore(target)
    take_aside(target, manifest)
    settle(target, manifest, item)
    done = {
        "set": item.name if item else escaped(manifest.set),
        "snapshot": snapshot.id,
        "time": snapshot.time,
        "repository": snapshot.restic.repository.name,
        "target": str(target),
        "paths": manifest.saved_paths,
        "databases": [escaped(database["path"]) for database in manifest.databases],
        "services": dict(manifest.services),
    }
    write_private(marker, done)
    return done


def not_shared(target: Path) -> Path:
    """The path without links; one in whose directories others than root could change anything raises BackupError."""
    try:
        place = paths.resolved(str(target))
        for passed, status in paths.ways(f"{place}/."):
            if not (paths.is_private(status) if passed == place else paths.keeps_names(status)):
                raise BackupError(
                    f"{target}: others than root can write to {passed}. Name a directory below directories of root's."
                )
    except FileNotFoundError:
        pass  # What is missing is made by root.
    except OSError as error:
        raise BackupError(f"{target}: {error.strerror}") from error
    return Path(place)


def restore_in_place(
    config: Config, item: BackupSet, find: Callable[[], Snapshot], stop: str, wanted: str
) -> dict[str, Any]:
    """Put a set's files where they were, and what is there aside.

    All is fetched and made ready first, so that the app stands still for the renames alone. What is about to be done
    is recorded first; a later call finishes what a crash has interrupted.
    """
    if item.optional:
        raise BackupError(
            f"the set {item.name} belongs to the whole host and is not restored in place. "
            f"Restore it to a directory (without --in-place) and copy from there what you need."
        )
    journal = restore_journal(config, item.name)
    if journal.exists():
        plan = json.loads(journal.read_text())
        say(f"An interrupted restore of {item.name} from snapshot {plan['snapshot']} is finished first.")
        done = finish(config, item, plan, stop)
        if wanted == "latest" or plan["snapshot"].startswith(wanted[:8]):
            return done
    snapshot = find()
    target = config.restored / f"{item.name}-{snapshot.id}.in-place"
    clear(target)
    restored = restore_aside(snapshot, target, item)
    refuse_foreign(restored, item)
    stamp = re.sub("[-:Z]", "", clock.timestamp())
    prepared = prepare(config, item, restored, stamp)
    try:
        moves = plan_moves({**restored, "paths": [*restored["paths"], *prepared["service_paths"]]}, stamp)
        left = [*not_restored(item), *not_touched(item, restored.get("services", {})), *prepared["notes"]]
        plan = {**restored, **prepared, "moves": moves, "not_restored": left}
        write_private(journal, plan)
    except BaseException:
        abandon(item, prepared["exchanged"])
        raise
    return finish(config, item, plan, stop)


def not_restored(item: BackupSet) -> list[str]:
    """What a restore in place leaves as it is, in sentences: a person must not take a part for the whole."""
    sentences = []
    if item.before and not item.restore:
        commands = ", ".join(f"`{escaped(command)}`" for command in item.before)
        sentences.append(f"What {commands} wrote is back as files, and was loaded nowhere: load it yourself.")
    if item.owner:
        sentences.append("The code, the settings and the secrets of the app are as they were before the restore.")
    if item.services:
        sentences.append("Data kept elsewhere, such as on another host or in a cache, was not touched.")
    else:
        sentences.append("Data kept elsewhere, such as in PostgreSQL, MySQL or Redis, was not touched.")
    return sentences


def restore_journal(config: Config, name: str) -> Path:
    """The file that says what a restore in place is about to do, while it does it."""
    return config.state / f"restore-{name}.json"


def refuse_foreign(restored: Mapping[str, Any], item: BackupSet) -> None:
    """Raise BackupError when a snapshot holds what is no path of its set; nothing else is put in place."""
    try:
        allowed = {paths.resolved(path) for path in (*item.paths, *item.databases)}
        foreign = [path for path in restored["paths"] if not is_within(paths.resolved(path), allowed)]
    except OSError as error:
        raise BackupError(f"{error.filename}: {error.strerror}") from error
    if foreign:
        raise BackupError(
            f"the snapshot {restored['snapshot']} holds {', '.join(foreign)}, which is no path of the set {item.name} "
            f"(any more). It is in {restored['target']}: copy from there what you need, or add the path to the set."
        )


def finish(config: Config, item: BackupSet, plan: Mapping[str, Any], stop: str) -> dict[str, Any]:
    """Carry out a recorded plan, have the set's commands load what they load, and remove its record.

    A command that fails is raised once all is in place and what was there is remembered.
    """
    problem, begun = "", False
    restored: list[dict[str, str]] = []
    try:
        # Nothing of an app may write to what is exchanged.
        with stopped(config, stop or (item.user if item.services else "")) as notices:
            begun = True
            restored = put_in_place(config, item, plan)
            remember(config, item, plan, restored)
            try:
                for command in item.restore:
                    shell(command, item, "restore", item.timeout or config.set_timeout)
            except BackupError as error:
                problem = f"{error}. Correct the command and run it, or restore again"
            restore_journal(config, plan["set"]).unlink()
    except BackupError as error:
        if not begun:
            give_up(config, item, plan)
        if not restored:
            raise
        problem = problem or str(error)  # It could not be started again.
    clear(Path(plan["target"]))
    if problem:
        kept = ", ".join([*(move["previous"] for move in restored if move["previous"]), *kept_databases(plan)])
        raise BackupError(
            f"The data of {item.name} is that of snapshot {plan['snapshot']}, and what was there is kept in "
            f"{kept or 'nothing'}; but {problem}"
        )
    outcome = {key: plan[key] for key in ("set", "snapshot", "time", "repository")}
    # An interrupted restore of the version before has no record of these.
    more = {key: plan.get(key, []) for key in ("databases", "not_restored")}
    loaded = [
        {"service": NAMES[one["provider"]], "database": item.user, "previous": one["kept"]}
        for one in plan.get("exchanged", [])
    ]
    queues = plan.get("service_paths", [])
    places = [{**one, **({"service": NAMES["redis"]} if one["path"] in queues else {})} for one in restored]
    return {**outcome, **more, "restored": places, "loaded": loaded, "notices": notices}


def put_in_place(config: Config, item: BackupSet, plan: Mapping[str, Any]) -> list[dict[str, str]]:
    """Exchange databases and files, all of them or none; each path, with where its previous content is now.

    The databases come first: their names are exchanged in one step, and what can go wrong with it has changed nothing.
    """
    exchanged = plan.get("exchanged", [])
    try:
        with redis_still(config, item, plan.get("service_paths", [])):
            try:
                exchange(item, exchanged)
                return carry_out(plan["moves"])
            except (BackupError, OSError):
                take_back(plan["moves"])
                exchange_back(item, exchanged)
                raise
    except (BackupError, OSError) as error:
        if not give_up(config, item, plan):
            raise  # The record has the next call finish it.
        raise BackupError(f"{error}. Everything is as it was before the restore.") from error


def give_up(config: Config, item: BackupSet, plan: Mapping[str, Any]) -> bool:
    """Remove what was made ready and the record of it, unless a part of it is in place."""
    exchanged = plan.get("exchanged", [])
    if not all(paths.status_of(move["new"]) for move in plan["moves"]) or not are_beside(item, exchanged):
        return False
    abandon(item, exchanged)
    restore_journal(config, plan["set"]).unlink()
    clear(Path(plan["target"]))
    return True


def remember(config: Config, item: BackupSet, plan: Mapping[str, Any], restored: list[dict[str, str]]) -> None:
    """Remember what the restore has kept, for `status` and `forget-copies`."""
    status = Status(config)
    record = status.of_set(plan["set"])
    copies, databases = record.setdefault("copies", []), record.setdefault("kept_databases", [])
    copies += [move["previous"] for move in restored if move["previous"] not in ("", *copies)]
    for one in plan.get("exchanged", []):
        kept = {"app": item.user, "provider": one["provider"], "name": one["kept"]}
        databases += [kept] if kept not in databases else []
    status.save()


def kept_databases(plan: Mapping[str, Any]) -> list[str]:
    """The databases that a restore has kept, as a message names them."""
    return [f"the {NAMES[one['provider']]} database {one['kept']}" for one in plan.get("exchanged", [])]


def restore(config: Config, arguments: argparse.Namespace, lock: int) -> dict[str, Any]:
    """Restore a set as the command line says."""
    item = next((item for item in config.sets if item.name == arguments.name), None)

    def find() -> Snapshot:
        return find_snapshot(config, arguments.name, arguments.snapshot, lock, arguments.repository)

    if arguments.in_place:
        if item is None:
            raise BackupError(
                f"{arguments.name} is no backup set of this host any more; restore it to a directory instead"
            )
        return restore_in_place(config, item, find, arguments.stop, arguments.snapshot)
    snapshot = find()
    target = arguments.target or config.restored / f"{arguments.name}-{snapshot.id}"
    return restore_aside(snapshot, Path(os.path.abspath(target)), item)
