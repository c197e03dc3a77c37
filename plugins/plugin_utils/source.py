# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller sends to a host: a source directory, an archive, a directory of wheels; and the hash of each."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ansible_collections.groundwork.flask.plugins.module_utils.release import git_dependencies
from ansible_collections.groundwork.flask.plugins.module_utils.release.history import SENT
from ansible_collections.groundwork.flask.plugins.module_utils.release.unpack import OF_MACOS
from ansible_collections.groundwork.flask.plugins.plugin_utils.history import History, asks_git, git

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
    """What cannot be sent; the message names the path and the remedy."""


@dataclass(frozen=True)
class Source:
    """The files of a directory, relative to it and sorted."""

    directory: Path
    files: tuple[str, ...]

    @classmethod
    def read(cls, directory: str) -> Source:
        """What git tracks there or does not ignore, submodules included; without git, all but environments and caches.

        :raises SourceError: when it is no directory, or a submodule in it is not checked out.
        """
        path = existing_directory(directory)
        return cls(path, tuple(sorted(set(cls._list(path)))))

    @classmethod
    def wheels(cls, directory: str) -> Source:
        """The wheels in a directory.

        :raises SourceError: when it is no directory, or there is none in it.
        """
        path = existing_directory(directory)
        names = sorted(wheel.name for wheel in path.glob("*.whl"))
        if not names:
            raise SourceError(
                f"{directory!r} has no wheels (*.whl): make them with `pip wheel --wheel-dir {directory} …`"
            )
        return cls(path, tuple(names))

    @classmethod
    def _list(cls, path: Path) -> Iterator[str]:
        listed = git(path, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        if not listed:  # no git, or a directory that git ignores as a whole
            yield from cls._walk(path)
        for name in filter(None, os.fsdecode(listed).split("\0")):
            entry = path / name
            if entry.is_symlink() or entry.is_file():
                yield name
            # git lists a submodule as a directory; one with a / at its end is a repository that is none.
            elif entry.is_dir() and not name.endswith("/"):
                yield from cls._submodule(path, name)

    @classmethod
    def _submodule(cls, path: Path, name: str) -> Iterator[str]:
        if (path / name / ".git").exists():
            for below in cls._list(path / name):
                yield f"{name}/{below}"
        elif not any((path / name).iterdir()):
            raise SourceError(
                f"the git submodule {name!r} in {str(path)!r} is not checked out: "
                "run `git submodule update --init --recursive` there"
            )

    @staticmethod
    def _walk(path: Path) -> Iterator[str]:
        for top, directories, names in os.walk(path):
            directories[:] = [name for name in directories if name not in LEFT_OUT]
            links = [name for name in directories if (Path(top) / name).is_symlink()]
            for name in [*names, *links]:
                if not name.endswith(".pyc"):
                    yield str((Path(top) / name).relative_to(path))

    @cached_property
    def history(self) -> History | None:
        """The history to send with the files; None where nothing asks for it."""
        return History.of(self.directory) if asks_git(self.directory, self.files) else None

    @cached_property
    def tree(self) -> str:
        """A hash of the files' names, contents and executable bits, and of the history that is sent with them."""
        digest = hashlib.sha256()
        for name in self.files:
            path = self.directory / name
            content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
            kind = "link" if path.is_symlink() else "program" if os.access(path, os.X_OK) else "file"
            digest.update(os.fsencode(name) + f"\0{kind}\0{len(content)}\0".encode())
            digest.update(content)
        if self.history:
            digest.update(self.history.identity)
        return digest.hexdigest()

    @property
    def description(self) -> str:
        """The directory, the commit it is at, and whether there is uncommitted work in it."""
        commit = os.fsdecode(git(self.directory, "describe", "--always", "--tags")).strip()
        if not commit:
            return self.directory.name
        work = " with uncommitted work" if git(self.directory, "status", "--porcelain", "--", ".") else ""
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
                    with open(self.directory / name, "rb") as file:
                        archive.addfile(info, file)
                else:
                    archive.addfile(info)
            for name, content in (self.history.files() if self.history else {}).items():
                info = tarfile.TarInfo(f"{SENT}/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


@dataclass(frozen=True)
class Archive:
    """An archive file of the user's, sent as it is.

    :param tree: sha256 of the file, in hexadecimal.
    """

    path: Path
    tree: str

    @classmethod
    def read(cls, archive: str, checksum: str = "") -> Archive:
        """The archive at a path of the controller.

        :param checksum: ``sha256:…``, or "" when any content will do.
        :raises SourceError: when it is no file, or has another checksum.
        """
        path = existing_file(archive)
        digest = hashlib.sha256()
        with open(path, "rb") as content:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
        found = f"sha256:{digest.hexdigest()}"
        if checksum and found != checksum:
            raise SourceError(
                f"{archive!r} has the checksum {found}, not {checksum}: "
                "put the right file there, or correct source.checksum"
            )
        return cls(path, digest.hexdigest())

    @property
    def description(self) -> str:
        """The name of the file."""
        return self.path.name


def needed_by(directory: str) -> set[str]:
    """The apt packages by which a host fetches what the files of a source directory name, or finds its version.

    None of a directory that cannot be read, which is reported elsewhere.
    """
    try:
        source = Source.read(directory)
        wanted = {"git"} if source.history else set()
        for name in source.files:
            if git_dependencies.names_packages(os.path.basename(name)):
                text = (source.directory / name).read_text(errors="replace")
                if "git+" in text or re.search(r"\bgit *=", text):
                    wanted.add("git")
                if git_dependencies.addresses(text):
                    wanted |= {"git", "openssh-client"}
    except (SourceError, OSError):
        return set()
    return wanted


def archive_names(archive: str) -> set[str]:
    """The paths in an archive, those below its only directory relative to that if it has but one.

    :raises SourceError: when it is no file, or neither a tar archive nor a zip file.
    """
    path = existing_file(archive)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zipped:
                names = [name for name in zipped.namelist() if not name.startswith(OF_MACOS)]
        else:
            with tarfile.open(path) as packed:
                names = packed.getnames()
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError) as error:
        raise SourceError(
            f"{archive!r} cannot be read as a tar archive or a zip file ({error}): pack it again"
        ) from error
    parts = [split for name in names if (split := PurePosixPath(name).parts)]
    strip = len({part[0] for part in parts}) == 1 and any(len(part) > 1 for part in parts)
    return {"/".join(part[strip:]) for part in parts if len(part) > strip}


def _remedy(path: str) -> str:
    """What to do about a path that leads nowhere; where it is relative, one has to know to what."""
    if Path(path).expanduser().is_absolute():
        return "correct the path"
    return f"correct the path, which is relative to where ansible-playbook runs ({Path.cwd()})"


def existing_directory(directory: str) -> Path:
    """The absolute path of a directory on the controller; SourceError when there is none."""
    path = Path(directory).expanduser().resolve()
    if not path.is_dir():
        raise SourceError(f"{directory!r} is not a directory on the controller: {_remedy(directory)}")
    return path


def existing_file(file: str) -> Path:
    """The absolute path of a file on the controller; SourceError when there is none."""
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise SourceError(f"{file!r} is not a file on the controller: {_remedy(file)}")
    return path
