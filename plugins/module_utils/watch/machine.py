# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host itself: memory, disks, clock, whether a reboot is due. All of it is cheap."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ..common.on_host import on_host
from ..verify import resources
from ..verify.look import Look as Host
from ..verify.look import started_at
from .records import Machine

REBOOT = "/run/reboot-required"


def read(apps: Iterable[str], host: Host) -> Machine:
    """What is read in each look."""
    memory = resources.meminfo(host)
    load = host.read("/proc/loadavg").split()
    return Machine(
        boot=started_at("1", host) or None,
        load=float(load[0]) if load else None,
        cores=len(os.sched_getaffinity(0)),
        memory=memory.get("MemTotal"),
        memory_available=memory.get("MemAvailable"),
        swap=memory.get("SwapTotal"),
        swap_free=memory.get("SwapFree"),
        disks=disks(apps, host),
    )


def disks(apps: Iterable[str], host: Host) -> list[dict[str, Any]]:
    """The file systems of the host, of the apps' data, and of what the watch itself keeps."""
    places = (*resources.PLACES, on_host("state"), *(on_host(kind, app) for app in apps for kind in ("data", "cache")))
    return [
        {
            "mount": place,
            "size": one["total"],
            "free": one["free"],
            "inodes": one["inodes"],
            "inodes_free": one["inodes_free"],
        }
        for place, one in resources.file_systems(host, places).items()
    ]


def reboot_pending(host: Host) -> bool:
    """Whether a reboot is due; as ``verify`` has it, but for programs with files that an update has replaced."""
    from ..verify import updates  # what it needs beside this is read once in five minutes

    newer = updates.newer_kernel(host)
    return host.path(REBOOT).exists() or (bool(newer) and not updates.is_container(host))


def clock_synchronized(host: Host) -> bool | None:
    """Whether something keeps the clock right; None in a container, whose clock is its machine's."""
    from ..verify import kernel, updates

    return None if updates.is_container(host) else kernel.is_synchronized()
