# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headroom: disks and their inodes, memory and swap."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from ..common.on_host import on_host
from .expected import Expected
from .finding import Finding, State
from .look import Look

# The file systems on which a host stands; each is looked at once, wherever it is mounted.
PLACES = ("/", "/var", "/boot", *(on_host(name) for name in ("homes", "datas", "caches")), "/var/log")
# Shares in use from which on a file system is named, and from which on it is a problem.
DISK_WARNING, DISK_PROBLEM = 0.85, 0.95
MEMORY_WARNING, MEMORY_PROBLEM = 0.10, 0.03  # of the memory that is still available
SWAP_WARNING = 0.80  # of the swap that is in use


def disk(_expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the file systems have space and inodes left."""
    tight = False
    disks = file_systems(look)
    for place, found in disks.items():
        for what, total, free in (
            ("space", found["total"], found["free"]),
            ("inodes", found["inodes"], found["inodes_free"]),
        ):
            used = 1 - free / total if total else 0.0
            state = level(used, DISK_WARNING, DISK_PROBLEM)
            if state == "ok":
                continue
            tight = True
            unit = f"{free / 2**30:.1f} GB left" if what == "space" else f"{free} left"
            yield Finding(
                "disk",
                "host",
                state,
                f"{place} has used {used:.0%} of its {what} ({unit}).",
                f"Find what grows with `du -x --max-depth=2 {place} | sort -n | tail`, or enlarge the disk.",
            )
    if not tight:
        shown = ", ".join(f"{place} {one['free'] / 2**30:.1f} GB" for place, one in disks.items())
        yield Finding("disk", "host", "ok", f"Free: {shown}.")


def memory(_expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether memory and swap have room."""
    found = meminfo(look)
    total, available = found.get("MemTotal", 0), found.get("MemAvailable", 0)
    swap, swap_free = found.get("SwapTotal", 0), found.get("SwapFree", 0)
    share = available / total if total else 1.0
    state: State = "problem" if share < MEMORY_PROBLEM else "warning" if share < MEMORY_WARNING else "ok"
    remedy = "Lower `workers` of an app, add swap, or take a larger server."
    shown = f"{available / 2**20:.0f} of {total / 2**20:.0f} MB of memory are available"
    yield Finding("memory", "host", state, f"{shown}.", "" if state == "ok" else remedy)
    if swap and 1 - swap_free / swap > SWAP_WARNING:
        yield Finding(
            "memory",
            "host",
            "warning",
            f"{(swap - swap_free) / 2**20:.0f} of {swap / 2**20:.0f} MB of swap are in use.",
            remedy,
        )


def level(value: float, warning: float, problem: float) -> State:
    """The state of a share that is better low."""
    return "problem" if value >= problem else "warning" if value >= warning else "ok"


def file_systems(look: Look, places: Iterable[str] = PLACES) -> dict[str, Mapping[str, int]]:
    """Size and free space in bytes, and inodes, of each file system, by the first place that it is seen at."""
    found: dict[str, Mapping[str, int]] = {}
    seen: set[int] = set()
    for place in places:
        try:
            device, space = os.stat(look.path(place)).st_dev, os.statvfs(look.path(place))
        except OSError:
            continue
        if device in seen:
            continue
        seen.add(device)
        found[place] = {
            "total": space.f_blocks * space.f_frsize,
            "free": space.f_bavail * space.f_frsize,
            "inodes": space.f_files,
            "inodes_free": space.f_favail,
        }
    return found


def meminfo(look: Look) -> dict[str, int]:
    """The numbers of /proc/meminfo in bytes."""
    rows = (row.split() for row in look.read("/proc/meminfo").splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) > 1 and row[1].isdigit()}
