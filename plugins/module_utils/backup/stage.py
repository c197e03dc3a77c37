# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the snapshot of a set beside its files: copies of its databases, and the manifest."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from ..common import clock, paths, trees
from ..common.text import escaped
from .config import BackupSet, Config
from .databases import SIDECARS, Copies, Database, find_database
from .errors import BackupError
from .private import clear, private_directory, write_private
from .services import NAMES, save_services
from .space import MEBIBYTE, need_space, shown_size

# What belongs to root alone, and what programs of root's need the links of.
ROOTS_OWN = ("/etc", "/root", "/usr")
# Longer lists are not shown, and a set that needs them is not saved.
WARNING_LIMIT, DEEP_LIMIT = 20, 1000


def as_pattern(path: str) -> str:
    """A path as a line of a file of patterns for restic that matches it, and nothing else an app would have.

    restic takes such a line for a pattern, trims it, and puts variables in, but for ``$$``. A line break cannot stand
    in a line; a range that has it in its middle can.
    """
    pattern = re.sub(r"([\\*?\[])", r"\\\1", path).replace("$", "$$").replace("\n", "[\t-\v]")
    return re.sub(r"\s$", lambda last: f"[{last[0]}]", pattern)


class Stage:
    """What goes into the snapshot of one set beside its files: copies of the databases, and the manifest."""

    def __init__(self, config: Config, item: BackupSet) -> None:
        self.config, self.item = config, item
        self.directory = config.state / "stage" / item.name
        self.listed_paths = self.directory.parent / "paths"
        self.listed_excluded = self.directory.parent / "excluded"
        self.excluded: list[str] = []
        self.warnings: list[str] = []
        self.paths: list[str] = []
        self.databases: dict[str, int] = {}
        self.caches: list[str] = []
        self.users: set[int] = set()
        self.groups: set[int] = set()

    def warn(self, text: str) -> None:
        """Remember a warning; of many, the first."""
        if len(self.warnings) < WARNING_LIMIT:
            self.warnings.append(escaped(text))
        elif len(self.warnings) == WARNING_LIMIT:
            self.warnings.append("and more like these")

    def fill(self, seconds: float) -> None:
        """Copy the databases and write the manifest; raises BackupError."""
        clear(self.directory.parent)
        private_directory(self.directory.parent)
        private_directory(self.directory)
        self.paths = self.present_paths()
        named = [self.place(path) for path in self.item.databases]
        found = self.look_through(named)
        if absent := [path for path in named if path not in found]:
            raise BackupError(f"{', '.join(absent)} is not an SQLite database, or not there")
        copies = self.copy_databases(found, named, seconds)
        self.write_manifest(copies, self.save_services(seconds))
        # Lists go by file: a command line has an end.
        listed = [*self.paths, str(self.directory)]
        self.listed_paths.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in listed))
        self.listed_excluded.write_bytes(b"".join(os.fsencode(as_pattern(path)) + b"\n" for path in self.excluded))

    def look_through(self, named: Sequence[str]) -> dict[str, Database]:
        """Find the databases, the owners of all files, and what is left out; the databases by path."""
        walk = trees.Walk([*self.paths, *named], {*self.config.never_copied(), str(self.directory.parent)})
        found = {}
        for item in walk:
            self.users.add(item.status.st_uid)
            self.groups.add(item.status.st_gid)
            if not stat.S_ISREG(item.status.st_mode) or not item.status.st_size:
                continue
            if exceeds_disk(item):
                self.excluded.append(item.path)
                self.warn(
                    f"{item.path} is left out: its stated size is {shown_size(item.status.st_size)}, more than "
                    f"its disk holds; on the disk it takes {shown_size(item.status.st_blocks * 512)}"
                )
            elif database := find_database(item):
                found[item.path] = database
        self.caches = walk.caches
        self.leave_out_deep(walk.too_deep)
        self.excluded += self.config.never_copied()
        return found

    def copy_databases(
        self, found: Mapping[str, Database], named: Sequence[str], seconds: float
    ) -> list[dict[str, Any]]:
        """Copy the databases; a record for each copy. A damaged one is saved as it is, unless the set names it."""
        total = sum(database.status.st_size for database in found.values())
        need_space(self.directory, total * 1.1 + 32 * MEBIBYTE, "copying the databases")
        copies = Copies(self.directory, self.config.state, self.paths)
        records = []
        for record in copies.make([found[path] for path in sorted(found)], seconds):
            path = record["path"]
            if "error" not in record:
                records.append(record)
                self.databases[path] = record["size"]
                self.excluded += [path + suffix for suffix in ("", *SIDECARS)]
            elif path in named or "damaged" not in record:
                raise BackupError(f"the database {path} could not be copied: {record['error']}")
            else:
                self.warn(f"{path} is damaged and was saved as it is: {record['error']}")
        return records

    def save_services(self, seconds: float) -> dict[str, Any]:
        """Dump and copy what the set's services hold; a record for each."""
        saved = save_services(self.config, self.item, self.directory, seconds)
        for service, entry in saved.items():
            if "tables" in entry:
                self.databases[f"{self.item.user} in {NAMES[service]}"] = sum(file["size"] for file in entry["files"])
        return saved

    def write_manifest(self, databases: Sequence[Mapping[str, Any]], services: Mapping[str, Any]) -> None:
        """Write what a restore needs to know about the snapshot."""
        manifest = {
            "set": self.item.name,
            "host": self.config.host,
            "made": clock.timestamp(),
            "paths": self.paths,
            "databases": databases,
            "users": {str(uid): name for uid in self.users if (name := user_name(uid))},
            **({"services": services} if services else {}),
            "groups": {str(gid): name for gid in self.groups if (name := group_name(gid))},
        }
        write_private(self.directory / "manifest.json", manifest)

    def leave_out_deep(self, too_deep: Sequence[str]) -> None:
        """Leave out directories whose paths are longer than a program can name, with a warning."""
        if len(too_deep) > DEEP_LIMIT:
            raise BackupError(f"more than {DEEP_LIMIT} directories are too deep to be saved, as {too_deep[0][:200]}")
        self.excluded += too_deep
        if too_deep:
            self.warn(
                f"left out, for its path has more than {trees.PATH_LIMIT} bytes: {too_deep[0][:200]}…"
                + (f" and {len(too_deep) - 1} more directories" if len(too_deep) > 1 else "")
            )

    def place(self, path: str) -> str:
        """A path of the set without links; one that leads through a link of another account raises BackupError."""
        try:
            return paths.resolved(path)
        except OSError as error:
            where = f"{path} of the backup set {self.item.name}"
            raise BackupError(f"{where}: {error.filename}: {error.strerror}") from None

    def present_paths(self) -> list[str]:
        """The set's paths with root's links in them resolved, none inside another; a missing one raises BackupError.

        restic leaves a missing path out with no more than a warning, and saves a link instead of what it points to.
        """
        found = {path: self.place(path) for path in self.item.paths}
        absent = [path for path, place in found.items() if paths.status_of(place) is None]
        if absent and not self.item.optional:
            raise BackupError(
                f"{', '.join(absent)} is not there. Correct the paths of the backup set {self.item.name}."
            )
        places = sorted({place for path, place in found.items() if path not in absent})
        return [place for place in places if not any(place.startswith(f"{other}/") for other in places)]

    def unfollowed(self) -> list[str]:
        """The directories below which restic is to follow no link: those that others than root can change."""
        found = dict.fromkeys(paths.changeable(path) for path in self.paths)
        return [path for path in found if path not in ROOTS_OWN]

    def remove(self) -> None:
        """Remove the copies."""
        clear(self.directory.parent)


def exceeds_disk(item: trees.Item) -> bool:
    """True for a file with holes that says to be larger than the whole disk: it could not be restored where it was."""
    if item.status.st_size <= max(MEBIBYTE, item.status.st_blocks * 512):
        return False
    disk = os.fstatvfs(item.parent)
    return item.status.st_size > disk.f_blocks * disk.f_frsize


def user_name(uid: int) -> str:
    """The name of a user, or nothing."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def group_name(gid: int) -> str:
    """The name of a group, or nothing."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
