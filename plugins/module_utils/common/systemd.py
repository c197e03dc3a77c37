# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd: systemctl with time limits, transient units, and the sandbox that a unit file states.

A command that acts for another account runs in a transient unit (:class:`TransientUnit`) with the sandbox of that
account's own unit (:func:`service_directives`, :data:`LIFECYCLE`).
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import programs
from .programs import ENVIRONMENT

SYSTEMCTL, SYSTEMD_RUN, JOURNALCTL = "/usr/bin/systemctl", "/usr/bin/systemd-run", "/usr/bin/journalctl"
TIMED_OUT = 124  # the exit status that timeout(1) uses
STOP_GRACE = 10  # seconds beyond a unit's own time limit
DEFAULT_TIMEOUT = 90  # seconds, systemd's own default for starting and stopping
SYNC_SECONDS = 5  # that journald may take to read what was logged
# Runs the argument vector that it is given in hexadecimal; in one expression, without ; and $.
EXECUTE = (
    "(lambda words: __import__('os').execv(words[0], words))(bytes.fromhex(__import__('sys').argv[1]).split(bytes(1)))"
)

Directives = list[tuple[str, str]]

# What a program can do without that computes, and reads and writes files; what it may be and reach says the caller.
HARDENED: Directives = [
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateTmp", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectSystem", "strict"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@privileged @resources"),
    ("SystemCallErrorNumber", "EPERM"),
    ("UMask", "0077"),
]

# Directives about how a unit starts, stops and is supervised, and about the account it runs as. A transient unit states
# its own; the other directives of [Service] say what the processes of the unit may do.
LIFECYCLE = re.compile(
    r"Type|NotifyAccess|Exec(Start|Stop|Reload|Condition).*|Restart.*|Timeout.*|Kill.*|SendSIG.*|FinalKillSignal|OOMPolicy"
    r"|Watchdog.*|RuntimeMaxSec|RuntimeDirectory.*|RemainAfterExit|GuessMainPID|PIDFile|Sockets|FileDescriptor.*"
    r"|Standard(Input|Output|Error).*|TTY.*|User|Group|Slice"
)


def service_directives(text: str, instance: str) -> Directives:
    """Read the ``[Service]`` directives of a unit, in order; later ones override or extend earlier ones.

    :param text: the unit file with its drop-ins, as ``systemctl cat`` prints them.
    :param instance: what ``%i`` stands for.
    """
    found: Directives = []
    section = ""
    # A comment line does not continue on the next line, and may stand between lines that do.
    without_comments = re.sub(r"^[ \t]*[#;].*\n?", "", text, flags=re.MULTILINE)
    for raw in re.sub(r"\\\n", " ", without_comments).splitlines():
        row = raw.strip()
        if match := re.fullmatch(r"\[(.+)\]", row):
            section = match[1]
        elif section == "Service" and "=" in row:
            name, _equals, value = (part.strip() for part in row.partition("="))
            found.append((name, value.replace("%i", instance)))
    return found


def sandbox(text: str, instance: str, without: re.Pattern[str] | None = None) -> Directives:
    """What the processes of a unit may do: its ``[Service]`` directives but for those in :data:`LIFECYCLE`.

    :param text: see :func:`service_directives`.
    :param instance: what ``%i`` stands for.
    :param without: names of further directives to leave out.
    """
    return [
        (name, value)
        for name, value in service_directives(text, instance)
        if not LIFECYCLE.fullmatch(name) and not (without and without.fullmatch(name))
    ]


def plain_argv(argv: Sequence[str]) -> list[str]:
    """An argument vector that runs another one, and has neither ``$`` nor ``;`` in it; the same where that has none.

    systemd expands ``$NAME``, and has a transient unit in a file, with a backslash before each ``$`` and ``;``. When a
    daemon-reload comes between the unit's creation and its start, as other apps' deploys cause it, systemd reads that
    file, and leaves the backslashes in.
    """
    if not any(character in word for word in argv for character in "$;"):
        return list(argv)
    return ["/usr/bin/python3", "-I", "-c", EXECUTE, b"\0".join(map(os.fsencode, argv)).hex()]


@dataclass(frozen=True)
class TransientUnit:
    """A command that ``systemd-run`` runs in a unit of its own.

    :ivar name: the unit's name, ``….service``; systemd refuses a second unit of that name while the first one runs.
    :ivar description: shown by ``systemctl status``.
    :ivar argv: the argument vector of the command.
    :ivar properties: its directives, in order.
    """

    name: str
    description: str
    argv: Sequence[str]
    properties: Sequence[tuple[str, str]] = ()

    def command(self, *options: str) -> list[str]:
        """The argument vector that starts it.

        :param options: further options of ``systemd-run``, such as ``--pipe`` and ``--wait``.
        """
        properties = [word for name, value in self.properties for word in ("-p", f"{name}={value}")]
        head = [SYSTEMD_RUN, "--quiet", f"--unit={self.name}", f"--description={self.description}"]
        return [*head, *options, *properties, "--", *plain_argv(self.argv)]


