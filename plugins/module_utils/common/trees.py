# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How root handles a tree that an app can write: by descriptors of its directories, and without following a link.

The directory that a function is given must lie in directories that only root can write; what is below it may be
anything, and may change meanwhile. This is the one place where root opens what an app owns; it needs nothing but the
standard library, so each program that needs it has a copy.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO must not block whoever opens it.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
MOST_BYTES = 2**20
MOST_LINKS = 40  # as the kernel has it, see path_resolution(7)
# Deeper than any source tree; each level costs a descriptor, of which a process has 1,024.
MOST_LEVELS = 200


def open_beneath(directory: Path | str, name: str) -> int:
    """Open a file or directory of a tree to read it; a link is followed only as far as it stays in the tree.

    :param directory: the tree.
    :param name: a path relative to it.
    :returns: a descriptor; the caller closes it.
    :raises OSError: EXDEV when the path leads out of the tree, ELOOP for links that never end, and what open(2) says.
    """
    descriptors, links = [os.open(directory, DIRECTORY)], 0
    parts = name.split("/")[::-1]
    try:
        while parts:
            part = parts.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if len(descriptors) == 1:
                    raise OSError(errno.EXDEV, "it leads out of the tree", name)
                os.close(descriptors.pop())
                continue
            try:
                found = os.open(part, FILE, dir_fd=descriptors[-1])
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                links += 1
                target = os.readlink(part, dir_fd=descriptors[-1])
                if links > MOST_LINKS:
                    raise
                if target.startswith("/"):
                    raise OSError(errno.EXDEV, "it leads out of the tree", name) from error
                parts += target.split("/")[::-1]
                continue
            descriptors.append(found)
        return descriptors.pop()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def read_bytes(directory: Path | str, name: str, limit: int = MOST_BYTES) -> bytes:
    """Read a regular file of a tree.

    :param limit: bytes; a longer file is an error, not cut.
    :raises OSError: EINVAL for what is no regular file, EFBIG for what is too long, and see :func:`open_beneath`.
    """
    descriptor = open_beneath(directory, name)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", name)
        with open(descriptor, "rb", closefd=False) as stream:
            content = stream.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is longer than {limit} bytes", name)
    return content


def read_text(directory: Path | str, name: str, limit: int = MOST_BYTES) -> str:
    """Read a regular file of a tree as text; what is no UTF-8 is replaced. See :func:`read_bytes`."""
    return read_bytes(directory, name, limit).decode(errors="replace")


def is_file(directory: Path | str, name: str) -> bool:
    """Whether a tree has a regular file of this name, as :func:`read_bytes` would read it."""
    try:
        descriptor = open_beneath(directory, name)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def link(directory: Path | str, name: str, target: Path | str) -> None:
    """Give a file of a tree another name, in a directory that only root can write. See :func:`open_beneath`."""
    descriptor = open_beneath(directory, name)
    try:
        # Of a descriptor, so it is the file that was opened. Only with a descriptor of a directory does Python ask
        # linkat(2), which follows this link to it.
        os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor)
    finally:
        os.close(descriptor)


def names(directory: Path | str, name: str) -> list[str]:
    """The names in a directory of a tree, in order; none when it cannot be listed. See :func:`open_beneath`."""
    try:
        descriptor = open_beneath(directory, name)
    except OSError:
        return []
    try:
        return sorted(os.listdir(descriptor))
    except NotADirectoryError:
        return []
    finally:
        os.close(descriptor)


def walk(directory: Path | str) -> Iterator[tuple[str, int, os.DirEntry[str]]]:
    """Yield what is below a directory, each directory before what is in it: relative path, its parent, its entry.

    The parent is a descriptor that is open until the next item is asked for. No link is followed.

    :raises OSError: ENAMETOOLONG for a tree of more than :data:`MOST_LEVELS` levels, and what scandir(2) says.
    """
    todo: list[tuple[str, int, Iterator[os.DirEntry[str]]]] = []
    descriptor, prefix = os.open(directory, DIRECTORY), ""
    try:
        todo.append((prefix, descriptor, iter(listed(descriptor))))
        while todo:
            prefix, descriptor, entries = todo[-1]
            entry = next(entries, None)
            if entry is None:
                os.close(todo.pop()[1])
                continue
            path = prefix + entry.name
            yield path, descriptor, entry
            if not entry.is_dir(follow_symlinks=False):
                continue
            try:
                inner = os.open(entry.name, DIRECTORY, dir_fd=descriptor)
            except (FileNotFoundError, NotADirectoryError):
                continue  # whoever was asked in between has taken it away
            except OSError as error:
                if error.errno == errno.ELOOP:
                    continue
                raise
            todo.append((f"{path}/", inner, iter(listed(inner))))
            if len(todo) > MOST_LEVELS:
                raise OSError(errno.ENAMETOOLONG, f"it has more than {MOST_LEVELS} levels of directories", path[:200])
    finally:
        for _prefix, descriptor, _entries in todo:
            os.close(descriptor)


def listed(descriptor: int) -> list[os.DirEntry[str]]:
    """The entries of an open directory, by name."""
    with os.scandir(descriptor) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def take(directory: Path | str, uid: int, gid: int, files_only: bool = False) -> None:
    """Give a tree to an owner, so that nobody but the owner can write to it.

    Sockets, FIFOs and devices are removed, and with ``files_only`` links are too. Nobody else keeps the right to write,
    and no file the right to run as its owner.
    """
    top = os.open(directory, DIRECTORY)
    try:
        os.fchown(top, uid, gid)
        os.fchmod(top, stat.S_IMODE(os.fstat(top).st_mode) & 0o755)
    finally:
        os.close(top)
    for _path, parent, entry in walk(directory):
        found = entry.stat(follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK) or (files_only and kind == stat.S_IFLNK):
            os.unlink(entry.name, dir_fd=parent)
            continue
        if (found.st_uid, found.st_gid) != (uid, gid):
            os.chown(entry.name, uid, gid, dir_fd=parent, follow_symlinks=False)
        if kind != stat.S_IFLNK and stat.S_IMODE(found.st_mode) & ~0o755:
            descriptor = os.open(entry.name, FILE, dir_fd=parent)
            try:
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & 0o755)
            finally:
                os.close(descriptor)


def size(directory: Path | str) -> int:
    """The bytes that a tree takes on the disk, as `du` has it."""
    return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for _path, _parent, entry in walk(directory))


def remove(*paths: Path | str) -> None:
    """Remove trees of any depth, and files; what is not there is no error.

    :raises OSError: what could not be removed, as rm(1) says it.
    """
    if not paths:
        return
    done = subprocess.run(
        ("/usr/bin/rm", "-rf", "--", *map(str, paths)), capture_output=True, text=True, errors="replace", check=False,
        env={"LC_ALL": "C.UTF-8"}, cwd="/",
    )  # fmt: skip
    if done.returncode:
        raise OSError(errno.EBUSY, done.stderr.strip()[:1000])
