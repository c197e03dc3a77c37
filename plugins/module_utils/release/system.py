# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine asks of the host: systemd, the processes of an app, its journal and its sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import IO, cast

from ..common.files import make_directory, write
from ..common.on_host import on_host
from ..common.ownership import Ownership
from ..common.programs import ENVIRONMENT
from ..common.systemd import JOURNALCTL, TIMED_OUT, Systemd
from ..common.text import printable
from . import socket_queue
from .deploy_log import DeployLog
from .environment import env_file
from .errors import ReleaseError, tail
from .hold import Hold
from .steps import OUTPUT_LIMIT, Step, end_of, environment_file
from .unix_http import Response, ask

SYNC_SECONDS = 10.0  # that the journal may take to write what it was sent: an app can keep it busy
DRAIN_SECONDS = 0.5  # in which a server accepts what is in its socket's queue, unless it or the host is busy
DRAIN_LIMIT = 10.0  # seconds; longer than that, a server that hangs is not waited for


def engine_program(module: str, function: str, *arguments: str) -> tuple[str, ...]:
    """The argument vector that calls a function of the engine that the role ``release`` has put on the host.

    What an app could put into Python's way does not count (-I).

    :param module: one of this package.
    :param arguments: what the function finds in ``sys.argv[1:]``.
    """
    # One expression without a semicolon, which systemd would escape in the unit that it writes (common/systemd.py).
    code = (
        f"__import__('sys').path.insert(0, '{on_host('packages')}') or "
        f"__import__('importlib').import_module('groundwork_release.release.{module}').{function}()"
    )
    return ("/usr/bin/python3", "-I", "-c", code, *arguments)


@dataclass
class System(Systemd):
    """systemd, the processes of an app, and its sockets.

    :ivar engine: the unit that the engine runs in, if it runs in one; its steps end with it.
    :ivar log: where the lines of a run go beside what is reported to the operator.
    """

    engine: str = ""
    log: DeployLog = field(default_factory=DeployLog)
    _steps: int = 0

    def ownership(self, app: str, root: Path = Path("/")) -> Ownership:
        """What has the app's name on this host, and what of it is the app's."""
        return Ownership.of(app, root)

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
        make_directory(path.parent, 0o700)
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
                    output = end_of(process, self.log.output(step.name))
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

    def await_caller(self, notices: Sequence[str]) -> None:
        """Tell whoever asked for this run that everything is stopped, and wait until they let go of its stdin."""
        sys.stdout.write(json.dumps({"notices": list(notices)}) + "\n")
        sys.stdout.flush()
        while sys.stdin.read(OUTPUT_LIMIT):
            pass

    def status(self, text: str) -> None:
        """Report the current step to systemd, for ``systemctl status`` and for runs that wait."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, suppress(OSError):
                sock.sendto(f"STATUS={text}".encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)

    # --- what runs ----------------------------------------

    def sync_journal(self, app: str) -> None:
        """Have journald write what was said so far in an app's namespace, and by systemd of the app's units."""
        for namespace in ((f"--namespace={app}",), ()):
            self.run(JOURNALCTL, *namespace, "--sync", seconds=SYNC_SECONDS)

    def journal(self, app: str, unit: str, since: float) -> str:
        """The end of a unit's journal, systemd's own messages about it included.

        journald reads a line some time after it was written, on a busy host when the process that wrote it has ended
        already; its last lines tell most.
        """
        self.sync_journal(app)
        which = (f"--namespace=+{app}", f"--unit={unit}", f"--since=@{int(since)}")
        command = (JOURNALCTL, *which, "--reverse", "--lines=200", "--output=cat")
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
            cwd="/",
        ) as process:  # fmt: skip
            # The newest come first. A single entry may be larger than all that is shown.
            shown = cast(IO[bytes], process.stdout).read(OUTPUT_LIMIT).decode(errors="replace")
            process.kill()
        return printable("\n".join(reversed(shown.strip().splitlines())))

    def ask(self, sock: Path, host: str, path: str, seconds: float) -> Response:
        """GET a path through the socket of a release; see :func:`.unix_http.ask`."""
        return ask(sock, host, path, seconds)

    def hold(self, sock: Path) -> Hold | None:
        """Hold the visitors that come to a socket; None when there is no socket that they could come to."""
        if not sock.is_socket():
            return None
        found = Hold(sock)
        found.begin()
        self.drain(sock)
        return found

    def drain(self, sock: Path) -> None:
        """Wait until a server has accepted who is in its socket's queue; whoever comes now goes elsewhere."""
        self.sleep(DRAIN_SECONDS)
        until = monotonic() + DRAIN_LIMIT
        while socket_queue.length(sock) and monotonic() < until:
            self.sleep(0.1)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        sleep(seconds)
