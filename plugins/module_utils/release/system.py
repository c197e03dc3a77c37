# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine asks of the host; tests put another in its place."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ..common.files import write
from ..common.programs import ENVIRONMENT
from ..common.systemd import TIMED_OUT, Directives, Systemd, TransientUnit, runtime_limit
from ..common.text import printable
from .layout import Layout, ReleaseError, env_file, tail

MOST_OUTPUT = 2**20  # bytes; the end of what a step says is kept


@dataclass(frozen=True)
class Response:
    """What an instance answered: the status, the beginning of the body, and where it sends the visitor."""

    status: int
    body: str = ""
    location: str = ""


@dataclass(frozen=True)
class Step:
    """A command that acts for an app: it runs as the app's user, in a transient systemd unit with a sandbox.

    :ivar app: the app.
    :ivar name: what it does, in one word; part of the unit's name.
    :ivar argv: the command.
    :ivar sandbox: the unit's directives.
    :ivar environment: all of its environment.
    :ivar cwd: its working directory.
    :ivar seconds: after which it is killed with all that it started.
    :ivar stdin: what it reads; nothing by default.
    """

    app: str
    name: str
    argv: Sequence[str]
    sandbox: Directives
    environment: Mapping[str, str]
    cwd: str
    seconds: float
    stdin: IO[Any] | None = None

    def command(self, unit: str, *more: str) -> list[str]:
        """The command line that starts it; its environment is in a file, where no list of processes shows it."""
        properties = [
            ("User", self.app),
            ("Group", self.app),
            ("WorkingDirectory", self.cwd),
            ("EnvironmentFile", str(environment_file(self.app, unit))),
            runtime_limit(self.seconds),
            *self.sandbox,
        ]
        return TransientUnit(unit, f"{self.name} of {self.app}", self.argv, properties).command(*more)


