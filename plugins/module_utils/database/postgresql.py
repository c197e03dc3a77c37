# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app's database on PostgreSQL: see :class:`.server.Server` for what each method promises."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from . import extensions, ours
from .clusters import SOCKETS, Cluster, at_port, clusters
from .errors import DatabaseError
from .superuser import Superuser, identifier, literal

PROGRAM = Path(__file__).with_name("pg_copy.py")
# The live database's own settings and privileges, which a dump has not.
SETTINGS_OF = """
SELECT setting::text AS setting FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase,
unnest(s.setconfig) AS setting WHERE d.datname = {name} AND s.setrole = 0
"""
PRIVILEGES_OF = """
SELECT a.privilege_type::text AS privilege, a.is_grantable AS grantable, r.rolname::text AS role
FROM pg_database AS d CROSS JOIN LATERAL aclexplode(d.datacl) AS a LEFT JOIN pg_roles AS r ON r.oid = a.grantee
WHERE d.datname = {name} AND a.grantee <> d.datdba AND (a.grantee = 0 OR r.oid IS NOT NULL)
"""
LOCALE_OF = """
SELECT pg_encoding_to_char(encoding)::text AS encoding, datcollate::text AS collation, datctype::text AS type,
datlocprovider::text AS provider, to_jsonb(d) ->> 'daticulocale' AS icu, to_jsonb(d) ->> 'datlocale' AS locale,
datconnlimit AS connections
FROM pg_database AS d WHERE datname = {name}
"""
SESSIONS_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname IN ({names})"
SHUT = "SELECT datname::text AS name FROM pg_database WHERE NOT datallowconn AND datname IN ({names})"
# What would outlive its session, where an operator has set max_prepared_transactions.
PREPARED = "SELECT gid, database::text AS database FROM pg_prepared_xacts WHERE database IN ({names})"
SWAP_SECONDS = 60.0
NOT_SETTABLE = ("role", "session_authorization")


