# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that an app's source names by the address of a git repository over SSH.

They are fetched into copies before anything is installed, by a step that has the deploy key and runs no
third-party code; what installs is told to read the copies. So no package's build script can use the key.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import trees
from ..common.text import printable
from .errors import ReleaseError, tail
from .git_access import GitAccess
from .history import script
from .requirements import read

if TYPE_CHECKING:
    from .build import Builder

# The files of a source that name packages.
NAMED_IN = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "*requirements*.txt",
    "*.lock",
    "pylock*.toml",
    "package.json",
    "package-lock.json",
)
MOST = 50  # repositories of one app
ADDRESS = re.compile(r"(?<![\w+])(?:git\+)?(ssh://[\w.~%+-]+@?[\w.:\[\]-]*/[\w./~%+-]*[\w/~%+-])")
# How git itself writes it, where it cannot be taken for anything else.
SHORT = re.compile(
    r"""\bgit\s*=\s*["'](\w[\w.-]*@[\w.-]+:[\w./~+-]+)["']|git\+(\w[\w.-]*@[\w.-]+:[\w./~+-]*[\w/~+-])"""
)

# The copy of a repository, then the addresses that it names itself, of packages that it needs.
COPY = """
copy=$1 url=$2
git init --quiet --bare "$copy"
git -C "$copy" config uploadpack.allowAnySHA1InWant true
git -C "$copy" fetch --quiet --prune --force "$url" '+refs/*:refs/*'
head=$(git ls-remote --symref -- "$url" HEAD | sed -n 's/^ref: \\(.*\\)\\tHEAD$/\\1/p')
[ -z "$head" ] || git -C "$copy" symbolic-ref HEAD "$head"
git -C "$copy" grep -hIE '(ssh|git)[+:@/]' HEAD -- 'pyproject.toml' 'setup.py' 'setup.cfg' '*requirements*.txt' || :
"""


def names_packages(name: str) -> bool:
    """Whether a file of this name may name packages."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in NAMED_IN)


def addresses(text: str) -> set[str]:
    """The addresses of repositories over SSH in a text, without the revision."""
    return {found[1] for found in ADDRESS.finditer(text)} | {found[1] or found[2] for found in SHORT.finditer(text)}


class GitDependencies:
    """The repositories that the packages of one app come from."""

    def __init__(self, build: Builder) -> None:
        self.build, self.access = build, GitAccess(build)
        self.copies = build.at.source_cache / "dependencies"

    def named(self, code: Path) -> set[str]:
        """The addresses in the files of a source."""
        found: set[str] = set()
        for item in trees.walk(code):
            if not stat.S_ISREG(item.status.st_mode) or item.path.startswith(".git/") or "node_modules/" in item.path:
                continue
            if names_packages(item.name):
                found |= addresses(read(code, item.path))
        return found

    def provide(self, code: Path) -> None:
        """Let the steps that install read copies of the repositories that a source names.

        :raises ReleaseError: a repository cannot be read.
        """
        waiting, copied = self.named(code), dict[str, str]()
        if not waiting:
            return
        with self.access.credentials() as environment:
            while waiting and len(copied) < MOST:
                url = min(waiting)
                copied[url], output = self.copy(url, environment)
                waiting = (waiting | addresses(output)) - copied.keys()
        settings = int(self.build.settings.build.get("GIT_CONFIG_COUNT") or 0)
        self.build.variables.update(instead_of(copied.items(), settings))
        self.build.readable.append(self.copies)

    def copy(self, url: str, environment: dict[str, str]) -> tuple[str, str]:
        """Fetch a repository; the path of its copy, and what was printed."""
        copy = str(self.copies / hashlib.sha256(url.encode()).hexdigest()[:16])
        status, output = self.access.step("copy", environment, *script(COPY, "copy"), copy, url, url=url)
        if status:
            what = f"{printable(url)}, which the source names for a package, cannot be read"
            raise ReleaseError("install", f"{what}; {self.access.remedy(output)}", tail(output))
        return copy, output


def instead_of(copied: Iterable[tuple[str, str]], first: int = 0) -> dict[str, str]:
    """Settings of git that put copies in the place of addresses.

    :param copied: addresses with the paths of their copies.
    :param first: how many settings there are by such variables already.
    """
    found, count = {}, first
    for url, copy in copied:
        found[f"GIT_CONFIG_KEY_{count}"] = f"url.{copy}.insteadOf"
        found[f"GIT_CONFIG_VALUE_{count}"] = url
        count += 1
    return {**found, "GIT_CONFIG_COUNT": str(count)}
