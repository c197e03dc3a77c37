# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories that root alone can enter."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import paths as tree
from .errors import BackupError, BusyError


def write_private(path: Path, content: Any) -> None:
    """Write JSON that only root reads, by a rename, and onto the disk."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream, indent=1, sort_keys=True)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


@contextlib.contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[int]:
    """Hold a lock, waiting for at most so many seconds; raises BusyError when another holds it.

    The lock is in a directory that only root enters: whoever could open the file could hold it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = os.open(path.parent, tree.DIRECTORY)
    try:
        if os.fstat(directory).st_uid != os.geteuid():
            raise BackupError(f"{path.parent} is not root's: remove it")
        os.fchmod(directory, 0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path.name, flags, 0o600, dir_fd=directory)
    finally:
        os.close(directory)
    deadline = time.monotonic() + wait
    try:
        os.fchmod(descriptor, 0o600)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise BusyError("another backup or restore is running") from None
                time.sleep(0.5)
        yield descriptor
    finally:
        os.close(descriptor)


def private_directory(path: Path) -> Path:
    """The directory, made if need be, which only root enters."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def clear(path: Path) -> None:
    """Remove what is at a path of root's own, if it is there."""
    with contextlib.suppress(FileNotFoundError), tree.parent_of(str(path)) as (parent, name):
        tree.remove(parent, name)
