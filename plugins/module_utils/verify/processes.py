# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of the host: an app's code that somebody runs by hand, and programs that an update has replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..common.on_host import on_host
from ..common.text import line
from .expected import Expected
from .finding import Finding
from .look import Look
from .modes import account

LIMIT = 4096  # bytes of a command line
MAPS_LIMIT = 2**20  # bytes of the list of what a process has mapped
UNIT = re.compile(r"[^/]+\.(?:service|scope|socket)$")
# Control groups of containers: what runs there has a file system of its own.
CONTAINER = re.compile(r"/(?:docker|libpod|lxc|kubepods|machine\.slice|containerd)\b")
PYTHON = re.compile(r"python[\d.]*|pypy[\d.]*|uwsgi|gunicorn|flask|httpd|apache2")
REPLACED = re.compile(r"^\S+ ..x. \S+ \S+ [1-9]\d* +(/(?:usr/)?(?:s?bin|lib)\S*) \(deleted\)$", re.MULTILINE)


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it; all but the number and the account may be a lie of the program's.

    :ivar unit: the systemd unit that it runs in; "" for none.
    :ivar contained: it runs in a container.
    """

    pid: int
    uid: int
    argv: tuple[str, ...]
    exe: str
    cwd: str
    unit: str
    contained: bool


def processes(look: Look) -> list[Process]:
    """All that run now but for the kernel's own, the oldest first."""
    try:
        pids = sorted(int(name) for name in os.listdir(look.path("/proc")) if name.isdigit())
    except OSError:
        return []
    here = container_of(look.read("/proc/1/cgroup"))
    return [found for pid in pids if (found := process(pid, here, look)) is not None]


def process(pid: int, here: str, look: Look) -> Process | None:
    """One process; None of one that has ended, and of a thread of the kernel's.

    :param here: the control group of the host's own init, which is a container's where the host is one.
    """
    at = f"/proc/{pid}"
    argv = tuple(word for word in look.read(f"{at}/cmdline", LIMIT).split("\0") if word)
    if not argv:
        return None
    try:
        uid = os.stat(look.path(at)).st_uid
        exe, cwd = (os.readlink(look.path(f"{at}/{name}")) for name in ("exe", "cwd"))
    except OSError:
        return None
    status = re.search(r"^Uid:\s+\d+\s+(\d+)", look.read(f"{at}/status", LIMIT), re.MULTILINE)
    group = container_of(look.read(f"{at}/cgroup", LIMIT)).removeprefix(here)
    names = [part for part in group.split("/") if UNIT.match(part)]
    # The system's own, which is the first: those below are named by whoever has them, such as a user's own manager.
    unit = line(names[0]) if names else ""
    return Process(pid, int(status[1]) if status else uid, argv, exe, cwd, unit, bool(CONTAINER.search(group)))


def container_of(cgroups: str) -> str:
    """The control group of systemd's hierarchy."""
    rows = [row.split(":", 2) for row in cgroups.splitlines() if row.count(":") >= 2]
    return next((path for _number, name, path in rows if name in ("name=systemd", "")), "").removesuffix("/init.scope")


def by_hand(expected: Expected, look: Look) -> Iterator[Finding]:
    """The processes of an app's code that do not run as the app, or not in its units: they have no sandbox."""
    running, found = processes(look), 0
    for app in expected.apps:
        uid = account(app, look)
        for one in (one for one in running if not one.contained and uid is not None):
            if one.uid == uid and not is_of(app, one.unit):
                text = f"{described(one)} runs as {app} outside of its units, and so without its sandbox."
            elif one.uid != uid and is_code(app, one):
                text = f"{described(one)} is code of {app}, and runs as {name_of(one.uid, look)}."
            else:
                continue
            found += 1
            remedy = f"End it: `kill {one.pid}`; `{app} run …` runs a command as the app, in its sandbox."
            yield Finding("by_hand", app, "problem", text, remedy)
    if expected.apps and not found:
        yield Finding("by_hand", "host", "ok", "The code of the apps runs in their units alone.")


def is_of(app: str, unit: str) -> bool:
    """Whether a unit is one of the app's, or runs a step for it."""
    return unit.startswith((f"{app}@", f"{app}.", f"groundwork-release@{app}.", "groundwork-"))


def is_code(app: str, one: Process) -> bool:
    """Whether a process executes what lies below the app's home: not one that only names a file there."""
    home = f"{on_host('home', app)}/"
    if is_of(app, one.unit):
        return False
    interpreted = PYTHON.fullmatch(os.path.basename(one.exe)) is not None
    program = one.exe.startswith(home) or one.argv[0].startswith(home)
    script = interpreted and any(word.startswith(home) for word in one.argv[1:3])
    inside = interpreted and f"{one.cwd}/".startswith(home)
    return program or script or inside


def described(one: Process) -> str:
    """A process for a message."""
    unit = f", {one.unit}" if one.unit else ""
    return f"`{line(' '.join(one.argv), 120)}` (pid {one.pid}{unit})"


def name_of(uid: int, look: Look) -> str:
    """The name of an account; its number where it has none."""
    rows = (row.split(":") for row in look.read("/etc/passwd").splitlines())
    return next((row[0] for row in rows if len(row) > 2 and row[2] == str(uid)), str(uid))


def outdated(running: Iterable[Process], look: Look) -> dict[str, list[str]]:
    """The units that run programs or libraries which an update has replaced, with what was replaced."""
    found: dict[str, list[str]] = {}
    for one in running:
        if not one.contained and (files := REPLACED.findall(look.read(f"/proc/{one.pid}/maps", MAPS_LIMIT))):
            name = one.unit or f"pid {one.pid} ({line(os.path.basename(one.argv[0]), 40)})"
            found[name] = sorted({*found.get(name, []), *(line(file) for file in files)})
    return found
