# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of data, and the room that is left for it on a disk and in memory."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from .errors import BackupError

MEBIBYTE = 1 << 20


def free_share(directory: str | None) -> float | None:
    """The free part, 0 to 1, of the disk of a directory (or of its nearest parent that is there)."""
    if directory is None:
        return None
    usage = shutil.disk_usage(nearest(directory))
    return usage.free / usage.total


def nearest(path: str | Path) -> str:
    """The path itself or its nearest parent that is there."""
    path = str(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def need_space(path: str | Path, needed: float, purpose: str) -> None:
    """Raise BackupError when the disk of ``path`` has less than ``needed`` bytes free."""
    free = shutil.disk_usage(nearest(path)).free
    if free < needed:
        raise BackupError(
            f"{purpose} needs {shown_size(needed)} on the disk of {path}, which has {shown_size(free)} left: make room"
        )


def need_memory(needed: float, purpose: str, meminfo: Path = Path("/proc/meminfo")) -> None:
    """Raise BackupError when the host has less than ``needed`` bytes of memory available."""
    found = re.search(r"^MemAvailable: +(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    available = int(found[1]) * 1024 if found else needed
    if available < needed:
        raise BackupError(
            f"{purpose} needs {shown_size(needed)} of memory, and the host has {shown_size(available)} available: "
            "try again when less runs on it"
        )


def shown_size(size: float) -> str:
    """A number of bytes as a person reads it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
