# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have the kernel follow no link for a program of root's, below what others can change.

As a program: ``links.py PATH… -- COMMAND…`` executes the command so.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Sequence

# What mount(2) and unshare(2) take; Python has no names for these.
NEW_MOUNTS, REMOUNT, BIND, RECURSIVE, PRIVATE, NO_SYMLINKS = 0x20000, 32, 4096, 16384, 1 << 18, 256
KEPT_FLAGS = os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
UNCONFINED = "groundwork: links could be followed"


def follow_no_link(paths: Sequence[str]) -> None:
    """Have the kernel follow no link below these paths, for this process and what it starts (Linux 5.10 and later).

    An app that exchanges one of its directories for a link while it is saved would otherwise have another's files
    saved as its own. Where a host does not allow it, the process says so on stderr, and goes on.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)

        def call(status: int) -> None:
            if status:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))

        def mount(source: str, target: str, flags: int) -> None:
            call(libc.mount(os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None))

        call(libc.unshare(NEW_MOUNTS))
        mount("none", "/", RECURSIVE | PRIVATE)
        for path in paths:
            mount(path, path, BIND | RECURSIVE)
        with open("/proc/self/mountinfo", "rb") as stream:
            fields = [line.split()[4] for line in stream]
        places = {os.fsdecode(re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1], 8)]), name)) for name in fields}
        for place in places:
            if any(place == path or place.startswith(f"{path}/") for path in paths):
                mount("none", place, REMOUNT | BIND | NO_SYMLINKS | (os.statvfs(place).f_flag & KEPT_FLAGS))
    except OSError as error:
        os.write(2, f"{UNCONFINED}: {error.strerror}\n".encode())


def main(*given: str) -> None:
    """Execute the command behind ``--``, which follows no link below the paths before it."""
    paths, argv = given[: given.index("--")], given[given.index("--") + 1 :]
    follow_no_link(paths)
    os.execv(argv[0], argv)  # noqa: S606 - there is no shell to be started


if __name__ == "__main__":
    main(*sys.argv[1:])
