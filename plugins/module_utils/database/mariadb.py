# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app's database on MariaDB: see :class:`.server.Server` for what each method promises."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common import programs
from ..common.text import line
from . import as_app, maria_setup
from .errors import DatabaseError
from .maria_root import PLUGIN, Root, account, identifier, in_grant, literal
from .maria_swap import Swap

PROGRAM = Path(__file__).with_name("maria_copy.py")
SOCKET = "/run/mysqld/mysqld.sock"
NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)?")
NAME_LIMIT = 64  # characters
CHARACTER_SET = "utf8mb4"
STEP_SECONDS = 600.0
Step = Callable[[str, Sequence[str], str], str]  # of an app, a command and its standard input; what it prints


class MariaDB:
    """The server that an app's record names."""

    def __init__(self, record: Mapping[str, Any], root: Root | None = None, step: Step | None = None) -> None:
        """``root`` has the sessions of the superuser, ``step`` runs what acts for the app while root has it wait."""
        self.app, self.socket = str(record["name"]), str(record.get("socket") or SOCKET)
        self.root = root or Root(self.socket)
        self.step = step or step_as_app
        self.exchange = Swap(self.app, self.root, self._step)

    # --- argument vectors, to be run as the app ----------------------------------------

    def dump(self, target: str, database: str = "") -> list[str]:
        """Write a dump into a file; prints ``{"tables": {name: rows}}`` of what was written."""
        return self._as_app("dump", database, file=target)

    def load(self, dump: str, database: str = "") -> list[str]:
        """Load a dump; prints ``{"skipped": []}``."""
        return self._as_app("load", database, file=dump)

    def counts(self, database: str = "") -> list[str]:
        """Count the rows of each table; prints ``{"tables": {name: rows}}``."""
        return self._as_app("counts", database)

    def _as_app(self, verb: str, database: str, **more: Any) -> list[str]:
        given = {"socket": self.socket, "database": self._own(database), **more}
        return ["/usr/bin/python3", "-I", str(PROGRAM), verb, json.dumps(given)]

    # --- by root, as the superuser ----------------------------------------

    def exists(self, database: str = "") -> bool:
        """Whether there is a database, by default the app's own; not one that a swap has emptied, or not filled."""
        name = self._own(database)
        return name in self.root.databases() and (name == self.app or not self.exchange.is_void(name))

    def size(self, database: str = "") -> int:
        """Bytes on the disk, of tables of every engine."""
        name = self._own(database)
        if not self.exists(name):
            raise DatabaseError(f"MariaDB has no database {name}")
        directory = Path(bytes.fromhex(self.root.sql("SELECT HEX(@@datadir)")[0]).decode()) / directory_of(name)
        try:
            with os.scandir(directory) as files:
                return sum(file.stat(follow_symlinks=False).st_blocks * 512 for file in files)
        except OSError as error:
            raise DatabaseError(f"MariaDB: {directory}: {error.strerror}") from None

    def describe(self) -> dict[str, Any]:
        """Version, connections and collation, as a person wants to know them."""
        version, most, number = self.root.sql(
            "SELECT VERSION()", "SELECT @@max_connections",
            f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = {literal(self.app)}",
        )  # fmt: skip
        collation = self.root.sql(
            f"SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = {literal(self.app)}"
        )
        return {
            "version": version,
            "cluster": self.socket,
            "connections": {"open": int(number)} if int(number) else {},
            "max_connections": int(most),
            "extensions": [],
            "locale": "".join(collation),
        }

    def databases(self) -> list[str]:
        """All databases of the app: its own, scratch and kept ones."""
        return sorted(name for name in self.root.databases() if name == self.app or name.startswith(f"{self.app}."))

    def create(self, wanted: Sequence[str] = (), locale: str = "C.UTF-8", *, dry_run: bool = False) -> list[str]:
        """Create account and database where they are missing; a sentence for each thing done, or to be done.

        The account comes first, with its rights: it is by these that a database is known as the app's.

        :param wanted: extensions, of which MariaDB has none.
        :param locale: nothing that a database of MariaDB has.
        :param dry_run: say it only.
        """
        del locale
        if wanted:
            raise DatabaseError(
                f"flask_apps.{self.app}.database.extensions: MariaDB has no extensions: take {', '.join(wanted)} out"
            )
        found = self.root.look(self.app)
        found.refuse_if_foreign()
        if found.is_there and found.granted and found.has_database:
            return []
        done = maria_setup.set_up(self.root, dry_run=dry_run)  # before anybody uses it
        todo = []
        if not found.is_there:
            todo.append(f"CREATE USER {account(self.app)} IDENTIFIED VIA {PLUGIN}")
            done.append(f"create the account {self.app}@localhost on MariaDB")
        todo.append(f"GRANT ALL PRIVILEGES ON {in_grant(self.app)}.* TO {account(self.app)}")
        if not found.has_database:
            todo.append(f"CREATE DATABASE {identifier(self.app)} CHARACTER SET {CHARACTER_SET}")
            done.append(f"create the database {self.app} on MariaDB")
        if not dry_run:
            self.root.sql(*todo)
        return done

    def create_fresh(self, suffix: str) -> str:
        """Create an empty database that the app may use, with character set and collation of its own; its name."""
        fresh = self._own(f"{self.app}.{suffix}")
        if not self.exists():
            raise DatabaseError(f"MariaDB has no database {self.app}")
        self.drop(fresh)
        self.root.create_like(self.app, fresh)
        self.root.grant(self.app, fresh)
        return fresh

    def swap(self, fresh: str, kept: str) -> None:
        """Give the tables of ``fresh`` to the app's database, and those that it had to ``kept``, all or none."""
        fresh, kept = self._own(fresh), self._own(kept)
        self.exchange.heal()
        if not self.exists(fresh):
            raise DatabaseError(f"MariaDB has no database {fresh}")
        if kept in self.root.databases():
            raise DatabaseError(f"MariaDB has a database {kept} already")
        self.exchange.carry_out(fresh, kept)

    def unswap(self, fresh: str, kept: str) -> None:
        """Take a swap back, or what is left of one that was killed; the mark says which of the two has its tables."""
        if self.exists(kept):
            self.drop(fresh)
            self.swap(fresh=kept, kept=fresh)
        self.drop(fresh)

    def end_sessions(self) -> None:
        """End all sessions of the app's account."""
        self.root.end_sessions(self.app)

    def drop(self, database: str) -> None:
        """Drop one of the app's databases, if it is there, and the rights on it.

        An exchange that was cut off is ended first, for what is dropped may hold definitions of the live database; that
        needs the app's account, and for an app that is gone it needs not be.
        """
        name = self._own(database)
        try:
            if name != self.app:
                self.exchange.heal()
        except DatabaseError:
            if self.exchange.is_void(name) and as_app.has_account(self.app):
                raise
        self.root.drop(self.app, name)

    def drop_role(self) -> None:
        """Drop the app's account, once its databases are gone."""
        if left := self.databases():
            raise DatabaseError(f"MariaDB still has {', '.join(left)}: drop them first")
        if self.root.look(self.app).is_ours:
            self.root.sql(f"DROP USER IF EXISTS {account(self.app)}")

    # --- parts ----------------------------------------

    def _own(self, database: str) -> str:
        """The whole name of a database of the app.

        :raises DatabaseError: it is another's, or none at all.
        """
        name = database or self.app
        if not NAME.fullmatch(name) or len(name) > NAME_LIMIT or name.partition(".")[0] != self.app:
            raise DatabaseError(f"{name!r} is no database of {self.app}")
        return name

    def _step(self, verb: str, database: str, payload: str = "", **more: Any) -> dict[str, Any]:
        """Have the app's account do something, and wait for it."""
        printed = self.step(self.app, self._as_app(verb, database, **more), payload)
        try:
            answer = json.loads(printed)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise DatabaseError(f"MariaDB: a step of {self.app} printed no result: {line(printed[:500])}")
        return answer


def step_as_app(app: str, argv: Sequence[str], payload: str) -> str:
    """Have the app do something in the middle of what root does; what that prints, such as long definitions."""
    return as_app.output_of(app, "step", argv, payload=payload, seconds=STEP_SECONDS, limit=programs.ANSWER_LIMIT)


def left_over(app: str) -> list[dict[str, Any]]:
    """The record of an account that was made for an app, if there is one; nothing of a server that does not answer."""
    try:
        found = Root(SOCKET).look(app) if os.path.exists(SOCKET) else None
    except DatabaseError:
        return []
    return [{"provider": "mariadb", "name": app, "socket": SOCKET}] if found and found.is_ours and found.granted else []


def directory_of(database: str) -> str:
    """The directory of a database, for which MariaDB writes other characters as their numbers."""
    return re.sub(r"[^a-z0-9_]", lambda found: f"@{ord(found[0]):04x}", database)
