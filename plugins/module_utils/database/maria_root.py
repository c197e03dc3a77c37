# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of MariaDB's superuser, which is root by the unix socket, and what of a server is an app's.

Names go into statements as they are, so those that the client could take for more than a name are refused. Answers come
in hexadecimal where they hold a name.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass

from ..common import programs
from .errors import DatabaseError

CLIENT = "/usr/bin/mariadb"
SECONDS = 120.0
# What the client reads as the end of a name or of a statement.
UNSAFE = re.compile(r"[\x00-\x1f\x7f\\`'\";]")
PLUGIN = "unix_socket"
# An app's prepared transaction outlives its session, and even the server; nothing says whose it is.
PREPARED = (
    "; a transaction that was prepared and not ended may hold the lock: see `mariadb -e 'XA RECOVER'`, end it by "
    "XA ROLLBACK or XA COMMIT, and run again"
)
DENIED = "ERROR 1045"
REFUSED_ROOT = (
    ". The host's root must be MariaDB's root by the unix socket: there, ALTER USER root@localhost IDENTIFIED VIA "
    "unix_socket (OR mysql_native_password USING PASSWORD('…'), where the password is to go on working); or write user "
    "and password into /root/.my.cnf"
)
SETTINGS = "SET SESSION sql_mode = '', lock_wait_timeout = 30"


def identifier(name: str) -> str:
    """A name as SQL writes it.

    :raises DatabaseError: it has characters by which it could be more than a name.
    """
    if not name or UNSAFE.search(name):
        raise DatabaseError(
            f"MariaDB: the name {name!r} has a quote, a backslash, a semicolon or a control character: rename it"
        )
    return f"`{name}`"


def in_grant(name: str) -> str:
    """A database's name as GRANT and REVOKE write it."""
    return escaped(identifier(name))


def account(app: str) -> str:
    """The account of an app as SQL writes it."""
    return f"{identifier(app)}@`localhost`"


@dataclass
class Root:
    """The superuser of the server behind a socket; its own settings, in ``/root/.my.cnf``, are read."""

    socket: str

    def sql(self, *statements: str, seconds: float = SECONDS) -> list[str]:
        """Run statements, one after the other; the lines they print.

        :raises DatabaseError: with what the server says of the first one that fails; the others do not run.
        """
        argv = [CLIENT, "--protocol=socket", f"--socket={self.socket}", "--sandbox", "--batch", "--skip-column-names",
                "--default-character-set=utf8mb4"]  # fmt: skip
        text = "".join(f"{statement};\n" for statement in (SETTINGS, *statements))
        try:
            done = programs.run(argv, seconds=seconds, payload=text.encode(), limit=programs.ANSWER_LIMIT)
        except OSError as error:
            raise DatabaseError(f"MariaDB: {error}") from None
        except subprocess.TimeoutExpired:
            raise DatabaseError(f"MariaDB: a statement took more than {seconds:.0f} s") from None
        if done.returncode:
            output = programs.explanation(done)
            remedy = PREPARED if "Lock wait timeout" in output else REFUSED_ROOT if DENIED in output else ""
            raise DatabaseError(f"MariaDB: {output}{remedy}")
        return done.stdout.splitlines()

    def names(self, query: str) -> list[str]:
        """The names that a query has in its one column, by ``HEX``."""
        return [bytes.fromhex(row).decode() for row in self.sql(query)]

    def databases(self) -> list[str]:
        """The names of all databases."""
        return self.names("SELECT HEX(schema_name) FROM information_schema.schemata")

    def tables(self, database: str) -> list[str]:
        """The names of the tables and sequences of a database; not its views."""
        return self.names(
            "SELECT HEX(table_name) FROM information_schema.tables WHERE table_type <> 'VIEW' "
            f"AND table_schema = {literal(database)} ORDER BY table_name"
        )

    def comment(self, database: str) -> str:
        """The comment of a database; "" for none, and for one that is not there."""
        rows = self.names(
            f"SELECT HEX(schema_comment) FROM information_schema.schemata WHERE schema_name = {literal(database)}"
        )
        return rows[0] if rows else ""

    def create_like(self, app: str, database: str, comment: str = "") -> None:
        """Create an empty database with the character set and collation of the app's own."""
        character_set, collation = self.sql(
            "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata "
            f"WHERE schema_name = {literal(app)}"
        )[0].split("\t")
        self.sql(
            f"CREATE DATABASE {identifier(database)} CHARACTER SET {character_set} COLLATE {collation} "
            f"COMMENT '{comment}'"
        )

    def drop(self, app: str, database: str) -> None:
        """Drop a database, if it is there, and the rights of an app's account on it."""
        self.sql(f"DROP DATABASE IF EXISTS {identifier(database)}")
        self.revoke(app, database)

    def grant(self, app: str, database: str) -> None:
        """Give an app's account all rights on one database."""
        self.sql(f"GRANT ALL PRIVILEGES ON {in_grant(database)}.* TO {account(app)}")

    def revoke(self, app: str, database: str) -> None:
        """Take them, if the account has them."""
        if escaped(database) in self.look(app).granted:
            self.sql(f"REVOKE ALL PRIVILEGES ON {in_grant(database)}.* FROM {account(app)}")

    def end_sessions(self, app: str) -> None:
        """End all sessions of an app's account."""
        self.sql(f"KILL USER {account(app)}")

    def look(self, app: str) -> Found:
        """What has an app's name on the server."""
        quoted = literal(app)
        accounts = self.names(f"SELECT HEX(priv) FROM mysql.global_priv WHERE user = {quoted} AND host = 'localhost'")
        granted = self.names(f"SELECT HEX(db) FROM mysql.db WHERE user = {quoted} AND host = 'localhost'")
        how = json.loads(accounts[0]) if accounts else {}
        return Found(
            app,
            is_there=bool(accounts),
            plugin=str(how.get("plugin", "")),
            is_plain=not how.get("access") and "auth_or" not in how and not how.get("authentication_string"),
            granted=tuple(granted),
            has_database=app in self.databases(),
        )


