# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Absolute paths that others than root can change, handled by root from descriptor to descriptor.

A link counts where root alone can have made it, in a directory that only root can write to; :func:`resolved` follows it
once. The other functions take paths without links and stop at any that appears. A file is opened only if it is regular.
``trees`` does the same for what lies below one directory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO must not block whoever opens it.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
LINK_LIMIT = 40  # as the kernel has it, see path_resolution(7)
GONE = (FileNotFoundError, NotADirectoryError)


def is_private(status: os.stat_result) -> bool:
    """True for a directory in which nobody but root (or whoever runs this) can make, move or remove anything."""
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022


def keeps_names(status: os.stat_result) -> bool:
    """True for a directory in which nobody else can move or remove what is root's: a private one, or one as /tmp."""
    return is_private(status) or (status.st_uid == 0 and bool(status.st_mode & stat.S_ISVTX))


def resolved(path: str) -> str:
    """The absolute path without links; what is not there yet is taken as it is written.

    :raises OSError: ELOOP for a link in a directory that others than root can write.
    """
    names: list[str] = []
    descriptors = [os.open("/", DIRECTORY)]
    todo, links = path.split("/")[::-1], 0
    try:
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if names:
                    names.pop()
                    os.close(descriptors.pop())
                continue
            try:
                found = os.open(part, LOOK, dir_fd=descriptors[-1])
            except GONE:
                names += [part, *(rest for rest in todo[::-1] if rest not in ("", "."))]
                break
            if not stat.S_ISLNK(os.fstat(found).st_mode):
                names.append(part)
                descriptors.append(found)
                continue
            os.close(found)
            links += 1
            if links > LINK_LIMIT or not is_private(os.fstat(descriptors[-1])):
                place = "/".join(["", *names, part])
                raise OSError(errno.ELOOP, "others than root can change this link; name what it leads to", place)
            target = os.readlink(part, dir_fd=descriptors[-1])
            if target.startswith("/"):
                names = []
                while len(descriptors) > 1:
                    os.close(descriptors.pop())
            todo += target.split("/")[::-1]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return "/" + "/".join(names)


def descend(directory: int, relative: str, create: bool = False) -> int:
    """Open a directory below another one; the caller closes it.

    :param create: make what is missing on the way.
    :raises OSError: ELOOP or ENOTDIR where a link, or a file, is on the way.
    """
    here = os.dup(directory)
    try:
        for part in relative.split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                raise OSError(errno.EINVAL, "a path here has no '..'", relative)
            try:
                inner = os.open(part, DIRECTORY, dir_fd=here)
            except FileNotFoundError:
                if not create:
                    raise
                inner = make_at(here, part)
            os.close(here)
            here = inner
    except BaseException:
        os.close(here)
        raise
    return here


def make_at(parent: int, name: str, mode: int = 0o755) -> int:
    """Make a directory in an open one, with this mode whatever the umask, and open it; one that is there is opened."""
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
        made = os.open(name, DIRECTORY, dir_fd=parent)
        os.fchmod(made, mode)
        return made
    return os.open(name, DIRECTORY, dir_fd=parent)


@contextmanager
def directory(path: str, create: bool = False) -> Iterator[int]:
    """A descriptor of the directory with this absolute path for the time of the block; see :func:`descend`."""
    root = os.open("/", DIRECTORY)
    try:
        found = descend(root, path, create)
    finally:
        os.close(root)
    try:
        yield found
    finally:
        os.close(found)


@contextmanager
def parent_of(path: str, create: bool = False) -> Iterator[tuple[int, str]]:
    """A descriptor of the directory that a path lies in, and the path's name in it."""
    above, _slash, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise OSError(errno.EINVAL, "it has no name", path)
    with directory(above, create) as found:
        yield found, name


def status_at(parent: int, name: str) -> os.stat_result | None:
    """The status of what has a name in a directory, be it a link; None when nothing has it."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def status_of(path: str) -> os.stat_result | None:
    """The status of what is at a path, be it a link; None when nothing is there, or only behind a link."""
    try:
        with parent_of(path) as (parent, name):
            return status_at(parent, name)
    except OSError as error:
        if isinstance(error, GONE) or error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            return None
        raise


def open_regular(parent: int, name: str) -> int:
    """Open a regular file to read it; the caller closes it.

    :raises OSError: EINVAL for anything else, and what open(2) says.
    """
    return regular(os.open(name, FILE, dir_fd=parent), name)


def regular(descriptor: int, name: str) -> int:
    """Return the descriptor of a regular file; of anything else it is closed, and OSError with EINVAL is raised."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is not a regular file", name)


def head(parent: int, name: str, length: int) -> bytes:
    """The first bytes of a regular file; nothing of anything else."""
    try:
        descriptor = open_regular(parent, name)
    except OSError:
        return b""
    try:
        return os.read(descriptor, length)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def ways(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """The directories that lead to a path, from the top, each with its status."""
    here = os.open("/", DIRECTORY)
    try:
        passed = ""
        for part in path.strip("/").split("/")[:-1]:
            inner = os.open(part, DIRECTORY, dir_fd=here)
            os.close(here)
            here, passed = inner, f"{passed}/{part}"
            yield passed, os.fstat(here)
    finally:
        os.close(here)


def changeable(path: str) -> str:
    """The topmost directory on the way to a path in which others than root can move things, or the path itself."""
    return next((passed for passed, status in ways(path) if not keeps_names(status)), path)


def accounts_on(path: str) -> tuple[tuple[int, int] | None, bool]:
    """User and group of the first directory on the way that is not root's; whether all of the way is root's alone."""
    private = True
    for _passed, status in ways(path):
        if status.st_uid not in (0, os.geteuid()):
            return (status.st_uid, status.st_gid), False
        private = private and keeps_names(status)
    return None, private
