# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine asks of the host; tests put another in its place."""

from __future__ import annotations

import http.client
import math
import os
import re
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
from types import MappingProxyType
from typing import IO, Any, cast

from ..common.files import write
from ..common.text import printable
from .layout import Layout, ReleaseError, env_file, tail
from .sandbox import Directives

# Root's programs are called by their paths; what these look up is looked up here.
ROOT_ENVIRONMENT: Mapping[str, str] = MappingProxyType({"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"})
MOST_OUTPUT = 2**20  # bytes; the end of what a step says is kept
TIMED_OUT = 124  # as timeout(1) has it


@dataclass(frozen=True)
class Answer:
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
            ("RuntimeMaxSec", f"{self.seconds:g}" if self.seconds < math.inf else "infinity"),
            *self.sandbox,
        ]
        options = [word for name, value in properties for word in ("-p", f"{name}={value}")]
        # systemd would put variables into the arguments; $$ is a plain dollar.
        argv = [word.replace("$", "$$") for word in self.argv]
        description = f"--description={self.name} of {self.app}"
        return ["/usr/bin/systemd-run", "--quiet", f"--unit={unit}", description, *more, *options, "--", *argv]


@dataclass
class Host:
    """systemd, the processes of an app, and its sockets.

    :ivar engine: the unit that the engine runs in, if it runs in one; its steps end with it.
    """

    engine: str = ""
    _steps: int = 0

    def run(
        self, *command: str, environment: Mapping[str, str] = ROOT_ENVIRONMENT, seconds: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as root, named by its path; what it said. Its status is 124 if it took over ``seconds``."""
        try:
            return subprocess.run(
                command, cwd="/", env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", check=False, timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, TIMED_OUT, "", f"not done after {seconds:.0f} s")

    def kill(self, uid: int) -> list[int]:
        """Kill every process of an account, wherever it runs; those that there were."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if entry.stat().st_uid == uid or f"\nUid:\t{uid}\t" in (entry / "status").read_text():
                    found.append(int(entry.name))
                    os.kill(found[-1], signal.SIGKILL)
        return found

    def systemctl(self, *arguments: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("/usr/bin/systemctl", *arguments, seconds=seconds)

    def time_limit(self, unit: str, job: str) -> float:
        """The seconds that a start or stop of a unit may take: ten more than its own limit, which is 90 if it has none.

        systemd's limit is not enough: a service may extend it as often as it likes (EXTEND_TIMEOUT_USEC).

        :param job: ``Start`` or ``Stop``.
        """
        shown = self.systemctl("show", "--value", f"--property=Timeout{job}USec", unit).stdout
        units = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}
        found = re.findall(r"(\d+)(us|ms|s|min|h|d)\b", shown)
        return 10 + (sum(int(number) * units[name] for number, name in found) or 90)

    def start(self, *units: str) -> subprocess.CompletedProcess[str]:
        """Enable units and start them; the last of them is the service."""
        return self.systemctl("enable", "--now", *units, seconds=self.time_limit(units[-1], "Start"))

    def stop(self, *units: str) -> None:
        """Stop units, the service first; it is killed if it does not stop within its own limit."""
        if self.systemctl("stop", *units, seconds=self.time_limit(units[0], "Stop")).returncode == TIMED_OUT:
            self.systemctl("kill", "--signal=KILL", units[0])
            self.systemctl("stop", *units, seconds=10)

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
                env=ROOT_ENVIRONMENT,
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
            with subprocess.Popen(
                step.command(unit, how, "--wait", "--collect"), env=ROOT_ENVIRONMENT, cwd="/"
            ) as process:
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
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ROOT_ENVIRONMENT,
            cwd="/",
        ) as process:  # fmt: skip
            # The newest come first. A single entry may be larger than all that is shown.
            shown = cast("IO[bytes]", process.stdout).read(MOST_OUTPUT).decode(errors="replace")
            process.kill()
        return printable("\n".join(reversed(shown.strip().splitlines())))

    def ask(self, sock: Path, host: str, path: str, seconds: float) -> Answer:
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
            return Answer(response.status, body, printable(response.getheader("Location") or ""))
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
