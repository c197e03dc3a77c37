# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A major upgrade of the PostgreSQL cluster that apps have their databases on, by Debian's ``pg_upgradecluster``.

The method is ``upgrade`` (pg_upgrade), which copies the files of the tables. The other one, ``dump``, would load what
an app has defined as the superuser, and a constraint may call a function of the app's. The copy leaves the old cluster
as it was: it is kept, stopped, at another port. Nothing of the apps runs meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import programs
from ..common.files import read_json
from ..common.on_host import path
from ..common.text import line
from . import settings
from .clusters import Cluster, at_port, clusters
from .errors import DatabaseError
from .standstill import Standstill
from .superuser import OPTIONS, Superuser, identifier

VERSIONS = Path("/usr/lib/postgresql")
PLACE = "/var/lib/postgresql"
ROOM = 300_000_000  # bytes of a new, empty cluster with its write-ahead log, and something to spare
PORT = 5432  # of the cluster that serves
SECONDS = 6 * 3600.0
ATTEMPTS, PAUSE = 30, 5.0  # to start the old cluster after a failure, and seconds between them
LINES = 14  # of what pg_upgradecluster prints, in a message
OWN_DATABASES = ("postgres", "template0", "template1")
# Indexes that sort by rules of the system's which have changed since they were built; the second query is asked in each
# database.
CHANGED_DATABASES = """
SELECT datname::text AS name FROM pg_database
WHERE datallowconn AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)
"""
CHANGED_INDEXES = """
SELECT DISTINCT k.collname::text AS name FROM pg_index AS i, unnest(i.indcollation) AS c
JOIN pg_collation AS k ON k.oid = c WHERE k.collversion IS NOT NULL
AND k.collversion IS DISTINCT FROM pg_collation_actual_version(k.oid)
"""
DATABASES = "SELECT datname::text AS name FROM pg_database WHERE datallowconn"
CLOSED = "SELECT datname::text AS name FROM pg_database WHERE NOT datallowconn"
BYTES = "SELECT sum(pg_tablespace_size(oid))::bigint AS bytes FROM pg_tablespace"
ROLES = "SELECT rolname::text AS name FROM pg_roles WHERE oid >= 16384"


@dataclass
class Upgrade:
    """What is to be upgraded, and what came of it.

    :ivar old: the cluster that serves now.
    :ivar version: the version it is to have.
    :ivar apps: the apps that have a database on it; ``others`` its databases that are no app's.
    :ivar room: bytes that the copy takes; ``free`` those that are left.
    :ivar replaced: an empty cluster of the new version, as its package makes one, which goes first.
    """

    old: Cluster
    version: int
    apps: list[str]
    databases: list[str]
    others: list[str]
    room: int
    free: int
    replaced: Cluster | None = None
    reindex: list[str] = field(default_factory=list)

    def problems(self, shared: bool) -> list[str]:
        """What speaks against it.

        :param shared: databases that are no app's may be upgraded with them.
        """
        found = []
        if self.room > self.free:
            found.append(
                f"The databases of PostgreSQL {self.old} are copied, which takes {self.room / 1e6:.0f} MB, and {PLACE} "
                f"has {self.free / 1e6:.0f} MB left: make room, for example by `apt-get clean`, and run again."
            )
        if self.others and not shared:
            found.append(
                f"PostgreSQL {self.old} has databases that are no app's: {', '.join(self.others)}. They would be "
                "upgraded with it, and what uses them would find no server meanwhile. To have that, add -e shared=true."
            )
        return found


