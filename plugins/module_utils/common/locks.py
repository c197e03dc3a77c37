# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks that no two runs of a program hold at once, and that no other account can take."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .files import make_parents

POLL_SECONDS = 0.2


class BusyError(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(path: Path, wait: float = 0) -> Iterator[int]:
    """Hold a lock for the time of the block; yields its descriptor, which a child process can inherit.

    An account that can open a file can lock it for ever. The lock therefore lies in a directory that only root enters;
    it is made if need be, in a directory that only root can write to.

    :param path: the file, which is made if need be. Nothing else belongs in its directory.
    :param wait: seconds to wait for the lock.
    :raises BusyError: another process still holds it after that time.
    :raises PermissionError: the directory does not belong to root.
    """
    make_parents(path.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path.parent, 0o700)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(directory).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "the directory does not belong to root: remove it", str(path.parent))
        os.fchmod(directory, 0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path.name, flags, 0o600, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        os.fchmod(descriptor, 0o600)
        acquire(descriptor, wait)
        yield descriptor
    finally:
        os.close(descriptor)


def acquire(descriptor: int, wait: float) -> None:
    """Lock an open file; BusyError when it is not free within ``wait`` seconds."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BusyError(f"another process has held the lock for {wait:.0f} s") from None
            time.sleep(POLL_SECONDS)
