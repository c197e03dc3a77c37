# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the source of an app asks to have installed.

Which files and which code of its own it names is all that is read here; what a requirement means is for the installer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..common import trees
from .errors import ReleaseError

MOST_REQUIREMENTS = 16 * 2**20  # bytes; a uv.lock of 1,000 packages has 3 MB
MOST_FILES = 200  # requirements files that name one another; each is read once
PACKED = (".whl", ".zip", ".tar.gz", ".tar.bz2", ".tgz", ".egg")
# What begins a line of a requirements file that names another one, and one that names where packages are found.
FILES = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]?(\S+)")
FOUND_IN = re.compile(r"(?:-f|-i|--find-links|--index-url|--extra-index-url)[ =]?(\S+)")
# The default, in whose place the host may have a mirror.
DEFAULT_INDEX = re.compile(r"(?:-i|--index-url) https://pypi\.org/simple/?")
EDITABLE = re.compile(r"(?:-e|--editable)(?:[ =]|(?=[./]))\s*")
# Tables and options by which a project says that it can be installed, and that it is not meant to be.
INSTALLABLE = re.compile(r"^\[(project|build-system)\]", re.MULTILINE)
# Dependencies that Poetry alone reads.
OF_POETRY = re.compile(r"^\[tool\.poetry\.dependencies\]", re.MULTILINE)
NO_PACKAGE = re.compile(r"^\s*(package-mode|distribution|package)\s*=\s*false", re.MULTILINE)
# Packages of the source that only uv knows how to find: pip would take those of the same names from the index.
UV_SOURCES = re.compile(r"^\[tool\.uv\.sources[\].][^[]*?\b(path|workspace)\s*=", re.MULTILINE)


@dataclass
class Recipe:
    """What to install.

    :param calls: the arguments of each call of the installer, in the syntax that pip and uv share.
    :param inputs: the texts that say what that is; together with the Python they name the environment.
    :param own: code of the source is among it, so that each new code needs a new environment.
    :param project: the call that installs the project itself, without which the app's packages are complete; it may
        fail, as it does for a project that was never meant to be built.
    """

    calls: list[list[str]]
    inputs: list[str] = field(default_factory=list)
    own: bool = False
    project: list[str] = field(default_factory=list)


@dataclass
class Listed:
    """What requirements files say.

    :ivar texts: their texts; after each file those of the files that it names.
    :ivar local: the paths that they name, relative to the app's directory of the source, as pip and uv read them.
    :ivar moving: they name something whose content can change while the files stay the same: a directory of wheels, or
        an editable repository.
    """

    texts: list[str] = field(default_factory=list)
    local: list[str] = field(default_factory=list)
    moving: bool = False

    @property
    def own(self) -> bool:
        """Whether each new code needs a new environment."""
        return bool(self.local) or self.moving

    @property
    def has_project(self) -> bool:
        """Whether the source itself is among it."""
        return any(os.path.normpath(path) == "." for path in self.local)


def read(code: Path, name: str) -> str:
    """A file of the source that names packages; "" for one that cannot be read, which the installer reports."""
    try:
        return trees.read_text(code, name, MOST_REQUIREMENTS)
    except OSError:
        return ""


def logical_lines(text: str) -> Iterator[str]:
    """The lines of a requirements file without comments, those that a backslash continues as one."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if words := re.sub(r"(^|\s)#.*", "", line).split():
            yield " ".join(words)


def local_path(line: str) -> str:
    """The path that a requirement names in place of a package of the index; "" for any other.

    :param line: of :func:`logical_lines`.
    """
    requirement = re.sub(r" --?\w.*", "", EDITABLE.sub("", line))
    _name, at, url = requirement.partition("@")
    target = url.strip() if at and re.match(r" *file:", url) else requirement
    is_url = target.startswith("file:")
    path = re.sub(r"^file:(?://(?=/))?", "", target)
    if not is_url and (path.startswith("-") or "://" in path or not names_path(path)):
        return ""
    path = re.sub(r"\s*;.*|[#?].*", "", path)
    path = re.sub(r"\[[\w., -]*\]$", "", path)
    return re.sub(r"^.*\$\{PROJECT_ROOT\}/*", "./", path)  # of pdm, which sets it to the source


def names_path(requirement: str) -> bool:
    """Whether a requirement without a URL is one by its path."""
    bare = re.sub(r"\s*;.*", "", requirement)
    return bool(re.match(r"\.|/|[^=<>@\s]*/", bare)) or bare.endswith(PACKED)


def requirement_files(code: Path, name: str, seen: set[str] | None = None) -> Listed:
    """A requirements file with those it names, and the code of the source that they name.

    :param seen: the files that were read already.
    :raises ReleaseError: they are more than :data:`MOST_FILES`.
    """
    seen = set() if seen is None else seen
    path = os.path.normpath(name)
    found = Listed()
    if path in seen:
        return found
    seen.add(path)
    if len(seen) > MOST_FILES:
        raise ReleaseError("install", f"the requirements files of the source name more than {MOST_FILES} others")
    found.texts.append(read(code, path))
    for line in logical_lines(found.texts[0]):
        if match := FILES.match(line):
            inner = requirement_files(code, os.path.join(os.path.dirname(name), match[1]), seen)
            found.texts += inner.texts
            found.local += inner.local
            found.moving |= inner.moving
        elif match := FOUND_IN.match(line):
            # A directory that is not there is none to pip, which says so: it may be another machine's.
            found.moving |= "://" not in match[1] or match[1].startswith("file:")
        elif local := local_path(line):
            found.local.append(local)
        else:
            found.moving |= bool(EDITABLE.match(line))
    return found


def split(exported: str) -> tuple[list[str], list[str]]:
    """The lines of an exported lock: those with hashes, or for the index where none has any; and all others.

    The others are code of the source, which is installed by a copy, and repositories: pip wants hashes for all of a
    call or for none.
    """
    lines = [line for line in logical_lines(exported) if not DEFAULT_INDEX.fullmatch(line)]
    options = [line for line in lines if line.startswith("-") and not EDITABLE.match(line)]
    packages = [line for line in lines if line not in options]
    hashed = any("--hash=" in line for line in packages)
    apart = [line for line in packages if local_path(line) or (hashed and "--hash=" not in line)]
    index = [line for line in packages if line not in apart]
    copied = [re.sub(r"#egg=\S*", "", EDITABLE.sub("", line)) if local_path(line) else line for line in apart]
    return ([*options, *index] if index else []), ([*options, *copied] if copied else [])


def has_project(code: Path, below: str) -> bool:
    """Whether a directory of the source can be installed itself, as far as its files say."""
    pyproject, setup = (os.path.join(below, name) for name in ("pyproject.toml", "setup.cfg"))
    text = read(code, pyproject)
    if NO_PACKAGE.search(text):
        return False
    by_setuptools = trees.is_file(code, pyproject) and "[metadata]" in read(code, setup).splitlines()
    return bool(trees.is_file(code, os.path.join(below, "setup.py")) or INSTALLABLE.search(text) or by_setuptools)


def outside(code: Path, below: str, releases: Path, local: list[str]) -> str:
    """The first of the paths that a source names and that lies outside of it; "" if there is none.

    An absolute path that is not below the releases is the host's.

    :param below: the directory of the source that relative paths begin in.
    """
    for path in local:
        target = Path(os.path.normpath(code / below / path))
        if (target.is_relative_to(releases) or not path.startswith("/")) and not target.is_relative_to(code):
            return path
    return ""
