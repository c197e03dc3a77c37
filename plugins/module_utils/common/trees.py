# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree that an app can write, handled by root: by descriptors of its directories, and never led out of it by a link.

The directory that a function is given must lie in directories that only root can write to; what is below it may be
anything, and may change meanwhile. This module and ``paths`` are the one place where root opens what an app owns.

There are two ways through a tree. :func:`walk` stops at the first error and at :data:`LEVEL_LIMIT` levels: it is for
what a build has left, which is refused as a whole. :class:`Walk` goes on to any depth and notes what it cannot read: it
is for data, of which as much as possible is saved.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .paths import DIRECTORY, FILE, GONE, LINK_LIMIT, descend, head, parent_of, regular, status_at

READ_LIMIT = 2**20
# Deeper than any source tree; each level costs a descriptor, of which a process has 1,024.
LEVEL_LIMIT = 200
# A program that goes by paths can name 4,095 bytes; where a restore puts a tree, its paths are longer.
PATH_LIMIT = 3500
CACHE_TAG, CACHE_SIGNATURE = "CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55"


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
                if links > LINK_LIMIT:
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


def read_bytes(directory: Path | str, name: str, limit: int = READ_LIMIT) -> bytes:
    """Read a regular file of a tree.

    :param limit: bytes; a longer file is an error, not cut.
    :raises OSError: EINVAL for what is no regular file, EFBIG for what is too long, and see :func:`open_beneath`.
    """
    descriptor = regular(open_beneath(directory, name), name)
    try:
        with open(descriptor, "rb", closefd=False) as stream:
            content = stream.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it is longer than {limit} bytes", name)
    return content


def read_text(directory: Path | str, name: str, limit: int = READ_LIMIT) -> str:
    """Read a regular file of a tree as text; what is no UTF-8 is replaced. See :func:`read_bytes`."""
    return read_bytes(directory, name, limit).decode(errors="replace")


def is_file(directory: Path | str, name: str) -> bool:
    """Whether a tree has a regular file of this name, as :func:`read_bytes` would read it."""
    try:
        os.close(regular(open_beneath(directory, name), name))
    except OSError:
        return False
    return True


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


@dataclass(frozen=True)
class Item:
    """Something in a tree; the descriptor of its directory is open until the next item is asked for.

    :ivar path: relative to the tree from :func:`walk`, absolute from :class:`Walk`.
    """

    path: str
    status: os.stat_result
    parent: int
    name: str


def walk(directory: Path | str) -> Iterator[Item]:
    """Yield what is below a directory, each directory before what is in it, by name. No link is followed.

    :raises OSError: ENAMETOOLONG for a tree of more than :data:`LEVEL_LIMIT` levels, and what listing it says.
    """
    todo: list[tuple[int, Iterator[Item]]] = []
    descriptor = os.open(directory, DIRECTORY)
    try:
        todo.append((descriptor, items("", descriptor)))
        while todo:
            descriptor, inside = todo[-1]
            item = next(inside, None)
            if item is None:
                os.close(todo.pop()[0])
                continue
            yield item
            if not stat.S_ISDIR(item.status.st_mode):
                continue
            try:
                inner = os.open(item.name, DIRECTORY, dir_fd=descriptor)
            except OSError as error:
                if exchanged(error):
                    continue
                raise
            todo.append((inner, items(f"{item.path}/", inner)))
            if len(todo) > LEVEL_LIMIT:
                raise OSError(
                    errno.ENAMETOOLONG, f"it has more than {LEVEL_LIMIT} levels of directories", item.path[:200]
                )
    finally:
        for descriptor, _inside in todo:
            os.close(descriptor)


def items(prefix: str, descriptor: int, unread: list[str] | None = None) -> Iterator[Item]:
    """What is in an open directory, by name; what has gone by then is left out.

    :param prefix: of the paths of the items.
    :param unread: takes what cannot be read, with the reason; without it, that raises OSError.
    """
    try:
        names = sorted(os.listdir(descriptor))
    except OSError as error:
        if unread is None:
            raise
        unread.append(f"{prefix.rstrip('/')}: {error.strerror}")
        return
    for name in names:
        try:
            status = status_at(descriptor, name)
        except OSError as error:
            if unread is None:
                raise
            unread.append(f"{prefix}{name}: {error.strerror}")
            continue
        if status is not None:
            yield Item(prefix + name, status, descriptor, name)


def exchanged(error: OSError) -> bool:
    """Whether a directory could not be opened because it was removed, or exchanged for something else, meanwhile."""
    return isinstance(error, GONE) or error.errno == errno.ELOOP


