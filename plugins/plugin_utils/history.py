# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of a source directory that the controller sends with it, where a build may ask git for it.

See ``module_utils/release/history.py`` for what the host makes of it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# What says that the version, or the list of a package's files, is asked of git.
ASKS_GIT = re.compile(
    r"(?:setuptools|flit)[-_]scm|hatch[-_]vcs|vcversioner|vcs[-_]versioning|versioneer|versioningit"
    r"|dunamai|dynamic[-_]versioning|milksnake|setuptools[-_]git"
    r"|source\s*=\s*[\"'](?:vcs|scm)[\"']|\bpbr\b|git[ -](?:describe|rev-parse)"
    r"|[\"']git[\"' ]|gitpython|\bfrom git import",
    re.IGNORECASE,
)
PROJECT_FILES = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "hatch_build.py",
    "build.py",
    "_version.py",
    "meson.build",
    "Makefile",
)
LARGEST = 2**20  # bytes of a project file


def git(path: Path, *arguments: str) -> bytes:
    """What git prints for a directory, b"" when there is no git or no work tree."""
    try:
        command = ("git", *arguments)  # the controller's own, wherever it is
        return subprocess.run(command, cwd=path, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return b""


def asks_git(directory: Path, names: Iterable[str]) -> bool:
    """Whether what builds the source asks git, as far as its files tell; or a file wants to be told its commit.

    :param names: of the files, as paths relative to the directory.
    """
    for name in names:
        last = os.path.basename(name)
        pattern = (
            ASKS_GIT if last in PROJECT_FILES else re.compile("export-subst") if last == ".gitattributes" else None
        )
        if pattern is None:
            continue
        try:
            with open(directory / name, "rb") as file:
                if pattern.search(file.read(LARGEST).decode(errors="replace")):
                    return True
        except OSError:
            continue
    return False


@dataclass(frozen=True)
class History:
    """The commits above a directory's files, and the tags among them.

    :ivar head: the commit that is checked out.
    """

    directory: Path
    head: str

    @classmethod
    def of(cls, directory: Path) -> History | None:
        """That of a directory; None where git knows none."""
        head = git(directory, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
        known = head and git(directory, "rev-parse", "--verify", "--quiet", "HEAD:./")
        return cls(directory, head) if known else None

    @cached_property
    def refs(self) -> bytes:
        """The refs, as git packs them. Where the directory is not at the top of its repository, it takes its place."""
        tags = git(
            self.directory, "for-each-ref", f"--merged={self.head}", "--format=%(objectname) %(refname)", "refs/tags"
        )
        top, own = (git(self.directory, "rev-parse", name).decode().strip() for name in ("HEAD^{tree}", "HEAD:./"))
        replaced = f"{own} refs/replace/{top}\n" if top != own else ""
        return replaced.encode() + tags

    @cached_property
    def is_clean(self) -> bool:
        """Whether the files are those of the commit."""
        return not git(self.directory, "status", "--porcelain", "--untracked-files=no", "--", ".")

    @property
    def identity(self) -> bytes:
        """What tells it from another one."""
        return b"%s\0%s\0%d" % (self.head.encode(), self.refs, self.is_clean)

    def files(self) -> dict[str, bytes]:
        """What is sent, by file name."""
        shallow = self.directory / os.fsdecode(git(self.directory, "rev-parse", "--git-path", "shallow").rstrip(b"\n"))
        return {
            "head": f"{self.head}\n".encode(),
            "packed-refs": self.refs,
            "pack": self.pack(),
            **({"shallow": shallow.read_bytes()} if shallow.is_file() else {}),
            **({"clean": b""} if self.is_clean else {}),
        }

    def pack(self) -> bytes:
        """The commits, the tags, and the files of the directory in the commit that is checked out."""
        named = git(self.directory, "rev-list", "--objects", "HEAD:./")
        named += git(self.directory, "rev-list", "--objects", "--filter=blob:none", self.head)
        objects = [line.split(b" ")[0] for line in named.splitlines()]
        objects += [line.split()[0] for line in self.refs.splitlines() if b" refs/tags/" in line]
        packing = ("git", "pack-objects", "--quiet", "--stdout")
        done = subprocess.run(
            packing, cwd=self.directory, input=b"\n".join(objects) + b"\n", capture_output=True, check=True
        )
        return done.stdout
