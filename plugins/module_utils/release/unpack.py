# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks an archive: a program that the engine passes to Python, which runs it as the app's user in a sandbox.

It reads a tar archive or a zip file on stdin, writes into the working directory, and ends with one line about what it
refuses. Files, directories, execute bits and links are kept; what would lead out of the directory, and what is none of
these, is refused. With the argument ``strip``, a single directory around everything is taken away.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

LINK_LIMIT = 4096
UNIX = 3  # create_system of a zip entry
UTF8 = 0x800
OF_MACOS = "__MACOSX/"  # what macOS packs beside the files of a zip file: their attributes


class Entry(NamedTuple):
    """Something in an archive: ``kind`` is file, program, directory, link, hard or the name of what cannot be kept."""

    name: str
    kind: str
    target: str = ""
    content: IO[bytes] | None = None


def shown(name: str) -> str:
    """A name on one line, whatever is in it."""
    return ascii(name) if not name.isprintable() else repr(name)


def of_zip(archive: zipfile.ZipFile) -> Iterator[Entry]:
    """What is in a zip file."""
    by_git = re.fullmatch(rb"[0-9a-f]{40}|[0-9a-f]{64}", archive.comment)  # which says Unix of some entries only
    for info in archive.infolist():
        mode = info.external_attr >> 16 if info.create_system == UNIX else 0
        name = info.filename
        if info.create_system != UNIX and not by_git:
            name = name.replace("\\", "/")
        elif not info.flag_bits & UTF8:  # the bytes of a Unix system's name, which zipfile has read as code page 437
            name = os.fsdecode(info.orig_filename.encode("cp437"))
        if name.startswith(OF_MACOS):
            continue
        if info.is_dir() or name.endswith("/"):
            yield Entry(name, "directory")
        elif stat.S_ISLNK(mode):
            if info.file_size > LINK_LIMIT:
                raise ValueError(f"the link {shown(name)} is too long")
            yield Entry(name, "link", os.fsdecode(archive.read(info)))
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            yield Entry(name, "neither a file, a directory nor a link")
        else:
            with archive.open(info) as content:
                yield Entry(name, "program" if mode & 0o111 else "file", content=content)


def of_tar(archive: tarfile.TarFile) -> Iterator[Entry]:
    """What is in a tar archive."""
    for info in archive:
        if info.isdir():
            yield Entry(info.name, "directory")
        elif info.issym():
            yield Entry(info.name, "link", info.linkname)
        elif info.islnk():
            yield Entry(info.name, "hard", info.linkname)
        elif info.isreg():
            with archive.extractfile(info) or open(os.devnull, "rb") as content:
                yield Entry(info.name, "program" if info.mode & 0o111 else "file", content=content)
        else:
            yield Entry(info.name, "neither a file, a directory nor a link")


def inside(name: str) -> str:
    """A name as a path relative to the working directory, in which it stays; "" for the directory itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or (len(name) > 1 and name[1] == ":" and "\\" in name):
        raise ValueError(f"{shown(name)} in the archive leads out of it")
    return "/".join(parts)


def place(entry: Entry, top: str) -> None:
    """Write an entry; one that is there already is replaced, and nothing is written through a link."""
    name = inside(entry.name)
    if not name:
        return
    parent = os.path.dirname(name)
    if parent:
        os.makedirs(parent, exist_ok=True)
    if os.path.realpath(parent or ".") != os.path.join(top, parent).rstrip("/"):
        raise ValueError(f"{shown(entry.name)} in the archive leads through a link")
    if entry.kind == "directory":
        if os.path.islink(name) or not os.path.isdir(name):
            os.makedirs(name)
        return
    if os.path.lexists(name) and (os.path.islink(name) or not os.path.isdir(name)):
        os.unlink(name)
    if entry.kind == "link":
        os.symlink(entry.target, name)
    elif entry.kind == "hard":
        target = inside(entry.target)
        if os.path.realpath(target) != os.path.join(top, target) or not os.path.isfile(target):
            raise ValueError(f"{shown(entry.name)} in the archive is a hard link to {shown(entry.target)}, not in it")
        shutil.copy(target, name)
    elif entry.content is not None:
        with open(name, "xb") as file:
            shutil.copyfileobj(entry.content, file)
        os.chmod(name, 0o755 if entry.kind == "program" else 0o644)
    else:
        raise ValueError(f"{shown(entry.name)} in the archive is {entry.kind}: leave it out")


def strip() -> None:
    """Take a single directory around everything away."""
    names = os.listdir(".")
    if len(names) == 1 and os.path.isdir(names[0]) and not os.path.islink(names[0]):
        os.rename(names[0], ".groundwork-inner")
        for name in os.listdir(".groundwork-inner"):
            os.rename(os.path.join(".groundwork-inner", name), name)
        os.rmdir(".groundwork-inner")


def main() -> None:
    """Unpack what comes on stdin."""
    packed, top = sys.stdin.buffer, os.path.realpath(".")
    try:
        if zipfile.is_zipfile(packed):
            with zipfile.ZipFile(packed) as zipped:
                for entry in of_zip(zipped):
                    place(entry, top)
        else:
            packed.seek(0)
            with tarfile.open(fileobj=packed, encoding="utf-8", errors="surrogateescape") as archive:
                for entry in of_tar(archive):
                    place(entry, top)
    except UnicodeError:
        raise SystemExit(
            "the archive has names that are not written in the encoding that it says: pack it again"
        ) from None
    except ValueError as error:
        raise SystemExit(str(error)) from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise SystemExit(
            f"the archive cannot be read ({error}): pack it again, as a tar archive or a zip file"
        ) from error
    except OSError as error:
        raise SystemExit(f"the archive cannot be unpacked: {error}") from error
    if sys.argv[1] == "strip":
        strip()


if __name__ == "__main__":
    main()
