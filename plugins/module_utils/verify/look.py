# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as the checks see it: files, processes and programs, each read once, bounded in size and in time."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ..common import clock, programs
from ..common.paths import regular
from ..common.systemd import SYSTEMCTL
from ..common.text import line

# All times are shown in UTC.
ENVIRONMENT = {**programs.ENVIRONMENT, "TZ": "UTC"}
SECONDS = 10.0  # that one program may take, by default
READ_LIMIT = 2**20  # bytes of one file
# What is asked of each unit; in one call for all of them.
PROPERTIES = (
    "Id,Type,LoadState,ActiveState,UnitFileState,NeedDaemonReload,FragmentPath,DropInPaths,Result,ExecMainStatus,"
    "ExecMainStartTimestamp,ExecMainExitTimestamp,ActiveEnterTimestamp,NextElapseUSecRealtime,LastTriggerUSec,"
    "NRestarts,MainPID,MemoryCurrent,ControlGroup,StatusText"
)
TICKS = os.sysconf("SC_CLK_TCK")
Runner = Callable[..., "subprocess.CompletedProcess[str]"]


class UncheckedError(Exception):
    """Something could not be looked at; the message says why, and becomes a finding."""


class Look:
    """A host.

    :param root: its file system; / but in tests.
    :param run: runs a program, as ``common/programs.py`` does; another one in tests.
    :param seconds: that a program may take which has no limit of its own.
    """

    def __init__(self, root: Path = Path("/"), run: Runner = programs.run, seconds: float = SECONDS) -> None:
        self.root, self._run, self._seconds = root, run, seconds
        self._units: dict[str, dict[str, str]] = {}
        self._objects: dict[str, dict[str, Any]] = {}
        self._ran: dict[tuple[str, ...], subprocess.CompletedProcess[str]] = {}
        self.now = clock.now()

    def path(self, path: str) -> Path:
        """An absolute path of the host."""
        return self.root / path.lstrip("/")

    def run(self, *argv: str, seconds: float = 0.0) -> subprocess.CompletedProcess[str]:
        """Run a program as root, once for all who ask; its exit status and output.

        :param seconds: a limit of its own.
        :raises UncheckedError: it is not there, or took too long.
        """
        seconds = seconds or self._seconds
        try:
            if argv not in self._ran:
                self._ran[argv] = self._run(argv, seconds=seconds, environment=ENVIRONMENT)
            return self._ran[argv]
        except FileNotFoundError:
            raise UncheckedError(f"{argv[0]} is not on this host") from None
        except subprocess.TimeoutExpired:
            raise UncheckedError(f"`{' '.join(argv[:4])}` took more than {seconds:.0f} s") from None
        except OSError as error:
            raise UncheckedError(f"{argv[0]} could not be run: {error.strerror}") from error

    def has(self, program: str) -> bool:
        """Whether a program is installed."""
        return os.access(self.path(program), os.X_OK)

    def read(self, path: str, limit: int = READ_LIMIT) -> str:
        """The beginning of a regular file of root's; empty where there is none. A FIFO does not block this."""
        try:
            descriptor = regular(os.open(self.path(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), path)
        except OSError:
            return ""
        with open(descriptor, "rb") as stream:
            return stream.read(limit).decode(errors="replace")

    def json(self, path: str) -> dict[str, Any]:
        """The object in a file of root's; empty where there is none, or it is none."""
        if path not in self._objects:
            try:
                found = json.loads(self.read(path))
            except ValueError:
                found = {}
            self._objects[path] = found if isinstance(found, dict) else {}
        return self._objects[path]

    def units(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """What systemd says of units, by the names that were asked for; those that are not known yet in one call."""
        wanted = list(dict.fromkeys(names))
        if unknown := [name for name in wanted if name not in self._units]:
            shown = self.run(SYSTEMCTL, "show", f"--property={PROPERTIES}", "--", *unknown)
            if shown.returncode:
                raise UncheckedError(f"systemctl show: {line(shown.stderr)}")
            blocks = shown.stdout.strip("\n").split("\n\n")
            self._units |= {name: properties(block) for name, block in zip(unknown, blocks, strict=False)}
        return {name: self._units.get(name, {}) for name in wanted}

    @cached_property
    def boot(self) -> float:
        """When the host was started."""
        words = self.read("/proc/stat").partition("\nbtime ")[2].split()
        return float(words[0]) if words else 0.0


def properties(block: str) -> dict[str, str]:
    """One block of ``systemctl show``."""
    return dict(row.split("=", 1) for row in block.splitlines() if "=" in row)


def seconds(shown: str) -> float:
    """A time as systemctl shows it in UTC, such as ``Tue 2026-12-01 02:37:13 UTC``; 0 for none."""
    words = shown.split()
    return clock.parse(f"{words[1]}T{words[2]}") if len(words) >= 3 else 0.0


def number(found: Mapping[str, str], name: str) -> int:
    """A property that is a number; 0 where it is not set."""
    value = found.get(name, "")
    # systemd shows an unset number as the highest one.
    return int(value) if value.isdigit() and int(value) < 2**63 else 0


def started_at(pid: str, look: Look) -> float:
    """When a process was started."""
    fields = look.read(f"/proc/{pid}/stat", 4096).rpartition(")")[2].split()
    return look.boot + int(fields[19]) / TICKS if len(fields) > 19 and look.boot else 0.0