def plan(port: int = PORT, root: Path = Path("/")) -> Upgrade | None:
    """What is to be upgraded; None where the cluster has the newest version that is installed.

    :param port: of the cluster.
    :raises DatabaseError: it cannot be upgraded; the text says what to do.
    """
    known = clusters()
    old = at_port(port, known)
    if not old.is_online:
        raise DatabaseError(f"PostgreSQL {old} is not running: start it (`systemctl start {old.unit}`) and run again")
    version = max((int(one.name) for one in VERSIONS.glob("[0-9]*") if (one / "bin/pg_upgrade").exists()), default=0)
    if version <= old.version:
        return None
    superuser = Superuser(old)
    databases = [row["name"] for row in superuser.rows(DATABASES)]
    apps = apps_of(port, root)
    owned = tuple(f"{app}." for app in apps)
    return Upgrade(
        old,
        version,
        apps,
        databases,
        [name for name in databases if name not in (*OWN_DATABASES, *apps) and not name.startswith(owned)],
        int(superuser.rows(BYTES)[0]["bytes"]) + ROOM,
        os.statvfs(PLACE).f_bavail * os.statvfs(PLACE).f_frsize,
        replaceable(old, version, known),
        sorted(changed(superuser, databases)),
    )


def apps_of(port: int, root: Path = Path("/")) -> list[str]:
    """The apps that have their database on the cluster of a port."""
    records = sorted(path("configuration", root=root).glob("services/*/database.json"))
    read = {record.parent.name: read_json(record) for record in records}
    return [app for app, record in read.items() if record.get("provider") == "postgresql" and record["port"] == port]


def replaceable(old: Cluster, version: int, known: Sequence[Cluster]) -> Cluster | None:
    """The cluster that has the new one's name already and is empty; None where there is none.

    :raises DatabaseError: it holds something, or cannot be asked.
    """
    for one in known:
        if (one.version, one.name) != (version, old.name):
            continue
        drop = f"If it is not needed: pg_dropcluster --stop {one.version} {one.name}. Then run again"
        if not one.is_online:
            raise DatabaseError(
                f"PostgreSQL {one} is there already; it does not run, so what it holds is unknown. {drop}"
            )
        superuser = Superuser(one)
        holds = [row["name"] for row in superuser.rows(DATABASES) if row["name"] not in OWN_DATABASES]
        holds += [f"the role {row['name']}" for row in superuser.rows(ROLES)]
        if holds:
            raise DatabaseError(f"PostgreSQL {one} is there already, and holds {', '.join(holds)}. {drop}")
        return one
    return None


def changed(superuser: Superuser, databases: Sequence[str]) -> set[str]:
    """The databases with indexes that the system would sort otherwise now."""
    found = {row["name"] for row in superuser.rows(CHANGED_DATABASES)}
    return found | {name for name in databases if name not in found and superuser.rows(CHANGED_INDEXES, name)}


def perform(upgrade: Upgrade) -> dict[str, Any]:
    """Upgrade while nothing of the apps runs.

    :raises DatabaseError: it failed; the old cluster serves, and the apps run again.
    """
    old, began = upgrade.old, time.monotonic()
    with Standstill(upgrade.apps) as standstill:
        if upgrade.replaced:
            drop = ("/usr/bin/pg_dropcluster", "--stop", str(upgrade.version), old.name)
            call(drop, f"the empty cluster {upgrade.replaced} cannot be dropped")
        open_all(Superuser(old), upgrade.apps)
        try:
            call(
                ("/usr/bin/pg_upgradecluster", "-v", str(upgrade.version), "-m", "upgrade", str(old.version), old.name),
                f"PostgreSQL {old.version}/{old.name} could not be upgraded",
            )
            new = at_port(old.port, clusters())
            lost = set(upgrade.databases) - {row["name"] for row in Superuser(new).rows(DATABASES)}
            if new.version != upgrade.version or not new.is_online or lost:
                lacks = f", without {', '.join(sorted(lost))}" if lost else ""
                raise DatabaseError(f"at port {old.port} there is {new}{lacks} after the upgrade")
        except DatabaseError as error:
            raise DatabaseError(f"{serve_again(old)}. {error}") from None
        notices = settings.take_over(old, new)
        notices += [text for name in upgrade.reindex if (text := reindex(Superuser(new), name))]
    kept = next((one for one in clusters() if (one.version, one.name) == (old.version, old.name)), old)
    return {
        "changed": True,
        "from": f"{old.version}/{old.name}",
        "to": f"{new.version}/{new.name}",
        "port": new.port,
        "old_port": kept.port,
        "databases": upgrade.databases,
        "reindexed": upgrade.reindex,
        "notices": [*standstill.notices, *notices],
        "seconds": round(time.monotonic() - began, 1),
    }


