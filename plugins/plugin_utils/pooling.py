# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which apps of a host reach PostgreSQL through a pooler: how many connections they open, and how many it takes.

During a deploy two releases of an app run beside each other, and each thread of each worker may hold a connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers

RESERVE = 10  # connections for release commands, backups and people
PORT = 6432  # of every pooler, in the name of its socket
LEAST_CLIENTS = 200
SIZE, LEAST_SIZE = 20, 4  # connections to PostgreSQL of a pooler: PgBouncer's own default, and the fewest that serve


@dataclass(frozen=True)
class Demand:
    """How many connections an app opens where no pooler is in between.

    :param pool: whether it is to have a pooler; None if that follows from the numbers.
    """

    name: str
    pool: bool | None
    workers: int
    threads: int
    processes: int
    jobs: int

    @classmethod
    def read(cls, app: Mapping[str, Any], cores: int, memory: int) -> Demand:
        """One app as the role ``database`` takes it.

        :param cores: processors of the host.
        :param memory: its memory in MB.
        """
        workers = servers.choose_workers(app.get("workers"), cores, memory, app.get("worker_memory") or 100)
        numbers = (int(app.get(key) or least) for key, least in (("threads", 1), ("processes", 0), ("jobs", 0)))
        return cls(app["name"], app.get("pool"), workers, *numbers)

    @property
    def connections(self) -> int:
        """The most that it holds at once, during a deploy."""
        return 2 * self.workers * self.threads + self.processes + self.jobs

    def __str__(self) -> str:
        """The sum that makes them."""
        parts = [f"2 x {several(self.workers, 'worker')} x {several(self.threads, 'thread')}"]
        parts += [several(self.processes, "process", "processes")] if self.processes else []
        parts += [several(self.jobs, "job")] if self.jobs else []
        return f"{self.name} {self.connections} ({' + '.join(parts)})"


@dataclass(frozen=True)
class Plan:
    """The poolers of a host.

    :param demands: all apps with a database of PostgreSQL on the host.
    :param limit: how many connections PostgreSQL takes, its ``max_connections``.
    :param most: connections to PostgreSQL that a pooler may hold.
    """

    demands: Sequence[Demand]
    limit: int
    most: int = SIZE

    @property
    def wanted(self) -> int:
        """The connections where only those apps have a pooler that ask for one."""
        asked = sum(1 for demand in self.demands if demand.pool)
        direct = sum(demand.connections for demand in self.demands if not demand.pool)
        return direct + asked * self.most + RESERVE

    @property
    def crowded(self) -> bool:
        """Whether PostgreSQL cannot take them, so that those get a pooler that leave it open."""
        return self.wanted > self.limit

    @property
    def pooled(self) -> list[Demand]:
        """The apps that have a pooler."""
        return [demand for demand in self.demands if demand.pool or (demand.pool is None and self.crowded)]

    @property
    def size(self) -> int:
        """How many connections each pooler may hold, so that all of them fit beside the direct ones."""
        pooled = self.pooled
        direct = sum(demand.connections for demand in self.demands if demand not in pooled)
        return max(LEAST_SIZE, min(self.most, (self.limit - RESERVE - direct) // max(1, len(pooled))))

    def poolers(self) -> list[dict[str, Any]]:
        """What the templates take of each app that has a pooler."""
        return [
            {
                "name": demand.name,
                "socket": on_host("pooler", demand.name),
                "port": PORT,
                "size": self.size,
                "clients": max(LEAST_CLIENTS, demand.connections + RESERVE),
                "automatic": demand.pool is None,
                "reason": self.numbers if demand.pool is None else "as configured",
            }
            for demand in self.pooled
        ]

    @property
    def numbers(self) -> str:
        """Why the poolers are there, or would have to be."""
        shares = [
            f"{demand.name}'s pooler {self.most}" if demand.pool else str(demand)
            for demand in self.demands
        ]  # fmt: skip
        return (
            f"{' + '.join(shares)} + {RESERVE} for release commands and backups = {self.wanted} connections during a "
            f"deploy, and PostgreSQL takes {self.limit} (max_connections)"
        )

    def warnings(self) -> list[str]:
        """What the operator should know: connections that PostgreSQL may refuse, although poolers are where allowed."""
        pooled = self.pooled
        direct = [demand for demand in self.demands if demand not in pooled]
        total = sum(demand.connections for demand in direct) + self.size * len(pooled) + RESERVE
        if total <= self.limit:
            return []
        shares = [*map(str, direct), *(f"{demand.name}'s pooler {self.size}" for demand in pooled)]
        remedies = ["raise database_max_connections", "lower workers and threads in `server`"]
        if direct:
            remedies.insert(0, f"take `pool: false` away from {', '.join(demand.name for demand in direct)}")
        return [
            f"PostgreSQL takes {self.limit} connections (max_connections), and {' + '.join(shares)} + {RESERVE} for "
            f"release commands and backups make {total}: some may be refused during a deploy. "
            f"To make room, {', or '.join(remedies)}."
        ]


def prepares(release: str) -> bool:
    """Whether the PgBouncer of a release of Debian or Ubuntu knows prepared statements: it does from 1.21 on."""
    return release not in ("bookworm", "jammy")


def record(pooler: Mapping[str, Any], prepared_statements: bool) -> dict[str, Any]:
    """What the app's release is to know of its pooler."""
    own = {key: pooler[key] for key in ("socket", "port", "automatic", "reason")}
    return {**own, "prepared_statements": prepared_statements}


def units(names: Iterable[str], state: str) -> list[dict[str, Any]]:
    """The units of poolers, as ``file_set`` takes them.

    :param state: ``started`` or ``stopped``.
    """
    found: list[dict[str, Any]] = []
    for name in names:
        service = f"{name}.pooler.service"
        found.append({"name": f"{name}.pooler.socket", "state": state, "enabled": state == "started"})
        follows = {
            "follows": ["poolers"],
            "on_change": "reloaded",
            "restart_for": [f"/etc/systemd/system/{service}"],
        }
        found.append({"name": service, "state": state, **(follows if state == "started" else {})})
    return found


def several(number: int, word: str, plural: str = "") -> str:
    """A number of things, ``1 job`` or ``2 jobs``."""
    return f"{number} {word if number == 1 else plural or f'{word}s'}"


def plan(apps: Sequence[Mapping[str, Any]], limit: int, cores: int, memory: int, most: int = SIZE) -> Plan:
    """The poolers that a host needs.

    :param apps: as the role ``database`` takes them; those without PostgreSQL are left out.
    :param limit: ``max_connections`` of its PostgreSQL.
    :param cores: processors of the host; ``memory`` its memory in MB. Where `workers` is not given, it follows from
        both, as at the start of the app.
    :param most: connections to PostgreSQL that a pooler may hold.
    """
    return Plan(
        [Demand.read(app, cores, memory) for app in apps if app.get("provider", "postgresql") == "postgresql"],
        limit,
        most,
    )
