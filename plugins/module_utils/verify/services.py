# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the apps stand on: their databases answer, and their Redis runs."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any

from ..common.on_host import on_host
from . import units
from .expected import Expected, ExpectedApp
from .finding import Finding
from .look import Look

NAMES = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}
INSTANCES = {"queue": "redis", "cache": "redis-cache"}
SECONDS = 2.0  # that a server may take to accept


def services(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the database of each app answers, and its Redis runs."""
    for one in expected.apps.values():
        found = [*database(one, look), *redis(one, look)]
        yield from found
        if not found and (one.redis or record(one.name, "database", look) or record(one.name, "redis", look)):
            yield Finding("services", one.name, "ok", "What it stands on runs.")


def record(app: str, name: str, look: Look) -> Mapping[str, Any]:
    """What a role has noted of an app's database or Redis."""
    return look.json(f"{on_host('services', app)}/{name}.json")


def database(one: ExpectedApp, look: Look) -> Iterator[Finding]:
    """What is wrong with an app's database on this host."""
    noted = record(one.name, "database", look)
    name = NAMES.get(str(noted.get("provider") or one.database), "")
    if not name:
        return
    if not noted:
        text = f"{one.name} is declared to have a database on {name}, and this host has none for it."
        yield Finding("services", one.name, "problem", text, "Run the play again.")
        return
    where = str(noted.get("socket", ""))
    if noted["provider"] == "postgresql":
        where = f"{where}/.s.PGSQL.{noted.get('port', 5432)}"
    if reason := refusal(str(look.path(where))):
        text = f"{name} does not answer at {where}: {reason}."
        remedy = f"See `systemctl status {'postgresql@*' if name == 'PostgreSQL' else 'mariadb'}`."
        yield Finding("services", one.name, "problem", text, remedy)


def refusal(path: str) -> str:
    """Why nothing accepts a connection at a Unix socket; "" where something does."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(path)
    except OSError as error:
        return str(error.strerror or error)
    return ""


def redis(one: ExpectedApp, look: Look) -> Iterator[Finding]:
    """What is wrong with an app's Redis."""
    wanted = [*one.redis] or [*record(one.name, "redis", look)]
    names = [f"{one.name}.{INSTANCES[purpose]}.service" for purpose in wanted if purpose in INSTANCES]
    shown = look.units(names)
    for name in names:
        for found in units.state(name, shown[name], "enabled started", one.name):
            yield Finding("services", found.subject, found.state, found.message, found.remedy)