def sync_journals(*namespaces: str, seconds: float = SYNC_SECONDS) -> None:
    """Wait until journald has read what was logged until now: it may not have the last words of a unit that has ended.

    :param namespaces: "" for the host's own journal.
    """
    for name in namespaces:
        which = (f"--namespace={name}",) if name else ()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            programs.run((JOURNALCTL, *which, "--sync"), seconds=seconds)


def runtime_limit(seconds: float) -> tuple[str, str]:
    """The directive after which systemd ends a unit with all its processes; ``math.inf`` for no limit."""
    return ("RuntimeMaxSec", f"{seconds:g}" if seconds < math.inf else "infinity")


class Systemd:
    """systemctl, with a time limit on whatever may take long."""

    def run(
        self, *argv: str, environment: Mapping[str, str] = ENVIRONMENT, seconds: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as root and return its exit status and output.

        :param argv: the argument vector; the program is named by its path.
        :param environment: all of its environment variables.
        :param seconds: the time limit; after it the program is ended, and its exit status is :data:`TIMED_OUT`.
        """
        try:
            return programs.run(argv, seconds=seconds, environment=environment)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, TIMED_OUT, "", f"it took more than {seconds:.0f} s, and was ended")

    def systemctl(self, *arguments: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        """Run systemctl; see :meth:`run`."""
        return self.run(SYSTEMCTL, *arguments, seconds=seconds)

    def time_limit(self, unit: str, job: str) -> float:
        """The seconds to wait for a unit to start or stop: :data:`STOP_GRACE` more than the unit's own limit.

        systemd's limit alone does not bound it: a service may extend it again and again (EXTEND_TIMEOUT_USEC).

        :param job: ``Start`` or ``Stop``.
        """
        shown = self.systemctl("show", "--value", f"--property=Timeout{job}USec", unit).stdout
        units = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400}
        found = re.findall(r"(\d+)(us|ms|s|min|h|d)\b", shown)
        return STOP_GRACE + (sum(int(number) * units[name] for number, name in found) or DEFAULT_TIMEOUT)

    def start(self, *units: str, enable: bool = True, wait: bool = True) -> subprocess.CompletedProcess[str]:
        """Start units; the time limit is that of the last one.

        :param enable: have a boot start them too.
        :param wait: until they have started; without, a unit that is about to end starts after that.
        """
        verb = (*(("enable", "--now") if enable else ("start",)), *(() if wait else ("--no-block",)))
        return self.systemctl(*verb, *units, seconds=self.time_limit(units[-1], "Start"))

    def stop(self, *units: str) -> None:
        """Stop units; the first one is killed if it does not stop within its time limit."""
        if self.systemctl("stop", *units, seconds=self.time_limit(units[0], "Stop")).returncode == TIMED_OUT:
            self.systemctl("kill", "--signal=KILL", units[0])
            self.systemctl("stop", *units, seconds=STOP_GRACE)

    def states(self, *units: str) -> dict[str, str]:
        """The state of each unit: active, activating, deactivating, inactive, failed, …."""
        shown = self.systemctl("show", "--value", "--property=ActiveState", *units).stdout.split()
        return dict(zip(units, shown, strict=False))

    def is_active(self, *units: str) -> bool:
        """Whether every unit is active."""
        shown = self.systemctl("show", "--value", "--property=ActiveState", *units)
        return shown.stdout.split() == ["active"] * len(units)

    def number(self, unit: str, prop: str) -> int:
        """A property of a unit that is a number; 0 where it is not set."""
        shown = self.systemctl("show", "--value", f"--property={prop}", unit).stdout.strip()
        return int(shown) if shown.isdigit() else 0

    def restarts(self, unit: str) -> int:
        """How often systemd has restarted the unit since it was started."""
        return self.number(unit, "NRestarts")

    def main_program(self, unit: str) -> str:
        """The name of the program that a unit's main process runs; "" where there is none."""
        main = self.number(unit, "MainPID")
        try:
            return os.path.basename(os.readlink(f"/proc/{main}/exe")) if main else ""
        except OSError:
            return ""

    def processes(self, unit: str) -> set[int]:
        """The process ids of a unit's main process and of its children."""
        main = self.number(unit, "MainPID")
        if not main:
            return set()
        try:
            children = Path(f"/proc/{main}/task/{main}/children").read_text()
        except OSError:
            return set()
        return {main, *map(int, children.split())}
