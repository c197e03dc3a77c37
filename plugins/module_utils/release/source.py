# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the code comes from: which exact code it is, and getting it. One class for each kind of source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..common import trees
from . import history
from .git_access import FETCH_SECONDS
from .source_git import Git

if TYPE_CHECKING:
    from .build import Builder

# Downloads to a file, as the app's user, and reports a failure in one line.
DOWNLOAD = """
import hashlib, shutil, sys, urllib.error, urllib.request
url, path, wanted = sys.argv[1:]
try:
    with urllib.request.build_opener().open(url, timeout=60) as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"{url}: {error}")
with open(path, "rb") as file:
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
if digest.hexdigest() != wanted:
    sys.exit(f"its sha256 is {digest.hexdigest()}, and the checksum says {wanted}")
"""


class Source(Protocol):
    """What the engine asks of a source.

    ``on_host``: the host gets it by itself; else the controller has to send it. ``is_pinned``: the exact code is
    known without asking a server.
    """

    on_host: bool

    @property
    def is_pinned(self) -> bool:
        """Whether the exact code is known without asking a server."""

    def resolve(self) -> str:
        """The exact code: a commit, a hash, a pinned requirement. Raises ReleaseError when it cannot be found out."""

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into an empty directory that belongs to the app's user; its exit status and output."""

    def version(self, resolved: str) -> str:
        """What a person calls it."""


def of(source: Mapping[str, str], build: Builder) -> Source:
    """The source that an app names."""
    if "git" in source:
        return Git(source["git"], source.get("version", "HEAD"), build)
    if "package" in source:
        return Package(source["package"])
    if "tree" in source:
        name = source.get("description") or source.get("directory") or source["tree"][:10]
        return Sent(source["tree"], name, build, strip="archive" in source)
    return Archive(source["archive"], source["checksum"].rpartition(":")[2], build)


class Sent:
    """What the controller has sent: its working directory, or an archive of its own."""

    on_host = False
    is_pinned = True

    def __init__(self, tree: str, name: str, build: Builder, strip: bool) -> None:
        self.tree, self.name, self.build, self.strip = tree, name, build, strip

    def resolve(self) -> str:
        """The exact code."""
        return self.tree

    def version(self, resolved: str) -> str:
        """What a person calls it."""
        return self.name if "(" in self.name else f"{self.name} ({resolved[:10]})"

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into a directory of the app's."""
        archive = os.open(self.build.spec.archive, os.O_RDONLY | os.O_NOFOLLOW)
        status, output = self.build.unpack(archive, code, strip=self.strip)
        return (status, output) if status else history.restore(self.build, code)


class Archive:
    """An archive that the host downloads; its checksum identifies it."""

    on_host = True
    is_pinned = True

    def __init__(self, url: str, checksum: str, build: Builder) -> None:
        self.url, self.checksum, self.build = url, checksum, build

    def resolve(self) -> str:
        """The exact code."""
        return self.checksum

    def version(self, resolved: str) -> str:
        """What a person calls it."""
        return f"{self.url.rpartition('/')[2]} ({resolved[:10]})"

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into a directory of the app's."""
        directory = self.build.scratch("download")
        status, output = self.build.execute(
            "download", "/usr/bin/python3", "-I", "-c", DOWNLOAD, self.url, str(directory / "archive"), self.checksum,
            cwd=code, seconds=FETCH_SECONDS,
        )  # fmt: skip
        if status:
            return status, output
        return self.build.unpack(trees.open_beneath(directory, "archive"), code, strip=True)


class Package:
    """A package of the index, pinned. There is no code beside what the installer puts into the environment."""

    on_host = True
    is_pinned = True

    def __init__(self, requirement: str) -> None:
        self.requirement = requirement

    def resolve(self) -> str:
        """The exact code."""
        return self.requirement

    def version(self, resolved: str) -> str:
        """What a person calls it."""
        return resolved

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into a directory of the app's."""
        del code
        return 0, ""
