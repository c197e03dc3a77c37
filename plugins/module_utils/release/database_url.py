# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address of an app's database, in the spelling of the driver that the app's environment has.

SQLAlchemy takes the driver from the address, and its default is not the same in each of its versions, so the address
names it. Without SQLAlchemy it is one that libpq takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ..common.on_host import on_host

CA_BUNDLE = on_host("ca_bundle")
POSTGRESQL_PORT = 5432
# The schemes of an address, and the kind of server that each means.
KINDS = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
# Of libpq, and so of all that is made upon it.
LIBPQ_VERIFIED = {"sslmode": "verify-full", "sslrootcert": CA_BUNDLE}
VERIFIES = ("verify-ca", "verify-full")


@dataclass(frozen=True)
class Driver:
    """A driver of a database server.

    :ivar name: as an address has it, behind a plus.
    :ivar distributions: the packages that bring it, as the index spells them.
    :ivar oldest: the first major version of SQLAlchemy that knows it.
    :ivar verified: the parameters of an address that have it check the server's certificate; none if none do.
    """

    name: str
    distributions: tuple[str, ...]
    oldest: int = 1
    verified: Mapping[str, str] = field(default_factory=dict)


# The one that is taken first, where there are several, comes first.
DRIVERS: Mapping[str, tuple[Driver, ...]] = {
    "postgresql": (
        Driver("psycopg", ("psycopg",), 2, LIBPQ_VERIFIED),
        Driver("psycopg2", ("psycopg2", "psycopg2-binary"), verified=LIBPQ_VERIFIED),
        Driver("pg8000", ("pg8000",)),
    ),
    "mysql": (
        Driver("pymysql", ("pymysql",), verified={"ssl_ca": CA_BUNDLE}),
        Driver("mysqldb", ("mysqlclient",), verified={"ssl_ca": CA_BUNDLE, "ssl_mode": "VERIFY_IDENTITY"}),
        Driver("mysqlconnector", ("mysql-connector-python",)),
        Driver("mariadbconnector", ("mariadb",)),
    ),
}


def installed(kind: str, packages: Mapping[str, str], prepared_statements: bool = True) -> Driver | None:
    """The driver that an environment has for a kind of server; None without one that its SQLAlchemy knows.

    :param packages: the versions of what is installed, by normalized name.
    :param prepared_statements: whether what the app connects to keeps them; psycopg 3, which needs that, is the last
        choice otherwise.
    """
    version = sqlalchemy(packages)
    found = [
        driver
        for driver in DRIVERS[kind]
        if (not version or version >= driver.oldest) and any(name in packages for name in driver.distributions)
    ]
    if not prepared_statements:
        found.sort(key=lambda driver: driver.name == "psycopg")
    return found[0] if found else None


def sqlalchemy(packages: Mapping[str, str]) -> int:
    """The major version of SQLAlchemy in an environment; 0 without it."""
    major = re.match(r"\d+", packages.get("sqlalchemy", ""))
    return int(major[0]) if major else 0


def wanted_driver(kind: str, packages: Mapping[str, str], prepared_statements: bool = True) -> str:
    """The requirement that brings a driver to an app which has none that fits."""
    if kind == "mysql":
        return "pymysql"
    return "psycopg2-binary" if sqlalchemy(packages) == 1 or not prepared_statements else "psycopg[binary]"


def normalized(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def scheme(kind: str, driver: Driver | None, packages: Mapping[str, str]) -> str:
    """The scheme of an address: with the driver where SQLAlchemy reads it."""
    return f"{kind}+{driver.name}" if driver and sqlalchemy(packages) else kind


def local(record: Mapping[str, Any], app: str, driver: Driver | None, packages: Mapping[str, str], pooled: bool) -> str:
    """The address of a database on this host, reached over a unix socket.

    :param record: what the role ``database`` has written.
    :param pooled: through the pooler, where there is one.
    """
    name = record["name"]
    if record["provider"] == "mariadb":
        query = urlencode({"unix_socket": record["socket"]}, safe="/")
        return f"{scheme('mysql', driver, packages)}://{app}@localhost/{name}?{query}"
    at = record["pooler"] if pooled and record.get("pooler") else record
    socket, port = at["socket"], int(at.get("port") or POSTGRESQL_PORT)
    if driver and driver.name == "pg8000":
        query = urlencode({"unix_sock": f"{socket}/.s.PGSQL.{port}"}, safe="/")
    else:
        query = urlencode({"host": socket, **({"port": port} if port != POSTGRESQL_PORT else {})}, safe="/")
    return f"{scheme('postgresql', driver, packages)}://{app}@/{name}?{query}"


def kind_of(url: str) -> str:
    """The kind of server that an address means; "" for another."""
    return KINDS.get(url.partition(":")[0].partition("+")[0].lower(), "")


def host(url: str) -> str:
    """Where an address leads, without who asks."""
    return urlsplit(url).netloc.rpartition("@")[2]


def query_of(url: str) -> dict[str, str]:
    """The parameters of an address."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def verifies_itself(kind: str, query: Mapping[str, str]) -> bool:
    """Whether an address says itself how the server's certificate is to be checked, if at all."""
    if kind == "postgresql":
        return "sslmode" in query and not (query["sslmode"] in VERIFIES and "sslrootcert" not in query)
    return any(key.startswith("ssl") for key in query)


def managed(url: str, password: str, driver: Driver | None, packages: Mapping[str, str]) -> str:
    """The address of a database elsewhere, with its password, checking the server's certificate."""
    parts = urlsplit(url)
    dialect = parts.scheme.partition("+")[0].lower()
    kind = KINDS[dialect]
    user, at, host = parts.netloc.rpartition("@")
    if password:
        user, at = f"{user.partition(':')[0]}:{quote(password, safe='')}", "@"
    query = parse_qsl(parts.query, keep_blank_values=True)  # a parameter may stand there several times
    if not verifies_itself(kind, dict(query)):
        plain: Mapping[str, str] = LIBPQ_VERIFIED if kind == "postgresql" else {"ssl_ca": CA_BUNDLE}
        verified = driver.verified if driver else plain
        query += [(key, value) for key, value in verified.items() if key not in dict(query)]
    spelled = scheme("mariadb" if dialect == "mariadb" else kind, driver, packages)
    return urlunsplit((spelled, f"{user}{at}{host}", parts.path, urlencode(query, safe="/"), ""))


def spellings(password: str) -> set[str]:
    """A password as it may stand in an address, in whichever way it is quoted there."""
    return {password, quote(password, safe=""), quote(password), quote(password, safe=" +")} if password else set()
