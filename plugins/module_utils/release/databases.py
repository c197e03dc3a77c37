# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of an app's databases, made before a release command and put back by a rollback.

SQLite's files are copied (``common.sqlite``), and the database on the host's server is dumped. All of it is done by the
app in its sandbox, into directories that it owns for that time; there is a copy of all or of none.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import sqlite, trees
from ..common.clock import timestamp
from ..common.files import make_directory, read_json, write
from ..common.text import line
from ..database import server as database_server
from ..database.errors import DatabaseError
from ..database.server import Server
from .app_steps import AppSteps
from .context import Context
from .errors import ReleaseError, megabytes, tail
from .layout import Layout
from .services import Services

DUMP = "dump"
RESERVE = 64 * 2**20  # bytes that stay free for everything else
# Where the data of a server are on the host, as Debian has them.
DATA = {"postgresql": "var/lib/postgresql", "mariadb": "var/lib/mysql"}
SERVERS = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}


@dataclass(frozen=True)
class SavedCopy:
    """What was saved before the command of a release.

    :ivar release: it.
    """

    at: Layout
    release: str

    @property
    def files(self) -> Path:
        """The copies of SQLite's databases, as they lie in the data directory."""
        return self.at.saved / self.release

    @property
    def dumps(self) -> Path:
        """The directory with the dump of the database on the host's server."""
        return self.at.saved / f"{self.release}.database"

    @property
    def file(self) -> Path:
        """What root notes of the dump; there once it is whole."""
        return self.at.saved / f"{self.release}.json"

    def record(self) -> dict[str, Any]:
        """Of the dump: ``provider``, ``bytes`` of the database, ``tables`` with their rows; empty without a dump."""
        return read_json(self.file)

    def exists(self) -> bool:
        """Whether anything was saved."""
        return self.file.exists() or (self.files.exists() and any(self.files.iterdir()))

    def remove(self) -> None:
        """Remove all of it; what says that it is whole goes first."""
        self.file.unlink(missing_ok=True)
        trees.remove(*(path for path in (self.files, self.dumps) if path.exists()))


