# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy that is much smaller than the one before: it is saved, and warned of for a week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..common import clock, trees
from ..common.clock import DAY
from .config import Repository
from .space import MEBIBYTE, shown_size
from .stage import Stage

# A copy with less than half of the last one's bytes or files is warned of, for a week: a clean-up or a rotation seldom
# takes half of an app's data, a mistake or an attack usually takes all of it, and after seven days the default
# retention has only weekly copies of what was there before.
MUCH_SMALLER, WARNED_FOR = 0.5, 7 * DAY
# Below these sizes, half of it means nothing.
SMALL_SET, FEW_FILES, SMALL_DATABASE = MEBIBYTE, 20, 32768
# An app can make any number of databases: of those that were only found, so many, the largest, are compared one by one.
COMPARED_DATABASES, COMPARED_PATH = 100, 500


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
