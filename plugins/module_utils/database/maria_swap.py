# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchange of an app's tables for those of another of its databases, whole or not at all.

MariaDB cannot rename a database, but it moves any number of tables by one statement, which takes effect as a whole,
after a crash too. What is no table is not moved: triggers, which hold a table where it is, events, routines and views.
The app's account makes these anew, from definitions that were read before and are kept until all is done.

How far an exchange got can be seen afterwards. Both databases have a comment that says that one goes on, and a table
without rows, the mark, moves with the others: the database with the mark is the one that has its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .errors import DatabaseError
from .maria_root import Root, identifier

COMMENT = "groundwork: an exchange goes on"
MARK = "groundwork_mark"
DEFINITIONS = "groundwork_definitions"
Move = tuple[str, str, str]  # from a database, to another, a table
AsApp = Callable[..., dict[str, Any]]


class Swap:
    """The exchange of one app's tables."""

    def __init__(self, app: str, root: Root, as_app: AsApp) -> None:
        """``as_app`` has the app's account do a verb of ``maria_copy`` in a database."""
        self.app, self.root, self.as_app = app, root, as_app

    def is_void(self, database: str) -> bool:
        """Whether an exchange that was cut off has left a database without its tables, or not given it any yet."""
        return self.root.comment(database) == COMMENT and MARK not in self.root.tables(database)

    def heal(self) -> None:
        """End what was cut off: give the app's database the definitions that it lacks, and drop what is void.

        Once the app's own is dropped there is nothing to give, nor an account that could.
        """
        databases = self.root.databases()
        for database in databases:
            if database.startswith(f"{self.app}.") and self.is_void(database):
                if self.app in databases and (definitions := self.stored(database)) is not None:
                    self.replace(self.app, definitions)
                self.root.drop(self.app, database)

    def carry_out(self, fresh: str, kept: str) -> None:
        """Give the tables of ``fresh`` to the app's database, and those that it had to ``kept``.

        :raises DatabaseError: it could not be done, and all is as it was but for the triggers of ``fresh``.
        """
        there = [
            *((self.app, kept, table) for table in self.tables(self.app)),
            *((fresh, self.app, table) for table in self.tables(fresh)),
            (fresh, kept, MARK),
        ]
        statement, back = rename(there), rename([(to, here, table) for here, to, table in reversed(there)])
        self.root.end_sessions(self.app)
        self.root.grant(self.app, fresh)
        # A view of the old ones may be broken, which is a reason to go back.
        old, new = self.objects(self.app, force=True), self.stored(fresh)
        new = self.objects(fresh) if new is None else new
        self.root.sql(f"CREATE TABLE IF NOT EXISTS {identifier(fresh)}.{MARK} (nothing INT)")
        self.root.sql(f"ALTER DATABASE {identifier(fresh)} COMMENT '{COMMENT}'")
        self.root.create_like(self.app, kept, COMMENT)
        try:
            if old or new:
                self.root.grant(self.app, kept)
                self.store(kept, old)
                self.store(fresh, new)
                self.strip_triggers(self.app, fresh)
            self.root.sql(statement)
            if old or new:
                self.replace(self.app, new)
                self.replace(kept, old)
        except BaseException:
            if MARK in self.root.tables(kept):
                self.strip_triggers(self.app, kept)
                self.root.sql(back)
            self.heal()
            raise
        self.root.sql(
            f"DROP TABLE IF EXISTS {identifier(kept)}.{DEFINITIONS}",
            f"ALTER DATABASE {identifier(kept)} COMMENT ''",
            f"DROP TABLE {identifier(kept)}.{MARK}",
        )
        self.root.revoke(self.app, kept)
        self.root.drop(self.app, fresh)

    # --- parts ----------------------------------------

    def tables(self, database: str) -> list[str]:
        """The tables of a database that are the app's."""
        return [table for table in self.root.tables(database) if table not in (MARK, DEFINITIONS)]

    def objects(self, database: str, force: bool = False) -> str:
        """The definitions of what is no table, as the app's account sees them."""
        found = self.as_app("objects", database, force=force).get("sql")
        if not isinstance(found, str):
            raise DatabaseError(f"MariaDB: a step of {self.app} did not print what {database} has beside its tables")
        return found

    def replace(self, database: str, definitions: str) -> None:
        """Have what is no table in a database be these definitions."""
        self.as_app("replace", database, payload=definitions)

    def strip_triggers(self, *databases: str) -> None:
        """Drop the triggers of databases."""
        for database in databases:
            self.as_app("strip", database, kinds=["trigger"])

    def store(self, database: str, definitions: str) -> None:
        """Keep definitions in a database, as data, unless it has them from an exchange that was cut off."""
        if self.stored(database) is None:
            self.as_app("store", database, payload=definitions)

    def stored(self, database: str) -> str | None:
        """The definitions that are kept in a database; None if none are.

        The app reads and writes them: for root, what has this name may turn into a view, whose functions run as root.
        """
        if DEFINITIONS not in self.root.tables(database):
            return None
        found = self.as_app("stored", database)["sql"]
        return None if found is None else str(found)


def rename(moves: Sequence[Move]) -> str:
    """The statement that moves tables, all or none, in this order.

    :raises DatabaseError: the name of a table could be taken for more than a name.
    """
    moved = [f"{identifier(a)}.{identifier(table)} TO {identifier(b)}.{identifier(table)}" for a, b, table in moves]
    return f"RENAME TABLE {', '.join(moved)}"