def open_all(superuser: Superuser, apps: Sequence[str]) -> None:
    """Have the apps' databases take connections again: one that its app has shut would keep all from the upgrade."""
    for row in superuser.rows(CLOSED):
        if row["name"].partition(".")[0] in apps:
            superuser.sql(f"ALTER DATABASE {identifier(row['name'])} ALLOW_CONNECTIONS true")


def call(argv: Sequence[str], failure: str) -> None:
    """Run a program of Debian's.

    :param failure: what it means when it fails, for the message.
    """
    try:
        done = programs.run(argv, seconds=SECONDS, environment={**programs.ENVIRONMENT, "PGOPTIONS": OPTIONS})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DatabaseError(f"{failure}: {error}") from None
    if done.returncode:
        lines = [text.strip() for text in (done.stdout + done.stderr).splitlines()]
        shown = [text for text in lines if text.strip("-") and not text.endswith(" ok")][-LINES:]
        raise DatabaseError(f"{failure}: {line(' / '.join(shown), 700)}")


def serve_again(old: Cluster) -> str:
    """See to it that the old cluster serves after a failure; a sentence that says how it stands.

    What made the upgrade fail, as a full table of processes, may keep it from starting for a while.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE)
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            now = next((one for one in clusters() if (one.version, one.name) == (old.version, old.name)), None)
            if now and now.is_online and now.port == old.port:
                return f"PostgreSQL {now} serves as before"
            programs.run(("/usr/bin/pg_ctlcluster", str(old.version), old.name, "start"), seconds=600)
    return (
        f"PostgreSQL {old.version}/{old.name} does not serve at port {old.port}: look at `pg_lsclusters` and "
        "/var/log/postgresql"
    )


def reindex(superuser: Superuser, database: str) -> str:
    """Build all indexes of a database anew; a sentence for the operator if that fails."""
    name = identifier(database)
    try:
        superuser.sql(f"REINDEX DATABASE {name}", database=database, seconds=SECONDS)
        superuser.sql(f"ALTER DATABASE {name} REFRESH COLLATION VERSION")
    except DatabaseError as error:
        return f"The indexes of {database} could not be built anew: {error}. Do it by `REINDEX DATABASE {name}`."
    return ""


def answer(shared: bool, dry_run: bool) -> dict[str, Any]:
    """What came of it, or would, with a text for the operator.

    :param shared: databases that are no app's may be upgraded too.
    :raises DatabaseError: nothing was done; or it failed, and the text says what serves.
    """
    upgrade = plan()
    if upgrade is None:
        newest = at_port(PORT, clusters())
        text = (
            f"PostgreSQL {newest} has the newest version that is installed. For a newer one, install its package first."
        )
        return {"changed": False, "text": text}
    if problems := upgrade.problems(shared):
        raise DatabaseError(" ".join(problems))
    if dry_run:
        return {"changed": True, "to": upgrade.version, "text": forecast(upgrade)}
    result = perform(upgrade)
    return {**result, "text": report(result)}


def forecast(upgrade: Upgrade) -> str:
    """What would be done, with the numbers."""
    return (
        f"PostgreSQL {upgrade.old} would be upgraded to {upgrade.version}. Stopped meanwhile: "
        f"{', '.join(upgrade.apps) or 'no app'}. The copy takes {upgrade.room / 1e6:.0f} MB, and "
        f"{upgrade.free / 1e6:.0f} MB are free."
    )


def report(result: Mapping[str, Any]) -> str:
    """What was done, and what is left to do."""
    old = result["from"].replace("/", " ")
    return (
        f"PostgreSQL {result['from']} is {result['to']} now, at port {result['port']}; that took "
        f"{result['seconds']:.0f} s. "
        f"The old cluster is kept as it was, stopped, at port {result['old_port']}. Once nothing is missing, drop it, "
        f"as root on the host: pg_dropcluster {old} && apt-get purge postgresql-{old.split()[0]}"
    )
