# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories of the collection that a run under another umask has made: too open, or closed for those who read there.

Only directories of root's are looked at, and only those called ``groundwork`` or the like, or below one that is.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils.common.files import is_own_directory
from ansible_collections.groundwork.flask.plugins.module_utils.placement import Entry

OURS = "groundwork"
WRITE, READ = 0o022, 0o055  # by others than root
DEPTH = 4  # of the directories below one of ours that are looked at; what is deeper lies in one of these


def spoilt_directories(entries: Sequence[Entry]) -> list[Entry]:
    """The directories to put right before a set is written, as they should be; none that the set itself declares."""
    declared = {entry.path for entry in entries if entry.content is None}
    tops: set[str] = set()
    to_read: set[str] = set()  # what leads to a file that others are to read
    for entry in entries:
        above = [str(path) for path in Path(entry.path).parents if is_ours(path)]
        if above or is_ours(Path(entry.path)):
            tops.add(above[-1] if above else entry.path)
        if entry.content is not None and entry.mode & 0o077:
            to_read.update(above)
    needed = {path: 0 for top in tops for path in below(top)} | dict.fromkeys(to_read, READ)
    wanted = ((path, mode_for(path, bits)) for path, bits in sorted(needed.items()) if path not in declared)
    return [Entry(path, None, *names_of(path), mode) for path, mode in wanted if mode is not None]


def is_ours(path: Path) -> bool:
    """Whether a directory is called as the collection's are, or lies below one that is."""
    return any(part.startswith(OURS) for part in path.parts)


def below(top: str, depth: int = DEPTH) -> Iterator[str]:
    """A directory of root's and those in it; what belongs to others is left out with all that it holds."""
    if not is_own_directory(top):
        return
    yield top
    inside: list[str] = []
    if depth:
        # A program at work may remove it meanwhile.
        with contextlib.suppress(FileNotFoundError), os.scandir(top) as found:
            inside = [one.path for one in found if one.is_dir(follow_symlinks=False)]
    for path in inside:
        yield from below(path, depth - 1)


def mode_for(path: str, needed: int) -> int | None:
    """The mode that a directory should have; None when it has it, or is not ours."""
    if not is_own_directory(path):
        return None
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    wanted = (mode | needed) & ~WRITE
    return None if wanted == mode else wanted


def names_of(path: str) -> tuple[str, str]:
    """Owner and group of a path."""
    status = os.stat(path)
    return pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
