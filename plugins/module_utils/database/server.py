# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database server of an app, by the record that the role ``database`` keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..common.files import read_json
from ..common.on_host import path
from . import mariadb, postgresql
from .errors import DatabaseError


class Server(Protocol):
    """A database server, as far as one app is concerned.

    A database is named whole: ``shop``, or with more behind a dot as ``shop.fresh``; "" is the app's own. Every method
    that raises raises :class:`DatabaseError`.
    """

    app: str

    # Argument vectors, which the caller runs as the app in its sandbox, with the socket's directory in sight. Each
    # prints one line of JSON, which is data; a failure is exit status 1 with a sentence on standard error.

    def dump(self, target: str, database: str = "") -> list[str]:
        """Write a dump into a file that the app may write; prints ``{"tables": {name: rows}}``, of the same moment.

        For ``-`` it goes to standard output, and nothing else is printed.
        """

    def load(self, dump: str, database: str = "") -> list[str]:
        """Load a dump that the app may read into an empty database; prints ``{"skipped": [what was left out, …]}``.

        For ``-`` it is standard input, which must be a file.
        """

    def counts(self, database: str = "") -> list[str]:
        """Count the rows of every table; prints ``{"tables": {name: rows}}``."""

    # What root calls; the server's superuser account does it.

    def exists(self, database: str = "") -> bool:
        """Whether there is a database of this name."""

    def size(self, database: str = "") -> int:
        """Bytes on the disk; raises for a database that is not there."""

    def describe(self) -> dict[str, Any]:
        """What a person wants to know of the server.

        ``version``, ``cluster``, ``connections`` (those of the app by what they do), ``max_connections``,
        ``extensions`` and ``locale``.
        """

    def databases(self) -> list[str]:
        """The names of all databases of the app."""

    def create(self, wanted: Sequence[str] = (), locale: str = "C.UTF-8") -> list[str]:
        """Make role and database as they are to be; a sentence for each thing done.

        :param wanted: the database's extensions.
        """

    def create_fresh(self, suffix: str) -> str:
        """Make an empty database ``<app>.<suffix>`` like the app's own, in place of one of that name; its name."""

    def swap(self, fresh: str, kept: str) -> None:
        """Name ``fresh`` as the app's database and that one ``kept``, both or neither; sessions of both are ended.

        Nothing of the app may run. ``kept`` must not be there yet.
        """

    def unswap(self, fresh: str, kept: str) -> None:
        """Take a swap back, or what is left of one that was killed: the app's database is what it was, the others gone.

        Nothing of the app may run. Done twice, or without a swap before it, it drops ``fresh`` alone.
        """

    def end_sessions(self) -> None:
        """End the sessions of the app's database, and with them the locks that they hold."""

    def drop(self, database: str) -> None:
        """Drop a database of the app, if it is there, whatever the app has made of it."""

    def drop_role(self) -> None:
        """Drop the app's role, once its databases are gone."""


def read(app: str, root: Path = Path("/")) -> dict[str, Any] | None:
    """The record of an app's database on this host; None if it has none here."""
    return read_json(path("services", app, root) / "database.json") or None


def left_over(app: str) -> list[dict[str, Any]]:
    """Records of what an app has on the servers of this host, where none is kept any more."""
    return [*postgresql.left_over(app), *mariadb.left_over(app)]


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two records name the same server."""
    return all(one.get(key) == other.get(key) for key in ("provider", "port"))


def of(record: Mapping[str, Any]) -> Server:
    """The server that a record names.

    :raises DatabaseError: the record names a provider that is not known.
    """
    provider = record.get("provider")
    if provider == "postgresql":
        return postgresql.PostgreSQL(record)
    if provider == "mariadb":
        return mariadb.MariaDB(record)
    raise DatabaseError(f"{provider!r} is no database server that this version knows")
