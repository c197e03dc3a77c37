# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may stand beside each other in an app's ``database``, and what the address of a managed one must have.

An address is never shown: a password may stand in it, in places where nobody looks for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ansible_collections.groundwork.flask.plugins.module_utils.release.database_url import KINDS
from ansible_collections.groundwork.flask.plugins.plugin_utils.service_options import Database

# What is about a database on the host, and about one of PostgreSQL there.
OF_THE_HOST = ("provider", "pool", "extensions", "locale")
OF_POSTGRESQL = ("pool", "extensions", "locale")
# Parameters of libpq and of drivers that are secrets.
SECRET = re.compile(r"(ssl)?passw(or)?d|passphrase", re.IGNORECASE)
# Roles, databases and words of access rules that PostgreSQL, PgBouncer and MariaDB know by these names.
SYSTEM_NAME = re.compile(
    "pg_.*|public|none|all|sameuser|samerole|samegroup|replication|current_user|current_role|session_user|pgbouncer"
    "|template0|template1|information_schema|performance_schema"
)
EXAMPLE = "postgresql://shop@db.example.org/shop"


def database_problems(app: str, database: Database, given: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with an app's ``database``.

    :param given: as it was written.
    """
    where = f"flask_apps.{app}.database"
    beside = [name for name in OF_THE_HOST if given.get(name)]
    if database.provider and SYSTEM_NAME.fullmatch(app):
        yield (
            f"{where}.provider: {app!r} is a name that database servers have for themselves: choose another for the "
            "app, or take a database elsewhere by `url`"
        )
    if database.url:
        yield from (
            f"{where}.{name} is about a database on the host, and `url` names one elsewhere: take one of them out"
            for name in beside
        )
        yield from url_problems(app, f"{where}.url", database.url)
    elif not database.provider:
        yield from (
            f"{where}.{name} needs `provider`, the server on the host: write `provider: postgresql`"
            for name in beside
            if "provider" not in beside  # one that cannot be read is said to be wrong already
        )
    elif database.provider != "postgresql":
        yield from (
            f"{where}.{name} is PostgreSQL's, and the provider is {database.provider}: take it out"
            for name in OF_POSTGRESQL
            if given.get(name)
        )


def url_problems(app: str, where: str, url: str) -> Iterator[str]:
    """What is wrong with the address of a managed database, one thing at a time."""
    scheme = url.partition("://")[0].partition("+")[0] if "://" in url else ""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
    if not re.fullmatch(r"[A-Za-z0-9]{1,20}", scheme) or scheme.lower() not in KINDS:
        yield f"{where} begins with none of {', '.join(f'{known}://' for known in KINDS)}: write it as {EXAMPLE}"
    elif re.search(r"[\s\x00-\x1f]", url) or not port_is_right:
        yield f"{where} is not an address (it is not shown, for a password may stand in it): write it as {EXAMPLE}"
    elif parts.password is not None or any(SECRET.fullmatch(name) for name, _value in parse_qsl(parts.query)):
        yield (
            f"{where} has a password in it (it is not shown): take it out, and put it into "
            f"flask_app_secrets.{app}.DATABASE_PASSWORD, best in a vault"
        )
    elif not parts.hostname:
        yield f"{where} names no host: write it as {EXAMPLE}; for a database on this host set `provider` instead"
    elif not parts.path.strip("/"):
        yield f"{where} does not name the database: write it as {EXAMPLE}"
    elif parts.fragment:
        yield f"{where} has a #, which ends an address: write it as %23"
