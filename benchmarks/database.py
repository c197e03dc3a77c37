"""The measurements of benchmarks/database."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

from benchmarks import hosts
from benchmarks.hosts import ROOT, WORK, run_on, test_host

HOST = "bench-database"
WORKERS, THREADS, SERVERS = 5, 8, 8
CONNECTIONS, SECONDS, ROUNDS = WORKERS * THREADS, 4, 5
LEAST = 1.3  # of the requests of BASE


@dataclass
class Way:
    """An app that reaches PostgreSQL in one way; one sample of requests a second and of connections for each round."""

    app: str
    name: str
    pooler: bool
    pool: str = ""  # of SQLAlchemy, by default its own choice, which is QueuePool
    rates: list[float] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)

    def definition(self) -> dict[str, Any]:
        """The app in `flask_apps`."""
        return {
            "source": {"directory": str(ROOT / "benchmarks/database_app")},
            "wsgi_app": "item:app",
            "domains": [f"{self.app}.test"],
            "certificate": {"provider": "self_signed"},
            "server": {"workers": WORKERS, "threads": THREADS},
            "database": {"provider": "postgresql", "pool": self.pooler},
            **({"environment": {"POOL": self.pool}} if self.pool else {}),
        }


BASE = Way("direct", "directly, QueuePool", False)
BEST = Way("pooled", "pooler, QueuePool", True)
WAYS = [BASE, Way("direct-null", "directly, NullPool", False, "NullPool"),
        Way("pooled-null", "pooler, NullPool", True, "NullPool"), BEST]  # fmt: skip


def make_host(suite: str) -> None:
    """A fresh host with an app for each way."""
    test_host("create", f"{HOST}:{suite}")
    hosts.install(HOST, "nghttp2-client")
    hosts.write_inventory(HOST, {way.app: way.definition() for way in WAYS})
    # Each thread of the apps that go directly may keep a connection, while the others are measured too.
    hosts.play(HOST, "site", database_max_connections=200, database_pooler_size=SERVERS)


def sample(way: Way) -> None:
    """Ask for as long as a sample takes, and count the connections half-way; a failed request ends the benchmark."""
    load = (
        f"timeout {SECONDS + 10} h2load --h1 --threads=1 --clients={CONNECTIONS} --warm-up-time=1 --duration={SECONDS} "
        f"--base-uri=unix:{on_host('socket', way.app)} http://{way.app}.test/"
    )
    count = f"pgrep -fc '^postgres: .*: {way.app} {way.app} .local'"
    command = f'{load} & sleep {1 + SECONDS / 2}; echo "connections $({count})"; wait'
    said = run_on(HOST, command).decode()
    done = re.search(r"finished in .*?, ([\d.]+) req/s", said)
    answers = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    counted = re.search(r"^connections (\d+)$", said, re.MULTILINE)
    if not done or not answers or not counted or int(answers[1]) == 0 or any(int(answers[n]) for n in (2, 3, 4)):
        sys.exit(f"{way.name}: not all requests were answered\n{said}")
    way.rates.append(float(done[1]))
    way.connections.append(int(counted[1]))


def report(suite: str) -> bool:
    """Print the medians and their ratios; say whether the pooler is as good as it must be."""
    print(
        f"\n{platform.machine()}, {os.cpu_count()} cores, {suite}; medians of {ROUNDS} samples of {SECONDS} s, "
        f"{CONNECTIONS} kept connections, {WORKERS} workers x {THREADS} threads"
    )
    for way in WAYS:
        rate, connections = median(way.rates), median(way.connections)
        print(
            f"{way.name:22}{rate:8.0f} requests a second{rate / median(BASE.rates):8.2f} of {BASE.name}"
            f"{connections:6.0f} connections of PostgreSQL"
        )
    ratio, most = median(BEST.rates) / median(BASE.rates), max(BEST.connections)
    print(f"{BEST.name}: at least {LEAST}, and at most {SERVERS} connections: {ratio:.2f}, {most}")
    return ratio >= LEAST and most <= SERVERS


def main() -> None:
    """Make the host, sample each way in turn, print the report; exit with 1 if the pooler does not pay."""
    suite = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    load = os.getloadavg()[0]
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"A fresh {suite} host with an app for each way …", flush=True)
    try:
        make_host(suite)
        for turn in range(ROUNDS):
            print(f"round {turn + 1} of {ROUNDS} …", flush=True)
            for way in WAYS:  # in turn, so that a busy moment falls on all
                sample(way)
                time.sleep(0.5)
    finally:
        test_host("remove", HOST)
    if not report(suite):
        sys.exit(
            f"The pooler does not pay as it should. The load of this machine was {load:.1f} at the beginning; "
            "if that is more than 1, run it again when nothing else runs."
        )


if __name__ == "__main__":
    main()
