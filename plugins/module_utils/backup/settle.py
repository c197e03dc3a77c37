# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a restored tree look as what was saved."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from ..common import paths, trees
from .config import BackupSet
from .databases import sha256
from .errors import BackupError
from .private import clear
from .snapshot import SnapshotManifest, below


def settle(target: Path, manifest: SnapshotManifest, item: BackupSet | None) -> None:
    """Make what restic restored look as it did: databases in their places, files owned by the users of today.

    No link in the restored tree is followed. What an app has put where a database's directory was, is renamed.
    """
    with paths.directory(str(target)) as root, paths.directory(str(manifest.stage)) as stage:
        for database in manifest.databases:
            put_database(root, stage, database)
    clear(manifest.stage)
    users, groups = owners_of_today(manifest, item)
    of_an_app = item is not None and bool(item.owner or item.user)
    done = set()  # files of several names
    walk = trees.Walk([str(below(target, path)) for path in manifest.saved_paths], into_caches=True, longest=1 << 16)
    for found in walk:
        kind, mode = stat.S_IFMT(found.status.st_mode), stat.S_IMODE(found.status.st_mode)
        if of_an_app and kind in (stat.S_IFBLK, stat.S_IFCHR):
            os.unlink(found.name, dir_fd=found.parent)  # An app has no devices of its own.
            continue
        uid, gid = users.get(found.status.st_uid, -1), groups.get(found.status.st_gid, -1)
        if (uid, gid) != (-1, -1) and found.status.st_ino not in done:
            if found.status.st_nlink > 1:
                done.add(found.status.st_ino)
            os.chown(found.name, uid, gid, dir_fd=found.parent, follow_symlinks=False)
            if kind != stat.S_IFLNK:
                os.chmod(found.name, mode, dir_fd=found.parent)
    if walk.unread:
        raise BackupError(f"what was restored cannot be read: {walk.unread[0]}")


def put_database(root: int, stage: int, database: Mapping[str, str]) -> None:
    """Move the copy of a database to its place in the restored tree; a copy that is another one raises BackupError."""
    above, _slash, copy = database["copy"].rpartition("/")
    directory = paths.descend(stage, above)
    try:
        descriptor = paths.open_regular(directory, copy)
        try:
            if sha256(descriptor) != database["sha256"]:
                raise BackupError(f"the restored copy of {database['path']} is not the one that was saved")
            owner = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        parent, name = own_directories(root, database["path"], owner)
        try:
            before = os.fstat(parent)
            make_way(parent, name, directories=True)
            os.rename(copy, name, src_dir_fd=directory, dst_dir_fd=parent)
            os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            os.close(parent)
    except OSError as error:
        raise BackupError(f"the database {database['path']} cannot be put in its place: {error}") from error
    finally:
        os.close(directory)


def own_directories(root: int, path: str, owner: os.stat_result) -> tuple[int, str]:
    """Open the directory of a path below a restored tree; what stands in its place, such as a link, is renamed."""
    *above, name = path.strip("/").split("/")
    here = os.dup(root)
    try:
        for part in above:
            make_way(here, part, directories=False)
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=here)
                os.chown(part, owner.st_uid, owner.st_gid, dir_fd=here, follow_symlinks=False)
            inner = os.open(part, paths.DIRECTORY, dir_fd=here)
            os.close(here)
            here = inner
    except BaseException:
        os.close(here)
        raise
    return here, name


def make_way(parent: int, name: str, directories: bool) -> None:
    """Rename what has a name in a restored tree if it is a directory, or if it is none."""
    found = paths.status_at(parent, name)
    if found and stat.S_ISDIR(found.st_mode) == directories:
        os.rename(name, unused(parent, f"{name}.was-in-the-way"), src_dir_fd=parent, dst_dir_fd=parent)


def owners_of_today(manifest: SnapshotManifest, item: BackupSet | None) -> tuple[dict[int, int], dict[int, int]]:
    """From the numbers of users and groups at the time of the backup to those of this host, where they differ."""
    owner = None
    if item and item.owner:
        try:
            owner = pwd.getpwnam(item.owner)
        except KeyError:
            raise BackupError(
                f"there is no user {item.owner} on this host. Run the play that makes it, then restore."
            ) from None
    users, groups = {}, {}
    for number, name in manifest.users.items():
        try:
            users[number] = pwd.getpwnam(name).pw_uid
        except KeyError:
            if owner:
                users[number] = owner.pw_uid
    for number, name in manifest.groups.items():
        try:
            groups[number] = grp.getgrnam(name).gr_gid
        except KeyError:
            if owner:
                groups[number] = owner.pw_gid
    return (
        {before: today for before, today in users.items() if before != today},
        {before: today for before, today in groups.items() if before != today},
    )


def unused(parent: int, name: str) -> str:
    """The name, or if something in the directory has it, the name with the first free number."""
    number, free = 1, name
    while paths.status_at(parent, free):
        number += 1
        free = f"{name}.{number}"
    return free
