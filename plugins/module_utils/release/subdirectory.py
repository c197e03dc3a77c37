# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``source.subdirectory``: the directory of a source that has the app. What a message about it says."""

from __future__ import annotations

import difflib
import errno
import os
import stat
from collections.abc import Collection
from pathlib import Path

from ..common import trees
from ..common.text import escaped
from .errors import ReleaseError

# The files that say what an app needs; the other locks never stand without pyproject.toml.
PROJECT_FILES = ("pyproject.toml", "requirements.txt", "setup.py", "pylock.toml", "Pipfile.lock")
SHOWN = 10


def check(tree: Path, named: str, option: str = "source.subdirectory") -> None:
    """Refuse a directory that is not one of the source.

    :param option: what names it.
    :raises ReleaseError: naming it, and directories of a similar name.
    """
    if not named:
        return
    try:
        found = trees.open_beneath(tree, named)
    except OSError as error:
        reason = "leads out of the source" if error.errno == errno.EXDEV else "is not in the source"
    else:
        is_directory = stat.S_ISDIR(os.fstat(found).st_mode)
        os.close(found)
        if is_directory:
            return
        reason = "is not a directory"
    directories = [item.path for item in trees.walk(tree) if stat.S_ISDIR(item.status.st_mode)]
    raise ReleaseError("fetch", f"{option}: {named!r} {reason}; {near(named, directories)}")


def near(named: str, directories: Collection[str]) -> str:
    """What to write instead: a directory of a similar name, else those at the top.

    :param directories: all of the source, as paths relative to it.
    """
    last = named.rpartition("/")[2]
    same = sorted(path for path in directories if path.rpartition("/")[2] == last)
    found = same or difflib.get_close_matches(named, directories, n=3)
    if found:
        return f"did you mean {listed(found)}?"
    top = sorted(path for path in directories if "/" not in path)
    return f"at its top are the directories {listed(top)}" if top else "the source has no directories: leave it out"


def hint(tree: Path, named: str) -> str:
    """To follow the message that a source names no packages: the directory one level down that does; "" for none."""
    below = [os.path.join(named, name) for name in trees.names(tree, named or ".")]
    return suggestion([path for path in below if any(trees.is_file(tree, f"{path}/{one}") for one in PROJECT_FILES)])


def suggestion(directories: Collection[str]) -> str:
    """The end of such a message, for the directories that have the app's files; "" where there are none."""
    if not directories:
        return ""
    first, *others = sorted(directories)
    more = f" (or {listed(others)})" if others else ""
    return f". Did you mean `source.subdirectory: {escaped(first)}`{more}?"


def listed(names: Collection[str]) -> str:
    """Some names, fit to be read."""
    shown = sorted(names)[:SHOWN]
    return ", ".join(escaped(name, 100) for name in shown) + (", …" if len(names) > SHOWN else "")