@dataclass
class System(Systemd):
    """systemd, the processes of an app, and its sockets.

    :ivar engine: the unit that the engine runs in, if it runs in one; its steps end with it.
    """

    engine: str = ""
    _steps: int = 0

    def kill(self, uid: int) -> list[int]:
        """Kill every process of an account, wherever it runs; those that there were."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if entry.stat().st_uid == uid or f"\nUid:\t{uid}\t" in (entry / "status").read_text():
                    found.append(int(entry.name))
                    os.kill(found[-1], signal.SIGKILL)
        return found

    # --- steps ----------------------------------------

    @contextmanager
    def prepared(self, step: Step) -> Iterator[tuple[str, list[str]]]:
        """Write a step's environment for the time of the block; its unit's name, and what binds it to the engine."""
        self._steps += 1
        unit = f"groundwork-release@{step.app}.{step.name}.{os.getpid()}-{self._steps}.service"
        path = environment_file(step.app, unit)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, env_file(step.environment), 0o600)
        bound = ["-p", f"BindsTo={self.engine}", "-p", f"After={self.engine}"] if self.engine else []
        try:
            yield unit, bound
        finally:
            path.unlink(missing_ok=True)

    def step(self, step: Step) -> tuple[int, str]:
        """Run a step; return its exit status and the end of what it printed, 124 when its time was up.

        It ends with the engine, and with it all that it started: a killed deploy leaves nothing at work behind it.
        """
        with self.prepared(step) as (unit, bound):
            with subprocess.Popen(
                step.command(unit, "--pipe", "--wait", *bound),
                stdin=step.stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                cwd="/",
            ) as process:
                try:
                    output = end_of(process)
                except BaseException:
                    self.systemctl("stop", unit)
                    raise
            if not process.returncode:
                return 0, output
            result = self.systemctl("show", "--value", "--property=Result", unit).stdout.strip()
            self.systemctl("reset-failed", unit)
        if result == "timeout":
            return TIMED_OUT, f"{output}\n(killed after {step.seconds:.0f} s)"
        if result == "oom-kill":
            output = f"{output}\n(killed: it wanted more memory than it may have)"
        return process.returncode, output

    @contextmanager
    def background(self, step: Step) -> Iterator[None]:
        """Let a step run for the time of the block."""
        with self.prepared(step) as (unit, bound):
            started = self.run(*step.command(unit, "--collect", "--service-type=exec", *bound))
            try:
                if started.returncode:
                    raise ReleaseError(step.name, f"{step.argv[0]} could not be started", tail(started.stderr))
                yield
            finally:
                self.systemctl("stop", unit)

    def interactive(self, step: Step) -> int:
        """Run a step on this process's terminal, or on its streams; return its exit status.

        It gets a terminal of its own, for it could type into root's.
        """
        with self.prepared(step) as (unit, _bound):
            how = "--pty" if os.isatty(0) and os.isatty(1) else "--pipe"
            with subprocess.Popen(step.command(unit, how, "--wait", "--collect"), env=ENVIRONMENT, cwd="/") as process:
                try:
                    return process.wait()
                finally:
                    if process.poll() is None:
                        process.terminate()
                    self.systemctl("stop", unit)

    def status(self, text: str) -> None:
        """Tell systemd how far the engine is, for ``systemctl status`` and for those who wait."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):
                sock.sendto(f"STATUS={text}".encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)

    # --- what runs ----------------------------------------

    def journal(self, app: str, unit: str, since: float) -> str:
        """The last that an instance said, and systemd of it."""
        which = (f"--namespace=+{app}", f"--unit={unit}", f"--since=@{since:.0f}")
        command = ("/usr/bin/journalctl", *which, "--reverse", "--lines=200", "--output=cat")
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
            cwd="/",
        ) as process:  # fmt: skip
            # The newest come first. A single entry may be larger than all that is shown.
            shown = cast("IO[bytes]", process.stdout).read(MOST_OUTPUT).decode(errors="replace")
            process.kill()
        return printable("\n".join(reversed(shown.strip().splitlines())))

    def ask(self, sock: Path, host: str, path: str, seconds: float) -> Response:
        """GET a path through an instance's own socket as the proxy would, over HTTPS as far as the app can tell.

        :raises OSError: and HTTPException, when there is no whole answer within ``seconds``.
        """
        connection = UnixConnection(sock, seconds)
        forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host}
        # A timeout of the socket would begin anew with each byte.
        over = threading.Timer(seconds, connection.cut)
        over.daemon = True
        over.start()
        try:
            connection.request("GET", path, headers={"Host": host, "User-Agent": "groundwork-health", **forwarded})
            response = connection.getresponse()
            body = printable(response.read(20_000).decode(errors="replace"))
            if connection.is_cut:  # what was cut may look like the end of an answer
                raise TimeoutError(f"no whole answer within {seconds:g} s")
            return Response(response.status, body, printable(response.getheader("Location") or ""))
        finally:
            over.cancel()
            connection.close()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path
        self.is_cut = False
        # A connection lets go of its own once an answer says that it will be closed.
        self.kept: socket.socket | None = None

    def connect(self) -> None:
        self.sock = self.kept = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def cut(self) -> None:
        """End the conversation, whatever is awaited."""
        self.is_cut = True
        if self.kept:
            with suppress(OSError):
                self.kept.shutdown(socket.SHUT_RDWR)


def environment_file(app: str, unit: str) -> Path:
    """Where the environment of a step stands while it runs; root's alone."""
    return Layout(app).run / f"{unit}.env"


def end_of(process: subprocess.Popen[bytes]) -> str:
    """Read what a process prints until it ends; the last of it, fit to be shown.

    Its end, and not that of the pipe: somebody else may have been given the other end, and keep it.
    """
    stream = cast("IO[bytes]", process.stdout)
    os.set_blocking(stream.fileno(), False)
    kept, over = b"", False
    while not over:
        over = process.poll() is not None
        select.select([stream], [], [], 0 if over else 0.1)
        block = stream.read(MOST_OUTPUT)
        if block == b"":
            process.wait()
            over = True
        kept = (kept + (block or b""))[-MOST_OUTPUT:]
    return printable(kept.decode(errors="replace"))
