# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite databases: found by their content, copied and checked by processes of their owners."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import paths, trees
from ..common.files import make_directory
from ..common.systemd import Directives
from ..common.text import escaped
from . import steps
from .errors import BackupError
from .space import MEBIBYTE

SQLITE_MAGIC = b"SQLite format 3\0"
NO_ANSWER = "the process that opened it ended without an answer"
# Run, not imported: root opens no database.
COPIER = Path(__file__).parents[1] / "common" / "sqlite.py"
SIDECARS = ("-wal", "-shm", "-journal")


def parsed_lines(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects among the lines of an output."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(line)
            if isinstance(found, dict):
                yield found


@dataclass(frozen=True)
class Database:
    """An SQLite database of a set, as it was found: whose it is, and who copies it."""

    path: str
    status: os.stat_result
    attributes: Mapping[str, bytes]
    copier: tuple[int, int]


def find_database(item: trees.Item) -> Database | None:
    """The database that this is, or None; one that only root could copy where others can write raises BackupError.

    A database is opened by a process of the account in whose directory it lies: in such a directory a path leads where
    that account likes, and should lead to nothing that the account itself could not read.
    """
    try:
        descriptor = paths.open_regular(item.parent, item.name)
    except OSError:
        return None
    try:
        if os.read(descriptor, len(SQLITE_MAGIC)) != SQLITE_MAGIC:
            return None
        kept = [name for name in os.listxattr(descriptor) if name.startswith(("user.", "system.posix_acl_access"))]
        attributes = {name: os.getxattr(descriptor, name) for name in kept}
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    try:
        account, private = paths.accounts_on(item.path)
    except OSError:
        return None  # Its directory has been exchanged meanwhile.
    if account is None and not private and status.st_uid == 0:
        raise BackupError(
            f"the database {item.path} belongs to root and lies in a directory that others can write to. "
            "Give it to the account that uses it (chown)."
        )
    return Database(item.path, status, attributes, account or (status.st_uid, status.st_gid))


@dataclass
class Copies:
    """Copies of the databases of one set, each made as the account that it belongs to.

    :param directory: where the copies go; what the copiers write lies beside it at first.
    :param hidden: the directory of the program's own, of which a copier sees nothing else.
    :param paths: where a copier may write: SQLite writes beside a database even to read it.
    """

    directory: Path
    hidden: Path
    paths: Sequence[str]
    count: int = 0

    def make(self, databases: Sequence[Database], seconds: float) -> list[dict[str, Any]]:
        """Copy databases; a record for each, with ``error`` for what failed."""
        records: dict[str, dict[str, Any]] = {}
        for copier in dict.fromkeys(database.copier for database in databases):
            records |= self.made_by(copier, [each for each in databases if each.copier == copier], seconds)
        return [records[database.path] for database in databases]

    def made_by(
        self, copier: tuple[int, int], databases: Sequence[Database], seconds: float
    ) -> dict[str, dict[str, Any]]:
        """Have one account copy its databases, and take over what it made; the records by path."""
        out = self.directory.parent / f"out-{copier[0]}"
        make_directory(out, 0o700)
        descriptor = os.open(out, paths.DIRECTORY)
        try:
            os.fchown(descriptor, *copier)
            jobs = [{"source": each.path, "copy": str(out / str(number))} for number, each in enumerate(databases)]
            most = max(each.status.st_size for each in databases) * 2 + 32 * MEBIBYTE
            writable = dict.fromkeys([*self.paths, *(os.path.dirname(each.path) for each in databases)])
            sandbox = [
                *steps.STRICT,
                *steps.OFFLINE,
                *steps.account(*copier),
                ("LimitFSIZE", str(most)),
                *(("ReadWritePaths", f"-{steps.quoted(path)}") for path in writable),
                ("TemporaryFileSystem", f"{self.hidden}:ro"),
                ("BindPaths", str(out)),
            ]
            outcomes = run_jobs(jobs, sandbox, seconds)
            os.fchown(descriptor, os.geteuid(), os.getegid())  # From here on its owner can exchange nothing in it.
            records = {}
            for number, each in enumerate(databases):
                outcome: dict[str, Any] = outcomes.get(number, {"error": NO_ANSWER})
                if "error" not in outcome:
                    outcome = self.take_over(descriptor, str(number), each, most)
                records[each.path] = {**outcome, "path": each.path}
        finally:
            os.close(descriptor)
        return records

    def take_over(self, out: int, name: str, database: Database, most: int) -> dict[str, Any]:
        """Take a copy that another account has made, if it is a regular file and no longer than that; its record."""
        try:
            descriptor = paths.open_regular(out, name)
        except OSError:
            return {"error": "the copying process left no file"}
        try:
            made = os.fstat(descriptor)
            if made.st_nlink != 1 or made.st_uid != database.copier[0] or made.st_size > most:
                return {"error": "the copying process left something other than a copy"}
            number, self.count = str(self.count), self.count + 1
            os.rename(name, self.directory / number, src_dir_fd=out)
            os.fchown(descriptor, database.status.st_uid, database.status.st_gid)
            os.fchmod(descriptor, database.status.st_mode & 0o777)
            for attribute, value in database.attributes.items():
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, attribute, value)
            os.utime(descriptor, ns=(database.status.st_atime_ns, database.status.st_mtime_ns))
            return {"copy": number, "size": made.st_size, "sha256": sha256(descriptor)}
        finally:
            os.close(descriptor)


def run_jobs(jobs: Sequence[Mapping[str, str]], sandbox: Directives, seconds: float) -> dict[int, dict[str, str]]:
    """Have common.sqlite do these jobs in a sandbox; its answer to each, by number."""
    argv = ("/usr/bin/python3", "-I", str(COPIER), "jobs")
    status, output = steps.in_unit(argv, sandbox, seconds, json.dumps(jobs).encode(), 1 << 24)
    answers: dict[int, dict[str, str]] = {}
    for row in parsed_lines(output):
        if isinstance(row.get("number"), int):
            answers[row["number"]] = {
                key: escaped(str(row[key])) for key in ("error", "damaged", "check") if key in row
            }
    if status and not answers:
        last = output.strip().splitlines()[-1:] or [f"exit status {status}"]
        raise BackupError(f"the databases could not be examined: {last[0]}")
    return answers


def sha256(descriptor: int) -> str:
    """The hash of an open file's content."""
    digest, offset = hashlib.sha256(), 0
    while block := os.pread(descriptor, MEBIBYTE, offset):
        digest.update(block)
        offset += len(block)
    return digest.hexdigest()
