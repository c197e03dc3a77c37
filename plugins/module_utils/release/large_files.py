# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Git LFS: files whose content is elsewhere, and a pointer to it in the repository. A pointer is never served."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from ..common import paths, trees
from ..common.text import escaped
from .errors import ReleaseError

CHECK = "git_lfs"
SMALLEST, LARGEST = 100, 1024  # bytes of a pointer
POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v\d+\n(?:ext-\S+ \S+\n)*oid sha256:[0-9a-f]{64}\nsize \d+\n"
)
SHOWN = 5
GIT_LFS = Path("/usr/bin/git-lfs")


def is_pointer(content: bytes) -> bool:
    """Whether this is all of a pointer."""
    return POINTER.fullmatch(content) is not None


def pointers(tree: Path) -> list[str]:
    """The pointers in a tree, as paths relative to it."""
    return [
        item.path
        for item in trees.walk(tree)
        if stat.S_ISREG(item.status.st_mode)
        and SMALLEST < item.status.st_size <= LARGEST
        and is_pointer(paths.head(item.parent, item.name, LARGEST + 1))
    ]


def check(tree: Path, app: str, kind: str) -> None:
    """Refuse a source with pointers.

    :param kind: of the source, as it is written in ``source``.
    :raises ReleaseError: naming them.
    """
    if found := pointers(tree):
        raise ReleaseError("fetch", message(found, remedy(app, kind)))


def remedy(app: str, kind: str) -> str:
    """What to do for a source of this kind."""
    if kind == "directory":
        return "run `git lfs pull` in the directory"
    if kind != "git":
        return "pack it again after `git lfs pull`, or name the repository as the source"
    if GIT_LFS.exists():
        return "see that the repository's server has them (`git lfs push --all`)"
    return f"add git-lfs to flask_apps.{app}.packages and run groundwork.flask.site"


def message(found: Sequence[str], remedy: str) -> str:
    """The refusal."""
    names = ", ".join(escaped(name, 100) for name in found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
    files = "1 file is a pointer" if len(found) == 1 else f"{len(found)} files are pointers"
    return (
        f"{files} of Git LFS, without the content: {names}; {remedy}. If the app needs none of them, write "
        f"`skip_checks: [{CHECK}]`"
    )
