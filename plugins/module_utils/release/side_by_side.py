# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many apps are deployed at the same time: each in its unit, as many as the host has room for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# What a build with a compiler at work may need; the apps that run already have theirs.
MEMORY_OF_A_BUILD = 2**30


def slots(root: Path = Path("/")) -> int:
    """The builds that the host takes at once: one for each GiB of free memory, at most one a core; one at least."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", (root / "proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    free = 1024 * int(found[1]) if found else 0
    return max(1, min(len(os.sched_getaffinity(0)), free // MEMORY_OF_A_BUILD))


def side_by_side(act: Callable[[Item], Outcome], items: Iterable[Item], number: int) -> list[Outcome]:
    """Act on each of the items, so many at a time; the outcomes, in the order of the items.

    :raises Exception: what the first of them raised, once all have ended.
    """
    with ThreadPoolExecutor(max_workers=max(1, number)) as pool:
        return list(pool.map(act, items))
