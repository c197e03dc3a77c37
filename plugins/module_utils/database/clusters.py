# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL clusters of a host, as Debian's postgresql-common has them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..common import programs
from .errors import DatabaseError

LSCLUSTERS = "/usr/bin/pg_lsclusters"
SOCKETS = "/run/postgresql"  # Debian's default for unix_socket_directories
LISTED = re.compile(
    r"(?P<version>\d+)\s+(?P<name>\S+)\s+(?P<port>\d+)\s+(?P<status>\S+)\s+(?P<owner>\S+)\s+(?P<data>\S+)"
)


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server of the host.

    :ivar version: its major version.
    :ivar name: ``main`` unless the operator has named it.
    :ivar status: ``online``, ``down``, or either with a comma and more.
    :ivar owner: the account that it runs as, and its superuser.
    """

    version: int
    name: str
    port: int
    status: str = "online"
    owner: str = "postgres"
    data: str = ""

    @property
    def is_online(self) -> bool:
        """Whether it runs."""
        return self.status.partition(",")[0] == "online"

    @property
    def unit(self) -> str:
        """Its systemd unit."""
        return f"postgresql@{self.version}-{self.name}.service"

    @property
    def configuration(self) -> str:
        """The directory of its configuration."""
        return f"/etc/postgresql/{self.version}/{self.name}"

    @property
    def log(self) -> str:
        """The file that Debian has it log to."""
        return f"/var/log/postgresql/postgresql-{self.version}-{self.name}.log"

    @property
    def programs(self) -> str:
        """The directory of the programs of its own version: a newer ``pg_restore`` sets what an older server lacks."""
        return f"/usr/lib/postgresql/{self.version}/bin"

    def __str__(self) -> str:
        """As a message names it."""
        return f"{self.version}/{self.name} (port {self.port}, {self.status})"


def clusters() -> list[Cluster]:
    """All clusters of the host, the newest version first; none where PostgreSQL is not installed."""
    if not os.path.exists(LSCLUSTERS):
        return []
    found = programs.run((LSCLUSTERS, "--no-header"), seconds=60)
    listed = [match.groupdict() for row in found.stdout.splitlines() if (match := LISTED.match(row.strip()))]
    all_ = [Cluster(**{**one, "version": int(one["version"]), "port": int(one["port"])}) for one in listed]  # type: ignore[arg-type]  # the rest are texts
    return sorted(all_, key=lambda one: (-one.version, one.name))


def at_port(port: int, found: Sequence[Cluster]) -> Cluster:
    """The cluster that answers at a port; the running one, where an old cluster that is down has the same number.

    :raises DatabaseError: there is none.
    """
    here = sorted((one for one in found if one.port == port), key=lambda one: not one.is_online)
    if not here:
        known = ", ".join(map(str, found)) or "none"
        raise DatabaseError(f"no PostgreSQL cluster of this host has the port {port}; there are: {known}")
    return here[0]