@dataclass(frozen=True)
class Found:
    """What has an app's name on a server.

    :ivar is_there: whether there is an account of this name.
    :ivar plugin: how it proves who it is.
    :ivar is_plain: whether it can prove it by nothing else, and has no rights on the whole server.
    :ivar granted: the databases that it has rights on, as ``mysql.db`` has them.
    :ivar has_database: whether there is a database of this name.
    """

    app: str
    is_there: bool
    plugin: str
    is_plain: bool
    granted: tuple[str, ...]
    has_database: bool

    @property
    def is_ours(self) -> bool:
        """Whether the account is as an app's is made: by the socket alone, with rights on its own databases alone."""
        own = escaped(self.app)
        return (
            self.is_there
            and self.plugin == PLUGIN
            and self.is_plain
            and all(name == own or name.startswith(f"{own}.") for name in self.granted)
        )

    def refuse_if_foreign(self) -> None:
        """Refuse an account or a database of this name that was not made for the app."""
        what, remedy = (
            f"flask_apps.{self.app}.database",
            "choose another name for the app; or, if nobody needs it, remove it and run again",
        )
        if self.is_there and not self.is_ours:
            raise DatabaseError(
                f"{what}: MariaDB has an account {self.app}@localhost that was not made for this app: {remedy}"
            )
        if self.has_database and escaped(self.app) not in self.granted:
            raise DatabaseError(
                f"{what}: MariaDB has a database {self.app} that was not made for this app: {remedy}; or, to hand "
                f"it over to the app: CREATE USER IF NOT EXISTS {account(self.app)} IDENTIFIED VIA {PLUGIN}; "
                f"GRANT ALL PRIVILEGES ON {in_grant(self.app)}.* TO {account(self.app)}"
            )


def literal(name: str) -> str:
    """A name as SQL writes a text."""
    identifier(name)
    return f"'{name}'"


def escaped(name: str) -> str:
    """A database's name as a grant has it, for which ``_`` and ``%`` stand for other characters."""
    return name.replace("_", r"\_")
