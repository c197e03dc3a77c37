# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modes of the directories that the engine makes: put right where a run under another umask has left others."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..common.files import has_mode, make_directory
from .layout import Layout

ALL_READ, ALL_PASS = 0o755, 0o711


def directories(at: Layout) -> Iterator[tuple[Path, int]]:
    """The directories of an app and of the engine, each with its mode; not all of them are there."""
    yield at.tools, ALL_READ
    yield at.tools / "python", ALL_READ
    yield at.build_cache.parent, ALL_READ
    yield at.build_cache, ALL_PASS
    yield at.ledger.parent, ALL_READ
    yield at.secret_key.parent, 0o700
    for above in (at.releases, at.environments):
        yield above, ALL_PASS
    for release in at.releases.glob("*"):
        if at.is_complete(release.name):
            yield release, ALL_PASS
            yield from ((release / name, ALL_READ) for name in ("public", "entry"))


def tool_trees(at: Layout) -> Iterator[Path]:
    """What root has installed for all apps: uv, and the Pythons that it brings."""
    yield from at.tools.glob("uv-*")
    yield from at.tools.glob("python/cpython-*")


def are_settled(at: Layout) -> bool:
    """Whether :func:`heal` has nothing to do."""
    return all(has_mode(path, mode) for path, mode in directories(at)) and not any(map(is_closed, tool_trees(at)))


def heal(at: Layout) -> None:
    """Give the directories their modes, and make the tools readable for all apps."""
    for path, mode in directories(at):
        if not has_mode(path, mode):
            make_directory(path, mode)
    for tree in filter(is_closed, tool_trees(at)):
        open_tree(tree)


def is_closed(tree: Path) -> bool:
    """Whether apps cannot read a tree of root's, or others than root can write to it; its first two levels tell."""
    paths = [tree, *tree.glob("*"), *tree.glob("bin/*")]
    return any(map(differs, paths))


def wanted(status: os.stat_result) -> int:
    """The mode that a file or directory of a tool should have: what its owner may do others may, but for writing."""
    mode = stat.S_IMODE(status.st_mode)
    return (mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o022


def differs(path: Path) -> bool:
    """Whether a path of root's has another mode than it should have; a link has none."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        is_own = status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode)
        return is_own and stat.S_IMODE(status.st_mode) != wanted(status)
    return False


def open_tree(tree: Path) -> None:
    """Give each file and directory of a tree the mode that it should have; the tree is root's alone."""
    for above, names, files in os.walk(tree):
        for path in (Path(above), *(Path(above, name) for name in (*names, *files))):
            if differs(path):
                path.chmod(wanted(path.lstat()))
