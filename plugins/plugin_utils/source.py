# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source directory on the controller: which files belong to it, their hash, and an archive of them."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Left out where git does not say what belongs to the source.
LEFT_OUT = {
    ".git",
    ".hg",
    ".venv",
    "venv",
    "__pycache__",
    "node_modules",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
}


class SourceError(Exception):
    """A source that cannot be read; the message names the path."""


@dataclass(frozen=True)
class Source:
    """The files of a directory, relative to it and sorted."""

    directory: Path
    files: tuple[str, ...]

    @classmethod
    def read(cls, directory: str) -> Source:
        """What git tracks there or does not ignore; without git, everything but environments and caches."""
        path = Path(directory).expanduser().resolve()
        if not path.is_dir():
            raise SourceError(f"{directory!r} is not a directory on the controller")
        files = cls._of_git(path)
        return cls(path, tuple(sorted(cls._walk(path) if files is None else files)))

    @staticmethod
    def _of_git(path: Path) -> list[str] | None:
        listed = _git(path, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        if not listed:  # no git, or a directory that git ignores as a whole
            return None
        return [
            name for name in listed.split("\0") if name and os.path.lexists(path / name) and not (path / name).is_dir()
        ]

    @staticmethod
    def _walk(path: Path) -> Iterator[str]:
        for top, directories, names in os.walk(path):
            directories[:] = [name for name in directories if name not in LEFT_OUT]
            for name in names:
                if not name.endswith(".pyc"):
                    yield str((Path(top) / name).relative_to(path))

    @property
    def tree(self) -> str:
        """A hash of the files' names, contents and executable bits; nothing else of them matters."""
        digest = hashlib.sha256()
        for name in self.files:
            path = self.directory / name
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            kind = "link" if path.is_symlink() else "program" if os.access(path, os.X_OK) else "file"
            digest.update(f"{name}\0{kind}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()

    @property
    def description(self) -> str:
        """The directory, the commit it is at, and whether there is uncommitted work in it."""
        commit = _git(self.directory, "describe", "--always", "--tags").strip()
        if not commit:
            return self.directory.name
        work = " with uncommitted work" if _git(self.directory, "status", "--porcelain", "--", ".") else ""
        return f"{self.directory.name} ({commit}{work})"

    def pack(self, path: str) -> None:
        """Write a compressed tar archive; the same files make the same bytes."""
        with (
            open(path, "wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name in self.files:
                info = archive.gettarinfo(str(self.directory / name), arcname=name)
                info.uid = info.gid = info.mtime = 0
                info.uname = info.gname = ""
                info.mode = 0o755 if info.mode & 0o100 else 0o644
                if info.isreg():
                    with open(self.directory / name, "rb") as content:
                        archive.addfile(info, content)
                else:
                    archive.addfile(info)


def _git(path: Path, *arguments: str) -> str:
    """What git prints for a directory, "" when there is no git or no work tree."""
    try:
        return subprocess.run(("git", *arguments), cwd=path, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
