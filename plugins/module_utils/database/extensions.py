# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions of PostgreSQL in an app's database: which can be had, and created so that no app's code runs as superuser.

The script of an extension that is not trusted runs as superuser, with the schema that it goes into on its search path.
A function that an app has put there, more fitting than PostgreSQL's own, would run as superuser too. So such an
extension is created while a database is empty, or where the app has no function, operator or cast, with those who
could make one locked out meanwhile. The scripts of trusted ones are written to withstand that.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import DatabaseError
from .superuser import Superuser, identifier, literal

LOCKED = "LOCK TABLE pg_proc, pg_operator, pg_cast, pg_type IN SHARE ROW EXCLUSIVE MODE"
# Functions, operators and casts of anybody but superusers. That one belongs to an extension says nothing: who owns an
# extension can add functions to it, and an app owns those that it creates. What their scripts make is a superuser's.
MADE_BY_AN_APP = """
SELECT made.name::text AS name FROM (
    SELECT proname AS name, proowner AS owner FROM pg_proc
    UNION ALL SELECT oprname, oprowner FROM pg_operator
    UNION ALL SELECT t.typname, t.typowner FROM pg_cast AS c
        JOIN pg_type AS t ON t.oid IN (c.castsource, c.casttarget) WHERE c.oid >= 16384
) AS made LEFT JOIN pg_roles AS r ON r.oid = made.owner
WHERE r.rolsuper IS NOT TRUE
LIMIT 5
"""
REFUSE = "DO $$ BEGIN IF EXISTS ({query}) THEN RAISE 'functions of the app are in the way'; END IF; END $$"


def available(server: Superuser, wanted: Sequence[str]) -> dict[str, bool]:
    """Of each extension that can be had, whether the owner of a database may create it."""
    query = "SELECT name::text AS name, bool_or(trusted) AS trusted FROM pg_available_extension_versions GROUP BY name"
    return {row["name"]: bool(row["trusted"]) for row in server.rows(query) if row["name"] in wanted}


def refuse_missing(server: Superuser, app: str, wanted: Sequence[str]) -> None:
    """Refuse extensions that are not on the host.

    :raises DatabaseError: naming them, and what to do.
    """
    found = available(server, wanted) if wanted else {}
    if lacking := [name for name in wanted if name not in found]:
        raise DatabaseError(
            f"flask_apps.{app}.database.extensions: PostgreSQL {server.cluster.version} has no extension "
            f"{', '.join(lacking)} on this host: name the apt package that has it in `packages`"
        )


def present(server: Superuser, database: str) -> dict[str, str]:
    """The extensions of a database, each with its schema."""
    query = (
        "SELECT e.extname::text AS name, n.nspname::text AS schema FROM pg_extension AS e "
        "JOIN pg_namespace AS n ON n.oid = e.extnamespace"
    )
    return {row["name"]: row["schema"] for row in server.rows(query, database)}


def create_in_empty(server: Superuser, database: str, wanted: dict[str, str], owner: str) -> None:
    """Create extensions in a database that the app has never been able to enter.

    :param wanted: the schema of each; "" for the extension's own or ``public``.
    :param owner: the role that schemas belong to which have to be made.
    """
    for name, schema in wanted.items():
        where = ""
        if schema and schema not in ("public", "pg_catalog"):
            server.sql(
                f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)} AUTHORIZATION {identifier(owner)}", database=database
            )
        if schema and schema != "pg_catalog":
            where = f" SCHEMA {identifier(schema)}"
        else:
            where = " SCHEMA public" if is_free(server, name) else ""
        server.sql(f"CREATE EXTENSION IF NOT EXISTS {identifier(name)}{where} CASCADE", database=database, seconds=600)


def is_free(server: Superuser, name: str) -> bool:
    """Whether an extension goes into whatever schema is current, rather than into one of its own."""
    found = server.one(
        "SELECT bool_and(schema IS NULL) AS free FROM pg_available_extension_versions WHERE name = " + literal(name)
    )
    return bool(found and found["free"])


def create_in_live(server: Superuser, database: str, wanted: Sequence[str]) -> None:
    """Create extensions in a database that an app uses.

    :raises DatabaseError: one is not trusted, and the app has functions there, which its script might call.
    """
    trusted = available(server, wanted) if wanted else {}
    for name in wanted:
        where = " SCHEMA public" if is_free(server, name) else ""
        create = f"CREATE EXTENSION IF NOT EXISTS {identifier(name)}{where}"
        if trusted[name]:
            server.sql(create, database=database, seconds=600)
        else:
            refuse_functions(server, database, name)
            refuse = REFUSE.format(query=MADE_BY_AN_APP)
            server.transaction(LOCKED, refuse, f"{create} CASCADE", database=database, seconds=600)


def refuse_functions(server: Superuser, database: str, name: str) -> None:
    """Refuse an extension that is not trusted where the app has functions; in vain where one is made right afterwards.

    :raises DatabaseError: naming some of them, and how an operator who trusts them goes on.
    """
    if found := [row["name"] for row in server.rows(MADE_BY_AN_APP, database)]:
        raise DatabaseError(
            f"the extension {name} can only be created by a superuser, and the database {database} has functions of "
            f"the app ({', '.join(found)}), which its script might call: create it yourself if you trust them: sudo -u "
            f"{server.cluster.owner} psql -p {server.cluster.port} -d {database} "
            f"-c 'CREATE EXTENSION \"{name}\" CASCADE'"
        )
