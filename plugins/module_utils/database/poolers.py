# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pause the poolers of a PostgreSQL cluster while it restarts, so that requests wait and none fails.

systemd calls it: ``groundwork-poolers@<cluster>.service`` is stopped before the cluster, and started after it. A
cluster never waits for it longer than :data:`SECONDS`, and a timer resumes a pooler that nothing else has resumed.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..common import programs
from ..common.files import read_json
from ..common.on_host import path
from ..common.systemd import SYSTEMCTL, SYSTEMD_RUN
from ..common.text import line
from .clusters import Cluster, clusters

SECONDS = 8.0  # for what runs in transactions to end; PostgreSQL stops after that, and ends it
# After which a paused pooler is resumed, whether its cluster is back or not. An upgrade by apt has the cluster down for
# as long as it unpacks packages. A query waits no longer either (query_wait_timeout).
GUARD_SECONDS = 60
GUARD = "groundwork-poolers-guard"
PROGRAM = str(path("programs") / "poolers")
PROTOCOL = 196608  # version 3.0 of PostgreSQL's protocol
LONGEST = 2**16  # bytes of a message that is read
SHOWN = 300  # characters of what it says
ALREADY = ("already suspended/paused", "is not paused/suspended", "not paused")


class PoolerError(Exception):
    """A pooler did not do what it was told; what it says of it, a process of the app's, is made printable here."""

    def __init__(self, text: str) -> None:
        super().__init__(line(text, SHOWN))


@dataclass(frozen=True)
class Pooler:
    """The pooler of an app, and the socket at which it listens."""

    app: str
    socket: str

    def tell(self, command: str, seconds: float = SECONDS) -> None:
        """Give a command on its admin console, which takes root alone.

        :raises PoolerError: it refuses, or has not done so in time. A pause that takes longer goes on.
        """
        deadline = time.monotonic() + seconds
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as console:
                console.settimeout(seconds)
                console.connect(self.socket)
                hello = struct.pack("!i", PROTOCOL) + b"user\0root\0database\0pgbouncer\0\0"
                console.sendall(struct.pack("!i", len(hello) + 4) + hello)
                await_ready(console, deadline)
                text = command.encode() + b"\0"
                console.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)
                await_ready(console, deadline)
        except TimeoutError:
            raise PoolerError(f"{self.app}: the pooler has not ended {command} after {seconds:.0f} s") from None
        except OSError as error:
            raise PoolerError(f"{self.app}: {self.socket}: {error}") from None


def await_ready(console: socket.socket, deadline: float) -> None:
    """Read until the console takes the next command.

    :raises PoolerError: it answers with an error, other than that it is in that state already.
    """
    problem = ""
    while True:
        kind, size = struct.unpack("!ci", receive(console, 5, deadline))
        if not 4 <= size <= LONGEST:
            raise PoolerError(f"the pooler answers with a message of {size} bytes")
        body = receive(console, size - 4, deadline)
        if kind == b"E":
            problem = " ".join(part[1:].decode(errors="replace") for part in body.split(b"\0") if part[:1] == b"M")
            if "fatal" in body.decode(errors="replace").lower():
                raise PoolerError(f"the pooler refuses: {problem}")
        if kind == b"Z":
            if problem and not any(text in problem for text in ALREADY):
                raise PoolerError(f"the pooler refuses: {problem}")
            return


def receive(console: socket.socket, size: int, deadline: float) -> bytes:
    """Exactly so many bytes.

    :raises TimeoutError: they have not come in time.
    """
    found = b""
    while len(found) < size:
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        console.settimeout(left)
        if not (part := console.recv(size - len(found))):
            raise PoolerError("the pooler has closed the connection")
        found += part
    return found


def poolers(cluster: str, root: Path = Path("/")) -> list[Pooler]:
    """The poolers before a cluster, such as ``15-main``, that listen; before every cluster if its port is unknown.

    One that its app has left for a direct connection is among them: a release from before still uses it.
    """
    ports = [one.port for one in clusters() if instance(one) == cluster]
    found = []
    for record in sorted(path("configuration", root=root).glob("services/*/pooler.json")):
        pooler = read_json(record)
        listens = f"{pooler['socket']}/.s.PGSQL.{pooler['port']}"
        if (not ports or pooler["server_port"] in ports) and (root / listens.lstrip("/")).exists():
            found.append(Pooler(record.parent.name, listens))
    return found


def instance(cluster: Cluster) -> str:
    """A cluster as its unit names it."""
    return f"{cluster.version}-{cluster.name}"


def follow() -> list[str]:
    """Have the poolers paused and resumed with every cluster that runs already; others bring that by themselves."""
    units = [f"groundwork-poolers@{instance(one)}.service" for one in clusters() if one.is_online]
    done = programs.run((SYSTEMCTL, "start", *units), seconds=60) if units else None
    return [programs.explanation(done)] if done and done.returncode else []


def for_each(found: Sequence[Pooler], act: Callable[[Pooler], None]) -> list[str]:
    """Do it with all of them at once; what went wrong, as sentences."""

    def tried(pooler: Pooler) -> str:
        try:
            act(pooler)
        except PoolerError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
        return [problem for problem in pool.map(tried, found) if problem]


def pause(cluster: str) -> list[str]:
    """Pause the poolers of a cluster: what is asked of them waits, and their connections to it are closed."""
    found = poolers(cluster)
    if found:
        set_guard(cluster)
    return for_each(found, lambda pooler: pooler.tell("PAUSE"))


def resume(cluster: str) -> list[str]:
    """Resume the poolers of a cluster; where one does not take the command, they are told by a signal too."""
    found = poolers(cluster)
    problems = for_each(found, lambda pooler: pooler.tell("RESUME"))
    if problems:
        units = [f"{pooler.app}.pooler.service" for pooler in found]
        programs.run((SYSTEMCTL, "kill", "--signal=SIGUSR2", "--kill-who=main", *units), seconds=SECONDS)
    return problems


def set_guard(cluster: str) -> None:
    """Have the poolers resumed in a while, whatever happens; the guard of a pause before this one is replaced."""
    remove_guard(cluster)
    guard = f"{GUARD}-{cluster}"
    programs.run(
        (SYSTEMD_RUN, "--quiet", "--collect", f"--unit={guard}", f"--on-active={GUARD_SECONDS}",
         "--timer-property=AccuracySec=100ms", PROGRAM, "resume", cluster),
        seconds=SECONDS,
    )  # fmt: skip


def remove_guard(cluster: str) -> None:
    """Take the guard away."""
    programs.run((SYSTEMCTL, "stop", f"{GUARD}-{cluster}.timer"), seconds=SECONDS)


def main() -> int:
    """``poolers pause|resume CLUSTER`` or ``poolers follow``: print what went wrong; only ``follow`` fails then."""
    verb, *cluster = sys.argv[1:]
    verbs: dict[str, Callable[..., list[str]]] = {"pause": pause, "resume": resume, "follow": follow}
    problems = verbs[verb](*cluster)
    if verb == "resume":
        remove_guard(*cluster)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if verb == "follow" and problems else 0
