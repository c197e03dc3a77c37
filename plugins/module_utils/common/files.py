# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories of root's own, with the modes that are asked for, whatever the umask.

Files are written so that no reader ever sees half of one, and no crash loses the one before.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any


def write(path: Path | str, content: str | bytes, mode: int, uid: int | None = None, gid: int | None = None) -> None:
    """Replace a file by a rename, safe on the disk; while it is written nobody but root can read it.

    :param path: the file; its directory must exist, and only root may be able to write to it.
    :param content: a text is written in UTF-8.
    :param mode: its permissions.
    :param uid: its owner, by default whoever runs this.
    :param gid: its group, by default that of whoever runs this.
    :raises OSError: with the file as it was.
    """
    directory, name = os.path.split(path)
    # A name that no other program uses: what a killed run has left there is removed.
    temporary = os.path.join(directory, f".{name}.groundwork.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            wanted = (os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid)
            status = os.fstat(descriptor)
            if (status.st_uid, status.st_gid) != wanted:  # a sandbox may forbid to change what is right already
                os.fchown(descriptor, *wanted)
            os.fchmod(descriptor, mode)
            stream.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def make_parents(path: Path | str) -> None:
    """Make the directories above a path that are missing, with mode 0755; those that are there stay as they are."""
    missing, above = [], Path(path).parent
    while not above.exists():
        missing.append(above)
        above = above.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another program was quicker
            os.mkdir(directory, 0o700)
            os.chmod(directory, 0o755)  # noqa: S103 - as all directories of the system


def make_directory(path: Path | str, mode: int = 0o755) -> None:
    """Make a directory and what is missing above it; one that is there gets the mode too, if it is this process's.

    :param path: in a directory that only root can write to.
    """
    make_parents(path)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid == os.geteuid() and status.st_mode & 0o777 != mode:
            os.fchmod(descriptor, mode | (status.st_mode & 0o7000))
    finally:
        os.close(descriptor)


def is_own_directory(path: Path | str) -> bool:
    """Whether a path is a directory of root's (or of whoever runs this), and no link to one."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def has_mode(path: Path | str, mode: int) -> bool:
    """Whether :func:`make_directory` would leave a directory as it is; a path that is no directory counts as right."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return not is_own or status.st_mode & 0o777 == mode


def read_text(path: Path | str) -> str:
    """Read a file of root's or of the kernel's; empty where there is none or it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def read_json(path: Path | str) -> dict[str, Any]:
    """Read the object in a JSON file; an empty one when there is no file.

    :raises ValueError: when the file is no JSON, or holds no object.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            found = json.load(stream)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return found


def fsync_directory(path: Path | str) -> None:
    """Make sure that a rename in a directory survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
