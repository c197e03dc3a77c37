# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the source of an app asks to have installed.

Which files and which code of its own it names is all that is read here; what a requirement means is for the installer.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..common import trees

MOST_REQUIREMENTS = 16 * 2**20  # bytes; a uv.lock of 1,000 packages has 3 MB


@dataclass
class Recipe:
    """What to install.

    :param calls: the arguments of each call of the installer, in the syntax that pip and uv share.
    :param inputs: the texts that say what that is; together with the Python they name the environment.
    :param own: the app's own code is among it, so that each new code needs a new environment.
    """

    calls: list[list[str]]
    inputs: list[str] = field(default_factory=list)
    own: bool = False


def read(code: Path, name: str) -> str:
    """A file of the source that names packages; "" for one that cannot be read, which the installer reports."""
    try:
        return trees.read_text(code, name, MOST_REQUIREMENTS)
    except OSError:
        return ""


def requirement_files(code: Path, name: str, seen: frozenset[str] = frozenset()) -> tuple[list[str], bool]:
    """A requirements file with those it names, and whether they name code of the source itself."""
    path = os.path.normpath(name)
    if path in seen:
        return [], False
    text = read(code, path)
    texts, local = [text], False
    for line in text.splitlines():
        arguments = line.split("#")[0].split()
        if not arguments:
            continue
        if match := re.match(r"(?:-r|-c|--requirement|--constraint)[ =]?(\S+)", " ".join(arguments)):
            inner = os.path.join(os.path.dirname(name), match[1])
            more, own = requirement_files(code, inner, seen | {path})
            texts, local = texts + more, local or own
        elif re.match(r"-e|--editable|\.|/|file:|[^=<>@]*/", arguments[0]) or re.search(r"@ *file:", line):
            local = True
    return texts, local
