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
from .config import BackupSet, Config
from .errors import BackupError, say
from .moves import carry_out, plan_moves
from .private import clear, private_directory, write_private
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
    settle(target, manifest, item)
    done = {
        "set": item.name if item else escaped(manifest.set),
        "snapshot": snapshot.id,
        "time": snapshot.time,
        "repository": snapshot.restic.repository.name,
        "target": str(target),
        "paths": manifest.saved_paths,
        "databases": [escaped(database["path"]) for database in manifest.databases],
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
        done = finish(config, plan, journal, stop)
        if wanted == "latest" or plan["snapshot"].startswith(wanted[:8]):
            return done
    snapshot = find()
    target = config.restored / f"{item.name}-{snapshot.id}.in-place"
    clear(target)
    restored = restore_aside(snapshot, target, item)
    refuse_foreign(restored, item)
    moves = plan_moves(restored, re.sub("[-:Z]", "", clock.timestamp()))
    plan = {**restored, "moves": moves, "not_restored": not_restored(item)}
    write_private(journal, plan)
    return finish(config, plan, journal, stop)


def not_restored(item: BackupSet) -> list[str]:
    """What a restore in place leaves as it is, in sentences: a person must not take a part for the whole."""
    sentences = []
    if item.before:
        commands = ", ".join(f"`{escaped(command)}`" for command in item.before)
        sentences.append(f"What {commands} wrote is back as files, and was loaded nowhere: load it yourself.")
    if item.owner:
        sentences.append("The code, the settings and the secrets of the app are as they were before the restore.")
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


def finish(config: Config, plan: Mapping[str, Any], journal: Path, stop: str) -> dict[str, Any]:
    """Carry out a recorded plan, and remove its record."""
    with stopped(config, stop) as notices:
        restored = carry_out(plan["moves"])
    clear(Path(plan["target"]))
    status = Status(config)
    copies = status.of_set(plan["set"]).setdefault("copies", [])
    copies += [move["previous"] for move in restored if move["previous"]]
    status.save()
    journal.unlink()
    outcome = {key: plan[key] for key in ("set", "snapshot", "time", "repository")}
    # An interrupted restore of the version before has no record of these.
    more = {key: plan.get(key, []) for key in ("databases", "not_restored")}
    return {**outcome, **more, "restored": restored, "notices": notices}


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