@dataclass
class Walk:
    """Everything below paths, but for directories that say that they are caches, and for what is left out.

    It does not stop at what cannot be read, and holds few descriptors however deep a tree is.

    :ivar longest: bytes of the path of a directory that is gone into.
    :ivar caches: directories that say of themselves that they are caches.
    :ivar too_deep: directories whose path is too long to be saved by its name.
    :ivar unread: directories that could not be listed, each with the reason.
    """

    paths: Iterable[str]
    left_out: Container[str] = ()
    into_caches: bool = False
    longest: int = PATH_LIMIT
    caches: list[str] = field(default_factory=list)
    too_deep: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Item]:
        for path in self.paths:
            if path in self.left_out:
                continue
            try:
                with parent_of(path) as (parent, name):
                    yield from self.below(path, parent, name)
            except OSError as error:
                if not isinstance(error, GONE):
                    self.unread.append(f"{path}: {error.strerror}")

    def below(self, path: str, parent: int, name: str) -> Iterator[Item]:
        """What is at a path, then what is below it."""
        status = status_at(parent, name)
        if status is None:
            return
        yield Item(path, status, parent, name)
        waiting = [name] if stat.S_ISDIR(status.st_mode) else []
        above = path[: -len(name)]
        while waiting:
            relative = waiting.pop()
            try:
                inside = descend(parent, relative)
            except OSError as error:
                if not exchanged(error):
                    self.unread.append(f"{above}{relative}: {error.strerror}")
                continue
            try:
                if not self.into_caches and head(inside, CACHE_TAG, len(CACHE_SIGNATURE)) == CACHE_SIGNATURE:
                    self.caches.append(above + relative)
                    continue
                for item in items(f"{above}{relative}/", inside, self.unread):
                    if item.path in self.left_out:
                        continue
                    yield item
                    if stat.S_ISDIR(item.status.st_mode):
                        if len(os.fsencode(item.path)) > self.longest:
                            self.too_deep.append(item.path)
                        else:
                            waiting.append(f"{relative}/{item.name}")
            finally:
                os.close(inside)


def take(directory: Path | str, uid: int, gid: int, files_only: bool = False) -> None:
    """Give a tree to an owner, so that nobody but the owner can write to it, and the group can read it.

    Sockets, FIFOs and devices are removed, and with ``files_only`` links are too. Nobody else keeps the right to write,
    and no file the right to run as its owner.
    """
    top = os.open(directory, DIRECTORY)
    try:
        os.fchown(top, uid, gid)
        os.fchmod(top, readable(os.fstat(top).st_mode))
    finally:
        os.close(top)
    for item in walk(directory):
        kind, mode = stat.S_IFMT(item.status.st_mode), stat.S_IMODE(item.status.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK) or (files_only and kind == stat.S_IFLNK):
            os.unlink(item.name, dir_fd=item.parent)
            continue
        if (item.status.st_uid, item.status.st_gid) != (uid, gid):
            os.chown(item.name, uid, gid, dir_fd=item.parent, follow_symlinks=False)
        if kind != stat.S_IFLNK and mode != readable(mode):
            descriptor = os.open(item.name, FILE, dir_fd=item.parent)
            try:
                os.fchmod(descriptor, readable(mode))
            finally:
                os.close(descriptor)


def readable(mode: int) -> int:
    """The mode without others' right to write, in which the group may read and do what the owner may, but for that."""
    mode = stat.S_IMODE(mode) & 0o755
    return mode | (mode & 0o500) >> 3


def size(directory: Path | str) -> int:
    """The bytes that a tree takes on the disk, as `du` has it."""
    return sum(item.status.st_blocks * 512 for item in walk(directory))


def remove(*paths: Path | str) -> None:
    """Remove trees of any depth, and files; what is not there is no error.

    :raises OSError: what could not be removed, as rm(1) says it.
    """
    if paths:
        _remove("--", *map(str, paths))


def remove_at(parent: int, name: str) -> None:
    """Remove a file or a tree from an open directory, but for file systems that are mounted in it.

    :raises OSError: what could not be removed, as rm(1) says it.
    """
    _remove("--one-file-system", "--", f"/proc/self/fd/{parent}/{name}", descriptors=(parent,))


def _remove(*arguments: str, descriptors: Sequence[int] = ()) -> None:
    """Remove by rm(1), which reaches paths that are longer than a process can name; OSError when it fails."""
    done = subprocess.run(
        ("/usr/bin/rm", "-rf", *arguments), capture_output=True, text=True, errors="replace", check=False,
        pass_fds=descriptors, env={"LC_ALL": "C.UTF-8"}, cwd="/",
    )  # fmt: skip
    if done.returncode:
        raise OSError(errno.EBUSY, done.stderr.strip()[:1000])