class SavedDatabases:
    """The copies of one app's databases, by the release whose command they were made before."""

    def __init__(self, context: Context, steps: AppSteps) -> None:
        self.context, self.steps, self.at = context, steps, context.at
        self.seconds = context.spec.release_command_timeout

    def copy(self, release: str) -> SavedCopy:
        """The copy for a release, which need not be there."""
        return SavedCopy(self.at, release)

    # --- saving ----------------------------------------

    def is_saved(self, release: str) -> bool:
        """Whether a copy for this release is whole."""
        copy = self.copy(release)
        return copy.files.exists() and (copy.file.exists() or not Services(self.context).database())

    def save(self, release: str) -> None:
        """Copy the databases in place of an earlier copy for this release.

        :raises ReleaseError: they could not be copied, and nothing is kept.
        """
        copy, record = self.copy(release), Services(self.context).database()
        copy.remove()
        server = database_server.of(record) if record else None
        size = self.check_space(server)
        make_directory(copy.files, 0o700)
        for parent in (self.at.saved, self.at.saved.parent):
            parent.chmod(0o711)
        try:
            status, output = self.run_sqlite(copy.files, "save", self.at.data, str(copy.files))
            if status:
                raise self.not_saved(tail(output))
            if server:
                self.dump(server, copy, {"provider": record["provider"], "bytes": size})
        except Exception:
            copy.remove()
            raise

    def check_space(self, server: Server | None) -> int:
        """Refuse a dump that may not fit; the bytes of the database.

        :raises ReleaseError: with what it may need, and what is free.
        """
        if not server:
            return 0
        make_directory(self.at.saved)
        with shown("save"):
            size = server.size()
        if (free := shutil.disk_usage(self.at.saved).free) < size + RESERVE:
            raise ReleaseError(
                "save",
                f"the disk is too full for a dump of the database {server.app} before "
                f"`{self.context.spec.release_command}`: the database has {megabytes(size)}, and {megabytes(free)} are "
                f"free at {self.at.saved}, of which {megabytes(RESERVE)} are to stay free: make room; to keep fewer "
                f"releases helps too (release_keep: {self.context.settings.keep})",
            )
        return size

    def dump(self, server: Server, copy: SavedCopy, facts: dict[str, Any]) -> None:
        """Dump the database, and note what it held."""
        make_directory(copy.dumps, 0o700)
        with shown("save"):
            status, output = self.in_sandbox("dump", server.dump(str(copy.dumps / DUMP)), copy.dumps)
        if status:
            raise self.not_saved(tail(output))
        record = {**facts, "time": timestamp(), "tables": answer(output).get("tables", {})}
        write(copy.file, json.dumps(record) + "\n", 0o600)

    def not_saved(self, log: str) -> ReleaseError:
        """The error of a copy that could not be made."""
        command = self.context.spec.release_command
        return ReleaseError("save", f"the databases could not be saved before `{command}`", log)

    # --- putting back ----------------------------------------

    def server_of(self, copy: SavedCopy) -> Server | None:
        """The server that a dump goes back to: where the database is now; None without a dump.

        :raises ReleaseError: there is no such server any more, or the dump would not fit.
        """
        record = copy.record()
        if not record:
            return None
        now = database_server.read(self.context.app, self.at.root) or {}
        kind = SERVERS.get(record["provider"], record["provider"])
        if now.get("provider") != record["provider"]:
            raise ReleaseError(
                "choose", f"the saved copy has a database of {kind}, and this host has none for {self.context.app} now"
            )
        disk = DATA.get(record["provider"], "var")
        here = self.at.root / disk
        if here.exists() and (free := shutil.disk_usage(here).free) < record["bytes"] + RESERVE:
            raise ReleaseError(
                "choose",
                "the disk is too full to load the saved database beside the live one: it had "
                f"{megabytes(record['bytes'])}, and {megabytes(free)} are free at /{disk}, of which "
                f"{megabytes(RESERVE)} are to stay free: make room",
            )
        with shown("choose"):
            return database_server.of(now)

    def load(self, copy: SavedCopy, server: Server, suffix: str) -> str:
        """Load the dump into a fresh database, and see that it holds what was dumped; the database's name."""
        what = "the saved database could not be loaded, and nothing was exchanged"
        with shown("restore"):
            fresh = server.create_fresh(suffix)
            status, output = self.in_sandbox("load", server.load(str(copy.dumps / DUMP), fresh), copy.dumps)
            if status:
                raise ReleaseError("restore", what, tail(output))
            status, output = self.in_sandbox("counts", server.counts(fresh), copy.dumps)
        if status:
            raise ReleaseError("restore", what, tail(output))
        tables, wanted = answer(output).get("tables", {}), copy.record()["tables"]
        if differing := sorted(name for name in {*wanted, *tables} if tables.get(name) != wanted.get(name)):
            raise ReleaseError("restore", what, f"these tables have other rows than were saved: {line(str(differing))}")
        return fresh

    def exchange(self, how: str, saved: Path, stamp: str) -> None:
        """Put copies back (``restore``), or what was there before (``undo``); see ``common.sqlite``."""
        status, output = self.run_sqlite(saved, how, self.at.data, str(saved), stamp)
        if status:
            raise ReleaseError("restore", f"the saved databases could not be put back ({how})", tail(output))

    # --- as the app ----------------------------------------

    def run_sqlite(self, saved: Path, *arguments: str) -> tuple[int, str]:
        """Run ``common.sqlite``."""
        program = ("/usr/bin/python3", "-I", "-c", inspect.getsource(sqlite))
        return self.in_sandbox(arguments[0], [*program, *arguments], saved)

    def in_sandbox(self, name: str, argv: list[str], saved: Path) -> tuple[int, str]:
        """Run a step as the app, which can see the copies for that time and owns them."""
        account = pwd.getpwnam(self.context.app)
        trees.take(saved, account.pw_uid, account.pw_gid, files_only=True)
        try:
            environment = {"LANG": "C.UTF-8"}
            return self.steps.execute(name, *argv, seconds=self.seconds, environment=environment, writable=[saved])
        finally:
            trees.take(saved, os.geteuid(), os.getegid(), files_only=True)
            make_directory(saved, 0o700)


def answer(output: str) -> dict[str, Any]:
    """The line of JSON at the end of what a step has printed; it is the app's, and may be anything."""
    for text in reversed(output.splitlines()):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(text)
            if isinstance(found, dict):
                tables = found.get("tables", {})
                return {"tables": tables if isinstance(tables, dict) else {}}
    return {}


@contextlib.contextmanager
def shown(step: str) -> Iterator[None]:
    """Report what a database server says as the error of a step."""
    try:
        yield
    except DatabaseError as error:
        raise ReleaseError(step, str(error)) from error
