# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Back up the sets."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..common import clock, trees
from ..common.clock import DAY
from ..common.text import escaped
from .commands import shell
from .config import BackupSet, Config, Repository
from .errors import BackupError, limited, say
from .private import clear
from .restic import Restic
from .space import MEBIBYTE, need_space, shown_size
from .stage import Stage
from .status import Status, save_status

# A copy with less than half of the last one's bytes or files is warned of, for a week: a clean-up or a rotation seldom
# takes half of an app's data, a mistake or an attack usually takes all of it, and after seven days the default
# retention has only weekly copies of what was there before.
MUCH_SMALLER, WARNED_FOR = 0.5, 7 * DAY
# Below these sizes, half of it means nothing.
SMALL_SET, FEW_FILES, SMALL_DATABASE = MEBIBYTE, 20, 32768
# An app can make any number of databases: of those that were only found, so many, the largest, are compared one by one.
COMPARED_DATABASES, COMPARED_PATH = 100, 500


def back_up_set(item: BackupSet, repositories: Sequence[Restic], status: Status) -> list[str]:
    """Make a snapshot of one set in each of these repositories; return what went wrong.

    Whatever its data or its commands do, it is this set's error: the others go on.
    """
    stage, record, problems = Stage(status.config, item), status.of_set(item.name), []
    seconds, began = item.timeout or status.config.set_timeout, time.monotonic()

    def attempt(work: Callable[[], None], what: str) -> bool:
        try:
            with limited(seconds, what):
                work()
        except BackupError as error:
            problems.append(str(error))
        except Exception as error:
            problems.append(escaped(f"{what}: {type(error).__name__}: {error}"))
        else:
            return True
        return False

    def prepare() -> None:
        for command in item.before:
            shell(command, item, "before", seconds)
        stage.fill(seconds)

    def save(restic: Restic) -> None:
        name = restic.repository.name
        last = record["repositories"].get(name) or {}
        if restic.repository.directory:
            need_space(restic.repository.directory, 2 * last.get("added", 0) + 64 * MEBIBYTE, "the snapshot")
        done = restic.backup(item, stage)
        record["repositories"][name] = done
        compare_with_last(record, done, restic.repository, stage)
        say(
            f"{item.name}: snapshot {done['snapshot']} in {name}, {done['files']} files, "
            f"{shown_size(done['size'])}, {shown_size(done['added'])} of it new"
        )

    try:
        if attempt(prepare, "preparing it"):
            for restic in () if item.vacant else repositories:
                attempt(partial(save, restic), f"saving it in {restic.repository.name}")
    finally:
        attempt(stage.remove, "removing the copies of its databases")
        for command in item.after:
            attempt(partial(shell, command, item, "after", seconds), f"`{command}`")
    record["warnings"] = stage.warnings
    for warning in stage.warnings:
        say(f"WARNING: {item.name}: {warning}")
    record.update(attempted=clock.timestamp(), seconds=round(time.monotonic() - began, 1))
    return problems


def compare_with_last(record: dict[str, Any], done: Mapping[str, Any], repository: Repository, stage: Stage) -> None:
    """Warn when a copy is much smaller than the one before, for a week; remember this one for the next comparison."""
    last = record.get("baseline")
    if last and last["repository"] not in [place.name for place in stage.config.repositories]:
        last = None
    if last and last["repository"] != repository.name:
        return  # The same data went to that repository too.
    lost = losses(last, done, stage.databases, stage.caches) if last else []
    since = (last or {}).get("smaller_since") or clock.timestamp()
    if last and lost and clock.now() - clock.parse(since) < WARNED_FOR:
        last["smaller_since"] = since
        stage.warn(
            f"it is much smaller than on {last['time']} (snapshot {last['snapshot']} in {repository.name}): "
            f"{'; '.join(lost)}. If that should not be, restore that snapshot; else this ends a week after {since}."
        )
        return
    record["baseline"] = {
        "repository": repository.name,
        **{key: done[key] for key in ("time", "snapshot", "size", "files")},
        "databases": compared_databases(stage.databases, stage.item.databases),
        "smaller_since": None,
    }