class PostgreSQL:
    """The server that an app's record names."""

    def __init__(self, record: Mapping[str, Any], cluster: Cluster | None = None) -> None:
        """``cluster`` is looked for by the record's port unless it is given."""
        self.app = str(record["name"])
        self.socket, self.port = str(record.get("socket") or SOCKETS), int(record.get("port") or 5432)
        self._cluster = cluster

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster that the record names."""
        return self._cluster or at_port(self.port, clusters())

    @cached_property
    def superuser(self) -> Superuser:
        """Sessions of its superuser."""
        return Superuser(self.cluster, self.socket)

    # --- argument vectors, to be run as the app ----------------------------------------

    def dump(self, target: str, database: str = "") -> list[str]:
        """Write a dump into a file; prints ``{"tables": {name: rows}}`` of the same moment."""
        return self._as_app("dump", database, file=target)

    def load(self, dump: str, database: str = "") -> list[str]:
        """Load a dump; prints ``{"skipped": [...]}``."""
        return self._as_app("load", database, file=dump)

    def counts(self, database: str = "") -> list[str]:
        """Count the rows of each table; prints ``{"tables": {name: rows}}``."""
        return self._as_app("counts", database)

    def _as_app(self, verb: str, database: str, **more: str) -> list[str]:
        given = {
            "programs": self.cluster.programs,
            "socket": self.socket,
            "port": self.port,
            "user": self.app,
            "database": database or self.app,
            **more,
        }
        return ["/usr/bin/python3", "-I", str(PROGRAM), verb, json.dumps(given)]

    # --- by root, as the superuser ----------------------------------------

    def exists(self, database: str = "") -> bool:
        """Whether there is a database, by default the app's own."""
        return (
            self.superuser.one(f"SELECT 1 AS found FROM pg_database WHERE datname = {literal(self._own(database))}")
            is not None
        )

    def size(self, database: str = "") -> int:
        """Bytes on the disk."""
        found = self.superuser.one(
            f"SELECT pg_database_size(oid) AS bytes FROM pg_database WHERE datname = {literal(self._own(database))}"
        )
        if found is None:
            raise DatabaseError(f"PostgreSQL {self.cluster} has no database {self._own(database)}")
        return int(found["bytes"])

    def describe(self) -> dict[str, Any]:
        """Version, connections, extensions and locale, as a person wants to know them."""
        name = literal(self.app)
        states = self.superuser.rows(
            f"SELECT coalesce(state, 'other') AS state, count(*) AS number FROM pg_stat_activity WHERE datname = {name}"
            " GROUP BY 1"
        )
        server = self.superuser.rows(
            "SELECT current_setting('server_version') AS version, current_setting('max_connections')::int AS most"
        )[0]
        return {
            "version": server["version"],
            "cluster": f"{self.cluster.version}/{self.cluster.name}",
            "connections": {row["state"]: row["number"] for row in states},
            "max_connections": server["most"],
            "extensions": sorted(extensions.present(self.superuser, self.app)),
            "locale": ours.look(self.superuser, self.app).locale,
        }

    def databases(self) -> list[str]:
        """All databases of the app: its own, scratch and kept ones."""
        own, others = literal(self.app), literal(f"{self.app}.")
        query = (
            "SELECT datname::text AS name FROM pg_database "
            f"WHERE datname = {own} OR starts_with(datname::text, {others})"
        )
        return sorted(row["name"] for row in self.superuser.rows(query))

    def create(self, wanted: Sequence[str] = (), locale: str = "C.UTF-8", *, dry_run: bool = False) -> list[str]:
        """Make the role and the database as they are to be; what was done, nothing where all was so."""
        found = ours.look(self.superuser, self.app)
        found.refuse_if_foreign(str(self.cluster))
        extensions.refuse_missing(self.superuser, self.app, wanted)
        there = extensions.present(self.superuser, self.app) if found.owner and wanted else {}
        added = [name for name in wanted if name not in there]
        if not dry_run:
            if not found.role:
                self._create_role()
            if not found.owner:
                self._create_database(f"{self.app}.new", dict.fromkeys(wanted, ""), locale_options(locale))
                self.superuser.sql(f"ALTER DATABASE {identifier(f'{self.app}.new')} RENAME TO {identifier(self.app)}")
            else:
                extensions.create_in_live(self.superuser, self.app, added)
        done = [] if found.role else [f"created the role {self.app}"]
        if not found.owner:
            return [*done, f"created the database {self.app}"]
        return [*done, *(f"created the extension {name} in the database {self.app}" for name in added)]

    def create_fresh(self, suffix: str) -> str:
        """Create an empty database with owner, locale, settings, privileges and extensions of the app's; its name.

        One of that name goes first.
        """
        fresh = self._own(f"{self.app}.{suffix}")
        live = self.superuser.one(LOCALE_OF.format(name=literal(self.app)))
        if live is None:
            raise DatabaseError(f"PostgreSQL {self.cluster} has no database {self.app}")
        there = extensions.present(self.superuser, self.app)
        trusted = extensions.available(self.superuser, list(there))
        untrusted = {name: schema for name, schema in there.items() if name != "plpgsql" and not trusted.get(name)}
        self._create_database(fresh, untrusted, same_locale(live))
        self._copy_settings(fresh, int(live["connections"]))
        return fresh

    def swap(self, fresh: str, kept: str) -> None:
        """Give the name of the app's database to ``fresh``, and ``kept`` to the one that had it, both or neither.

        Sessions of both are ended. ``fresh`` and ``kept`` are whole names, as :meth:`create_fresh` returns them.
        """
        fresh, kept = self._own(fresh), self._own(kept)
        deadline = time.monotonic() + SWAP_SECONDS
        while True:
            self.end_sessions(self.app, fresh)
            try:
                return self.superuser.transaction(
                    f"ALTER DATABASE {identifier(self.app)} RENAME TO {identifier(kept)}",
                    f"ALTER DATABASE {identifier(fresh)} RENAME TO {identifier(self.app)}",
                )
            except DatabaseError as error:
                if "accessed by other users" not in str(error) or time.monotonic() > deadline:
                    raise

    def unswap(self, fresh: str, kept: str) -> None:
        """Take a swap back; the names were changed by one transaction, so it took place where ``kept`` is there."""
        if self.exists(kept):
            self.drop(fresh)
            self.swap(fresh=kept, kept=fresh)
        self.drop(fresh)

    def drop(self, database: str) -> None:
        """Drop one of the app's databases, if it is there; sessions of it are ended.

        The app, whose database it is, may have made it a template, which is not dropped.
        """
        if self.exists(database):
            self.end_sessions(database)
            name = identifier(self._own(database))
            self.superuser.sql(
                f"ALTER DATABASE {name} IS_TEMPLATE false", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
            )

    def end_sessions(self, *databases: str) -> None:
        """End all sessions of the app's databases, by default its own, and what they have prepared to commit.

        A database that its owner has shut is open to new ones again.
        """
        names = ", ".join(literal(self._own(name)) for name in databases or (self.app,))
        self.superuser.sql(SESSIONS_END.format(names=names))
        for found in self.superuser.rows(SHUT.format(names=names)):
            self.superuser.sql(f"ALTER DATABASE {identifier(found['name'])} ALLOW_CONNECTIONS true")
        for found in self.superuser.rows(PREPARED.format(names=names)):
            self.superuser.sql(f"ROLLBACK PREPARED {literal(found['gid'])}", database=found["database"])

    def drop_role(self) -> None:
        """Drop the app's role, when its databases are gone; one that was not made for the app stays."""
        if ours.look(self.superuser, self.app).is_ours:
            self.superuser.sql(f"DROP ROLE IF EXISTS {identifier(self.app)}")

    def _own(self, database: str) -> str:
        """The same name, which must be one of the app's; by default its own database's."""
        if database in ("", self.app) or database.startswith(f"{self.app}."):
            return database or self.app
        raise DatabaseError(f"{database} is no database of {self.app}")

    def _create_role(self) -> None:
        role = identifier(self.app)
        self.superuser.transaction(
            f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
            f"COMMENT ON ROLE {role} IS {literal(ours.COMMENT.format(app=self.app))}",
        )

    def _create_database(self, name: str, wanted: dict[str, str], options: str) -> None:
        """Create a database for the app; until the superuser has prepared it, it takes no connections."""
        owner, database = identifier(self.cluster.owner), identifier(name)
        self.drop(name)
        try:
            self.superuser.sql(
                f"CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 {options} CONNECTION LIMIT 0",
                f"REVOKE ALL ON DATABASE {database} FROM PUBLIC",
                seconds=600,
            )
            extensions.create_in_empty(self.superuser, name, wanted, self.app)
            self.superuser.sql(
                f"ALTER DATABASE {database} OWNER TO {identifier(self.app)}",
                f"ALTER DATABASE {database} CONNECTION LIMIT -1",
            )
        except DatabaseError as error:
            self.drop(name)
            hint = (
                "; have the locale made (`locale-gen`, package locales) or choose another"
                if "locale" in str(error)
                else ""
            )
            raise DatabaseError(f"the database {name} cannot be created: {error}{hint}") from None

    def _copy_settings(self, fresh: str, connections: int) -> None:
        database, name = identifier(fresh), literal(self.app)
        for row in self.superuser.rows(SETTINGS_OF.format(name=name)):
            key, _equals, value = row["setting"].partition("=")
            if key not in NOT_SETTABLE:
                self.superuser.sql(
                    "BEGIN READ WRITE",  # whatever default_transaction_read_only is from the next statement on
                    f"SELECT set_config({literal(key)}, {literal(value)}, false)",
                    f"ALTER DATABASE {database} SET {identifier(key)} FROM CURRENT",
                    "COMMIT",
                )
        for row in self.superuser.rows(PRIVILEGES_OF.format(name=name)):
            if re.fullmatch(r"[A-Z]+", row["privilege"]):
                to = identifier(row["role"]) if row["role"] else "PUBLIC"
                more = " WITH GRANT OPTION" if row["grantable"] else ""
                self.superuser.sql(f"GRANT {row['privilege']} ON DATABASE {database} TO {to}{more}")
        if connections != -1:
            self.superuser.sql(f"ALTER DATABASE {database} CONNECTION LIMIT {connections}")


def left_over(app: str) -> list[dict[str, Any]]:
    """Records of the running clusters on which there is a role that was made for an app."""
    return [
        {"provider": "postgresql", "name": app, "socket": SOCKETS, "port": cluster.port}
        for cluster in clusters()
        if cluster.is_online and ours.look(Superuser(cluster), app).is_ours
    ]


def locale_options(locale: str) -> str:
    """How a new database sorts and classifies texts."""
    return f"ENCODING 'UTF8' LC_COLLATE {literal(locale)} LC_CTYPE {literal(locale)}"


def same_locale(live: Mapping[str, Any]) -> str:
    """The encoding and locale of another database."""
    found = (
        f"ENCODING {literal(live['encoding'])} LC_COLLATE {literal(live['collation'])} LC_CTYPE {literal(live['type'])}"
    )
    provider, own = live["provider"], live["icu"] or live["locale"]
    if provider == "i":
        return f"{found} LOCALE_PROVIDER icu ICU_LOCALE {literal(own)}"
    return f"{found} LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(own)}" if provider == "b" else found
