# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of PostgreSQL's superuser: by peer over the socket, as its account, with nothing of an app's in the way.

An app owns its database, and with it the settings that every session there begins with, the superuser's too. Those that
would change what a statement means are set by the session itself, which comes before them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common import programs
from ..common.beside import beside, own_unit
from .as_app import SANDBOX
from .clusters import SOCKETS, Cluster
from .errors import DatabaseError

SETPRIV = "/usr/bin/setpriv"
MAINTENANCE = "postgres"  # the database that a session is in unless it needs another
SETTINGS = {
    "search_path": "pg_catalog",
    "role": "none",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read\\ committed",
    "default_tablespace": "",
    "lock_timeout": "30s",
    "statement_timeout": "0",
    "row_security": "on",
    # One that is not there lets no session begin.
    "local_preload_libraries": "",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
# For Debian's programs, which begin sessions in the databases of all apps and set the rest themselves.
OPTIONS = (
    "-c role=none -c default_transaction_read_only=off -c statement_timeout=0 -c local_preload_libraries= "
    "-c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0"
)
SECONDS = 120.0


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    if "\0" in name or not name:
        raise DatabaseError(f"{name!r} cannot be a name in PostgreSQL")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it, whatever ``standard_conforming_strings`` is."""
    if "\0" in text:
        raise DatabaseError(f"{text!r} cannot be a text in PostgreSQL")
    quoted = text.replace("'", "''")
    return f"E'{quoted}'".replace("\\", "\\\\") if "\\" in quoted else f"'{quoted}'"


def environment(cluster: Cluster, socket: str, user: str) -> dict[str, str]:
    """All of the environment of a session: no file of the account's is read, and no variable of the caller's."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "PGHOST": socket,
        "PGPORT": str(cluster.port),
        "PGUSER": user,
        "PGAPPNAME": "groundwork",
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": "10",
        "PGPASSFILE": "/nonexistent",
        "PGSERVICEFILE": "/dev/null",
        "PGSYSCONFDIR": "/nonexistent",
        "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in SETTINGS.items()),
    }


@contextlib.contextmanager
def as_owner(owner: str, argv: Sequence[str], variables: Mapping[str, str]) -> Iterator[tuple[list[str], bytes]]:
    """What runs a program as a cluster's owner: argument vector and standard input.

    The units of the backup cannot become another account; there it runs beside them.
    """
    if unit := own_unit("groundwork-backup"):
        with beside(unit, argv, variables, [("User", owner), *SANDBOX]) as client:
            yield client
    else:
        become = (f"--reuid={owner}", f"--regid={owner}", "--init-groups", "--inh-caps=-all", "--no-new-privs")
        yield [SETPRIV, *become, *argv], b""


@dataclass(frozen=True)
class Superuser:
    """The superuser of a cluster, which is the account that the cluster runs as.

    :ivar socket: the directory of its socket.
    """

    cluster: Cluster
    socket: str = SOCKETS

    def sql(self, *statements: str, database: str = MAINTENANCE, seconds: float = SECONDS) -> list[str]:
        """Run statements, each in a transaction of its own unless they say otherwise; the lines they print.

        :raises DatabaseError: with what the server says of the first one that fails; the others do not run.
        """
        commands = [word for statement in statements for word in ("-c", statement)]
        owner = self.cluster.owner
        psql = (f"{self.cluster.programs}/psql", "-X", "-w", "-q", "-At", "-v", "ON_ERROR_STOP=1")
        argv = [*psql, *commands, "-d", connection_string(database)]
        given = environment(self.cluster, self.socket, owner)
        try:
            with as_owner(owner, argv, given) as (client, payload):
                limit = programs.ANSWER_LIMIT
                done = programs.run(client, seconds=seconds, environment=given, payload=payload, limit=limit)
        except OSError as error:
            raise DatabaseError(f"PostgreSQL {self.cluster}: {error}") from None
        except subprocess.TimeoutExpired:
            raise DatabaseError(f"PostgreSQL {self.cluster}: a statement took more than {seconds:.0f} s") from None
        if done.returncode:
            raise DatabaseError(f"PostgreSQL {self.cluster}: {done.stderr or done.stdout}")
        return done.stdout.split("\n")[:-1]  # a name may hold what splitlines() takes for the end of a line

    def transaction(self, *statements: str, database: str = MAINTENANCE, seconds: float = SECONDS) -> None:
        """Run statements, all or none."""
        self.sql("BEGIN", *statements, "COMMIT", database=database, seconds=seconds)

    def rows(self, query: str, database: str = MAINTENANCE) -> list[dict[str, Any]]:
        """The rows of a query, each by the names of its columns."""
        wrapped = f"SELECT coalesce(jsonb_agg(to_jsonb(found)), '[]') FROM ({query}) AS found"
        answer: list[dict[str, Any]] = json.loads(self.sql(wrapped, database=database)[-1])
        return answer

    def one(self, query: str, database: str = MAINTENANCE) -> dict[str, Any] | None:
        """The first row of a query; None if it has none."""
        found = self.rows(query, database)
        return found[0] if found else None


def connection_string(database: str) -> str:
    """A database's name as libpq takes it, which reads ``=`` and ``://`` in a plain one as more than a name."""
    return "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'"
