# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app's database on MariaDB: see :class:`.server.Server` for what each method promises."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import maria_step
from .errors import DatabaseError
from .maria_root import PLUGIN, Root, account, escaped, identifier, in_grant, literal

PROGRAM = Path(__file__).with_name("maria_copy.py")
SOCKET = "/run/mysqld/mysqld.sock"
NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)?")
NAME_LIMIT = 64  # characters
CHARACTER_SET = "utf8mb4"
Move = tuple[str, str, str]  # from a database, to another, a table


class MariaDB:
    """The server that an app's record names."""

    def __init__(
        self, record: Mapping[str, Any], root: Root | None = None, step: maria_step.Step | None = None
    ) -> None:
        """``root`` has the sessions of the superuser, ``step`` runs what acts for the app while root has it wait."""
        self.app, self.socket = str(record["name"]), str(record.get("socket") or SOCKET)
        self.root = root or Root(self.socket)
        self.step = step or maria_step.in_unit

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

    def heads(self, database: str = "") -> list[str]:
        """Read the migration heads; prints ``{"heads": [...]}``."""
        return self._as_app("heads", database)

    def _as_app(self, verb: str, database: str, **more: Any) -> list[str]:
        given = {"socket": self.socket, "database": self._own(database), **more}
        return ["/usr/bin/python3", "-I", str(PROGRAM), verb, json.dumps(given)]

    # --- by root, as the superuser ----------------------------------------

    def exists(self, database: str = "") -> bool:
        """Whether there is a database, by default the app's own."""
        return self._own(database) in self.root.databases()

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

    def databases(self) -> list[str]:
        """All databases of the app: its own, scratch and kept ones."""
        return sorted(name for name in self.root.databases() if name == self.app or name.startswith(f"{self.app}."))

    def create(self, wanted: Sequence[str] = (), locale: str = "C.UTF-8") -> list[str]:
        """Create account and database where they are missing; a sentence for each thing done.

        The account comes first, with its rights: it is by these that a database is known as the app's.

        :param wanted: extensions, of which MariaDB has none.
        :param locale: nothing that a database of MariaDB has.
        """
        del locale
        if wanted:
            raise DatabaseError(
                f"flask_apps.{self.app}.database.extensions: MariaDB has no extensions: take {', '.join(wanted)} out"
            )
        found = self.root.look(self.app)
        found.refuse_if_foreign()
        done = []
        if not found.is_there:
            self.root.sql(f"CREATE USER {account(self.app)} IDENTIFIED VIA {PLUGIN}")
            done.append(f"MariaDB has an account {self.app}@localhost")
        if not found.granted or not found.has_database:
            self._grant(self.app)
        if not found.has_database:
            self.root.sql(f"CREATE DATABASE {identifier(self.app)} CHARACTER SET {CHARACTER_SET}")
            done.append(f"MariaDB has a database {self.app}")
        return done

    def create_fresh(self, suffix: str) -> str:
        """Create an empty database that the app may use, with character set and collation of its own; its name."""
        fresh = self._own(f"{self.app}.{suffix}")
        if not self.exists():
            raise DatabaseError(f"MariaDB has no database {self.app}")
        self.drop(fresh)
        self._create_like(fresh)
        self._grant(fresh)
        return fresh

    def swap(self, fresh: str, kept: str) -> None:
        """Give the tables of ``fresh`` to the app's database, and those that it had to ``kept``, all or none.

        One statement moves all tables. Triggers, which hold a table where it is, events, routines and views are made
        anew by the app's account, from definitions that were read before; if that fails, all is put back.
        """
        fresh, kept = self._own(fresh), self._own(kept)
        if not self.exists(fresh):
            raise DatabaseError(f"MariaDB has no database {fresh}")
        if self.exists(kept):
            raise DatabaseError(f"MariaDB has a database {kept} already")
        moves = [
            *((self.app, kept, table) for table in self.root.tables(self.app)),
            *((fresh, self.app, table) for table in self.root.tables(fresh)),
        ]
        there = rename(moves)
        back = rename([(here, there, table) for there, here, table in reversed(moves)])
        self.root.end_sessions(self.app)
        # A view of the old ones may be broken, which is a reason to go back.
        old, new = self._objects(self.app, force=True), self._objects(fresh, force=False)
        self._create_like(kept)
        is_moved = False
        try:
            if old or new:
                self._grant(kept)
                self._step("strip", self.app, kinds=["trigger"])
                self._step("strip", fresh, kinds=["trigger"])
            self.root.sql(*there)
            is_moved = True
            if old or new:
                self._replace(self.app, new)
                self._replace(kept, old)
        except BaseException:
            self._put_back(back if is_moved else [], kept, old)
            raise
        self._revoke(kept)
        self.drop(fresh)

    def unswap(self, fresh: str, kept: str) -> None:
        """Take a swap back, or what is left of one that was killed.

        ``kept`` is created before one statement moves all tables: after it ``fresh`` has none. Where that could be
        otherwise too, the app's database stays as it is.
        """
        if self.exists(kept):
            tables = {name: self.root.tables(name) for name in (self.app, fresh, kept)}
            if not tables[fresh] and (tables[kept] or not tables[self.app]):
                self.drop(fresh)
                self.swap(kept, fresh)
            elif not tables[kept]:
                self.drop(kept)
            else:
                raise DatabaseError(f"MariaDB has tables in {fresh} and in {kept}: drop the one that is not needed")
        self.drop(fresh)

    def _put_back(self, back: Sequence[str], kept: str, old: str) -> None:
        """Have the app's database be what it was before a swap that failed; ``fresh`` is left without its triggers."""
        if back:
            if old:
                self._step("strip", self.app, kinds=["trigger"])
                self._step("strip", kept, kinds=["trigger"])
            self.root.sql(*back)
        if old:
            self._replace(self.app, old)
        self.drop(kept)

    def drop(self, database: str) -> None:
        """Drop one of the app's databases, if it is there, and the rights on it."""
        name = self._own(database)
        self.root.sql(f"DROP DATABASE IF EXISTS {identifier(name)}")
        self._revoke(name)

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

    def _grant(self, database: str) -> None:
        self.root.sql(f"GRANT ALL PRIVILEGES ON {in_grant(database)}.* TO {account(self.app)}")

    def _revoke(self, database: str) -> None:
        if escaped(database) in self.root.look(self.app).granted:
            self.root.sql(f"REVOKE ALL PRIVILEGES ON {in_grant(database)}.* FROM {account(self.app)}")

    def _create_like(self, database: str) -> None:
        """Create an empty database with the character set and collation of the app's own."""
        character_set, collation = self.root.sql(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata "
            f"WHERE schema_name = '{literal(self.app)}'"
        )[0].split("\t")
        self.root.sql(f"CREATE DATABASE {identifier(database)} CHARACTER SET {character_set} COLLATE {collation}")

    def _objects(self, database: str, force: bool) -> str:
        """The definitions of what is no table, as the app's account sees them."""
        return str(self._step("objects", database, force=force)["sql"])

    def _replace(self, database: str, definitions: str) -> None:
        """Have what is no table in a database be these definitions."""
        self._step("replace", database, payload=definitions)

    def _step(self, verb: str, database: str, payload: str = "", **more: Any) -> dict[str, Any]:
        """Have the app's account do something, and wait for it."""
        answer: dict[str, Any] = json.loads(self.step(self.app, self._as_app(verb, database, **more), payload))
        return answer


def rename(moves: Sequence[Move]) -> list[str]:
    """The statement that moves tables, all or none, in this order; none for no tables.

    :raises DatabaseError: the name of a table could be taken for more than a name.
    """
    words = [f"{identifier(a)}.{identifier(table)} TO {identifier(b)}.{identifier(table)}" for a, b, table in moves]
    return [f"RENAME TABLE {', '.join(words)}"] if words else []


def directory_of(database: str) -> str:
    """The directory of a database, for which MariaDB writes other characters as their numbers."""
    return re.sub(r"[^a-z0-9_]", lambda found: f"@{ord(found[0]):04x}", database)
