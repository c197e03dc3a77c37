# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine asks of the host; tests put another in its place."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What an instance answered: the status, the beginning of the body, and where it sends the visitor."""

    status: int
    body: str = ""
    location: str = ""


class Host:
    """systemd, the processes of an app, and its sockets."""

    def run(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program as root and return what it said."""
        return subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", *arguments)

    def is_active(self, *units: str) -> bool:
        """True when every unit is active."""
        shown = self.systemctl("show", "--value", "--property=ActiveState", *units)
        return shown.stdout.split() == ["active"] * len(units)

    def number(self, unit: str, prop: str) -> int:
        """A property of a unit that is a number; 0 when it has none."""
        shown = self.systemctl("show", "--value", f"--property={prop}", unit).stdout.strip()
        return int(shown) if shown.isdigit() else 0

    def restarts(self, unit: str) -> int:
        """How often systemd had to start the unit again by itself."""
        return self.number(unit, "NRestarts")

    def processes(self, unit: str) -> set[int]:
        """The unit's main process and its children, which are the server's workers."""
        main = self.number(unit, "MainPID")
        if not main:
            return set()
        try:
            children = Path(f"/proc/{main}/task/{main}/children").read_text()
        except OSError:
            return set()
        return {main, *map(int, children.split())}

    def run_as(
        self,
        user: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: str,
        seconds: float,
        stdin: Any = None,
        umask: int = 0o022,
    ) -> tuple[int, str]:
        """Run a command as a user; return its exit status and what it printed, 124 when the time was up.

        It dies with the engine, and with it all that it started: a killed deploy leaves nothing at work behind it.
        """
        with subprocess.Popen(
            as_user(user, command),
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd,
            env=dict(environment),
            umask=umask,
            start_new_session=True,
        ) as process:
            try:
                output = process.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return 124, f"{process.communicate()[0]}\n(killed after {seconds:.0f} s)"
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return process.returncode, output

    @contextmanager
    def ssh_agent(self, user: str, key: str, directory: Path) -> Iterator[Path]:
        """A key that ``user`` can sign with and cannot read: an agent holds it, and nothing is written to the disk."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        shutil.chown(directory, user, user)
        sock = directory / "agent.sock"
        environment = {"PATH": os.defpath, "SSH_AUTH_SOCK": str(sock)}
        agent = subprocess.Popen(
            as_user(user, ("ssh-agent", "-D", "-a", str(sock))),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd="/",
        )  # fmt: skip
        try:
            until = time.monotonic() + 30  # on a busy machine
            while not sock.exists() and time.monotonic() < until:
                time.sleep(0.02)
            added = subprocess.run(
                as_user(user, ("ssh-add", "-q", "-")),
                input=f"{key.strip()}\n", env=environment, cwd="/", capture_output=True, text=True, check=False,
            )  # fmt: skip
            if added.returncode:
                raise ValueError(added.stderr.strip())
            yield sock
        finally:
            agent.kill()
            agent.wait()
            shutil.rmtree(directory, ignore_errors=True)

    def journal(self, app: str, unit: str, since: float) -> str:
        """The last that an instance said, and systemd of it."""
        shown = self.run(
            *("journalctl", f"--namespace=+{app}", f"--unit={unit}"),
            *(f"--since=@{since:.0f}", "--reverse", "--lines=200", "--output=cat"),
        )
        return "\n".join(reversed(shown.stdout.strip().splitlines()))

    def ask(self, sock: Path, host: str, path: str, seconds: float) -> Answer:
        """GET a path through an instance's own socket as the proxy would, over HTTPS as far as the app can tell."""
        connection = UnixConnection(sock, seconds)
        forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host}
        try:
            connection.request("GET", path, headers={"Host": host, "User-Agent": "groundwork-health", **forwarded})
            response = connection.getresponse()
            body = response.read(20_000).decode(errors="replace")
            return Answer(response.status, body, response.getheader("Location") or "")
        finally:
            connection.close()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def as_user(user: str, command: Sequence[str]) -> list[str]:
    """The command run as a user and no group but his own, killed with all that it started when its parent dies.

    The kernel kills what is in a namespace of processes with the first of them. That is a shell of root's, which dies
    with its parent; programs with a group of their own, such as ssh-agent, do not.
    """
    dying = ("setpriv", "--pdeathsig", "KILL", "--")
    # What a shell runs beside itself has no stdin but the one it is given.
    beside = 'exec 3<&0; "$@" <&3 3<&- & exec <&- 3<&-; wait $!'
    first = ("unshare", "--pid", "--fork", "--", *dying, "sh", "-c", beside, "sh")
    return [*dying, *first, "setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--", *command]