def compared_databases(sizes: Mapping[str, int], named: Sequence[str]) -> dict[str, int]:
    """The sizes that are remembered for the next comparison: those of named databases, and of the largest others."""
    others = [path for path, size in sizes.items() if size >= SMALL_DATABASE and len(path) <= COMPARED_PATH]
    largest = sorted(others, key=lambda path: (-sizes[path], path))[:COMPARED_DATABASES]
    return {path: sizes[path] for path in sorted({*largest, *named} & sizes.keys())}


def losses(
    last: Mapping[str, Any], done: Mapping[str, Any], databases: Mapping[str, int], caches: Sequence[str]
) -> list[str]:
    """What is much smaller in a copy than in an earlier one."""
    lost = []
    if last["size"] >= SMALL_SET and done["size"] < last["size"] * MUCH_SMALLER:
        lost.append(f"{shown_size(done['size'])} instead of {shown_size(last['size'])}")
    if last["files"] >= FEW_FILES and done["files"] < last["files"] * MUCH_SMALLER:
        lost.append(f"{done['files']} files instead of {last['files']}")
    for path, size in last["databases"].items():
        now_has = databases.get(path, 0)
        if size >= SMALL_DATABASE and now_has < size * MUCH_SMALLER and len(lost) < 5:
            lost.append(
                f"the database {path} has {shown_size(now_has)} instead of {shown_size(size)}"
                if path in databases
                else f"the database {path} is gone"
            )
    if lost and caches:
        lost.append(f"left out as caches (they hold a {trees.CACHE_TAG}): {', '.join(caches[:3])}")
    return lost


def run(config: Config, names: Sequence[str], lock: int, only_missing: bool = False) -> tuple[bool, list[str]]:
    """Back up these sets (or all) and let the retention take its course.

    :param only_missing: back up only what has no snapshot yet, and remove nothing.
    :returns: whether anything was done, and what went wrong.
    """
    status = Status(config)
    wanted = missing(status, config.chosen_sets(names), only_missing)
    if not wanted:
        return False, []
    clear(config.state / "drill")
    opened: dict[str, Restic] = {}
    failed: dict[str, str] = {}
    for repository in config.repositories:
        if any(repository.name in places for _item, places in wanted):
            restic = Restic(config, repository, lock)
            try:
                restic.open(status)
                opened[repository.name] = restic
            except (BackupError, OSError) as error:
                failed[repository.name] = escaped(str(error))
    problems, unsaved = list(failed.values()), []
    for item, places in wanted:
        unopened = [failed[name] for name in places if name in failed]
        usable = [opened[name] for name in places if name in opened]
        found = back_up_set(item, usable, status) if usable else []
        status.of_set(item.name)["error"] = "; ".join(unopened + found) or None
        problems += [f"{item.name}: {problem}" for problem in found]
        if unopened or found:
            unsaved.append(item.name)
        problems += save_status(status)
    for restic in opened.values():
        if restic.repository.prune and not only_missing:
            try:
                if restic.ended_early:
                    restic.unlock()  # It left its lock.
                restic.forget()
            except (BackupError, OSError) as error:
                problems.append(escaped(str(error)))
    if unsaved:
        problems.append(f"not saved, or not everywhere: {', '.join(unsaved)} (of {len(wanted)} sets)")
    return True, problems


def missing(status: Status, items: Sequence[BackupSet], only_missing: bool) -> list[tuple[BackupSet, list[str]]]:
    """Each set with the repositories it has to go to: all of them, or those without a snapshot of it."""
    wanted = []
    for item in items:
        names = [
            repository.name
            for repository in status.config.repositories
            if not only_missing or status.success(item.name, repository) is None
        ]
        if names and not item.vacant:
            wanted.append((item, names))
    return wanted
