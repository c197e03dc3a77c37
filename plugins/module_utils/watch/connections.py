# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many connections the database servers of the host have, and how many they take: without asking the servers.

The kernel lists the connections of each Unix socket, and the servers' files say how many they take: no account with
rights in a database is needed, and no connection of a server that has none left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..common.on_host import on_host
from ..verify.look import Look as Host

CONNECTED = "03"  # the state of a connected socket in /proc/net/unix
LISTED = 2**24  # bytes of that list
POSTGRESQL, MARIADB = 100, 151  # what each takes unless it is told
SETTING = re.compile(r"^\s*max_connections\s*[= ]\s*'?(\d+)", re.MULTILINE)
PORT = re.compile(r"^\s*port\s*[= ]\s*'?(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A database server of the host that apps use.

    :ivar socket: the name of its socket's file.
    """

    name: str
    socket: str
    used: int
    most: int
    apps: tuple[str, ...]


def read(apps: Iterable[str], host: Host) -> list[Server]:
    """The servers of these apps on this host."""
    using: dict[tuple[str, str], list[str]] = {}
    for app in apps:
        noted = host.json(f"{on_host('services', app)}/database.json")
        provider, directory = str(noted.get("provider", "")), str(noted.get("socket", ""))
        socket = f"{directory}/.s.PGSQL.{noted.get('port', 5432)}" if provider == "postgresql" else directory
        if provider in ("postgresql", "mariadb") and directory:
            using.setdefault((provider, socket), []).append(app)
    if not using:
        return []
    open_ones = connected(host)
    found = []
    for (provider, socket), names in using.items():
        most = postgresql_most(socket.rpartition(".")[2], host) if provider == "postgresql" else MARIADB
        name = "PostgreSQL" if provider == "postgresql" else "MariaDB"
        found.append(Server(name, socket, sum(path.endswith(tail(socket)) for path in open_ones), most, tuple(names)))
    return found


def tail(socket: str) -> str:
    """The end of a socket's path: it may have been bound below /var/run, which is /run."""
    return "/".join(socket.split("/")[-2:])


def connected(host: Host) -> list[str]:
    """The paths of the sockets that have a connection, one for each connection."""
    rows = (row.split(maxsplit=7) for row in host.read("/proc/net/unix", LISTED).splitlines())
    return [row[7] for row in rows if len(row) == 8 and row[5] == CONNECTED]


def postgresql_most(port: str, host: Host) -> int:
    """How many connections the PostgreSQL server at a port takes, as its files have it."""
    for main in sorted(host.path("/etc/postgresql").glob("*/*/postgresql.conf"), reverse=True):
        below = f"/{main.parent.relative_to(host.root)}"
        texts = [host.read(f"{below}/postgresql.conf")]
        texts += [host.read(f"{below}/conf.d/{one.name}") for one in sorted((main.parent / "conf.d").glob("*.conf"))]
        ports, numbers = ([value for text in texts for value in pattern.findall(text)] for pattern in (PORT, SETTING))
        if (ports or ["5432"])[-1] == port:
            return int(numbers[-1]) if numbers else POSTGRESQL
    return POSTGRESQL
