# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories as they should be, as they are on the host, and the change from one to the other."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils.common.files import make_directory, make_parents, write
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import owner_names

MOST_KEPT = 20  # copies of one file


class FileSetError(Exception):
    """A set that cannot be written; the message names the file, or the command and its output."""


@dataclass(frozen=True)
class Entry:
    """A file (or, with ``content=None``, a directory) as it should be."""

    path: str
    content: bytes | None
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    secret: bool = False
    part: str = ""


@dataclass(frozen=True)
class Found:
    """A path as it is on the host; ``content`` is None for a directory."""

    content: bytes | None
    uid: int
    gid: int
    mode: int

    @classmethod
    def at(cls, path: str) -> Found | None:
        """What is at ``path``, or None. Anything but a file or a directory raises FileSetError."""
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(status.st_mode):
            content = None
        elif stat.S_ISREG(status.st_mode):
            content = Path(path).read_bytes()
        else:
            raise FileSetError(f"{path} is neither a file nor a directory; move it away and run again")
        return cls(content, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


@dataclass(frozen=True)
class Change:
    """One path that differs: ``after`` is None where the file goes."""

    path: str
    part: str
    before: Found | None
    after: Entry | None

    def diff(self) -> dict[str, str]:
        """Before and after in the form Ansible prints; the content of a secret is never shown."""

        def shown(content: bytes | None, hidden: bool) -> str:
            if content is None:
                return ""
            return f"({len(content)} bytes, secret: not shown)\n" if hidden else content.decode(errors="replace")

        secret = self.after.secret if self.after else bool(self.before and not self.before.mode & 0o004)
        before = shown(self.before.content if self.before else None, secret)
        after = shown(self.after.content if self.after else None, secret)
        if secret and self.before and self.after and self.before.content != self.after.content:
            after = after.replace("secret", "changed, secret")
        if before == after and self.after:  # only owner or mode differ, or it is a directory
            before = f"{describe(self.before)}\n"
            after = f"{self.after.owner}:{self.after.group} {self.after.mode:04o}\n"
        return {"before_header": self.path, "after_header": self.path, "before": before, "after": after}

    def put(self) -> None:
        """Make the host as ``after`` says; a file by a rename, so that no reader sees half of it."""
        if self.after is None:
            Path(self.path).unlink(missing_ok=True)
            return
        uid, gid = user_id(self.after.owner, self.path), group_id(self.after.group, self.path)
        place(self.path, self.after.content, uid, gid, self.after.mode)

    def put_back(self) -> None:
        """Make the host as ``before`` says."""
        if self.before is not None:
            place(self.path, self.before.content, self.before.uid, self.before.gid, self.before.mode)
        elif self.after is not None and self.after.content is not None:
            Path(self.path).unlink(missing_ok=True)


def keep_copy(change: Change, directory: Path) -> None:
    """Keep a file that is about to be replaced below a directory of root's; another content stands beside it."""
    if change.before is None or change.before.content is None or change.after is None:
        return
    if change.before.content == change.after.content:
        return
    make_directory(directory, 0o700)
    target = directory / change.path.lstrip("/")
    for number in range(1, MOST_KEPT + 1):
        kept = target if number == 1 else target.with_name(f"{target.name}.{number}")
        if not kept.exists():
            place(str(kept), change.before.content, os.geteuid(), os.getegid(), change.before.mode & 0o600)
            return
        if kept.read_bytes() == change.before.content:
            return


def describe(found: Found | None) -> str:
    """``owner:group mode`` of what was found, for a diff."""
    if found is None:
        return "absent"
    owner, group = owners(found)
    return f"{owner}:{group} {found.mode:04o}"


def owners(found: Found) -> tuple[str, str]:
    """The names of the user and the group; a number where there is no name."""
    return owner_names(found.uid, found.gid)


def user_id(name: str, path: str) -> int:
    """The number of a user; an unknown one raises FileSetError."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise FileSetError(f"{path}: there is no user {name!r} on this host") from None


def group_id(name: str, path: str) -> int:
    """The number of a group; an unknown one raises FileSetError."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise FileSetError(f"{path}: there is no group {name!r} on this host") from None


def place(path: str, content: bytes | None, uid: int, gid: int, mode: int) -> None:
    """Put a file there by a rename, or make a directory, with owner and mode."""
    try:
        if content is None:
            make_directory(path, mode)
            os.chown(path, uid, gid)
            os.chmod(path, mode)
            return
        make_parents(path)
        write(path, content, mode, uid, gid)
    except OSError as error:
        raise FileSetError(f"{path}: {error.strerror}") from error


def same(found: Found | None, entry: Entry) -> bool:
    """True when the host has the entry as it should be; an owner who does not exist yet is a difference."""
    if found is None or found.content != entry.content or found.mode != entry.mode:
        return False
    try:
        return (found.uid, found.gid) == (pwd.getpwnam(entry.owner).pw_uid, grp.getgrnam(entry.group).gr_gid)
    except KeyError:
        return False
