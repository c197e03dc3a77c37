# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit files of a release's processes, which the engine writes: root's, one for each that runs.

A process has the sandbox that the unit of the app's server states, so the two see the same. What each file says follows
from ``release.json``, so one that is missing is written anew, whatever ``flask_apps`` says by then.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.files import make_parents, write
from . import process_kinds, sandbox
from .context import Context
from .errors import ReleaseError
from .layout import Layout
from .process_kinds import KINDS
from .spec import Spec
from .units import ReleaseUnits, Unit, web_service

NAME = re.compile(r"[a-z][a-z0-9_-]*")
NAME_LIMIT = 255  # characters of a unit's name
STOP_TIMEOUT = 600
MARK = "# Written by groundwork.flask"
# bash takes the place of itself with the last program of a command, so that the signals of systemd reach that program;
# dash, which is Debian's sh, would stay between, end at once, and have systemd kill the worker at its job.
COMMAND = """#!/bin/sh
cd "$GROUNDWORK_DIRECTORY" || exit
exec /bin/bash -c {command}
"""
# What a process or a job works with ends after it when the host goes down, so that it can say what it has done.
AFTER = """After=network.target {app}.redis.service {app}.redis-cache.service
After={app}.pooler.socket postgresql.service mariadb.service"""
UNIT = """{mark} for release {release}, which has it; what is changed here is lost.
[Unit]
Description={app}, process {process} of release {release}
{after}
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={directory}/processes/{process}
WorkingDirectory={directory}/code
EnvironmentFile={directory}/env
User={app}
Group={app}
SyslogIdentifier={app}.{process}

Restart=always
RestartSec=1
KillMode=mixed
KillSignal={signal}
TimeoutStopSec={seconds}
OOMPolicy=continue

{sandbox}

[Install]
WantedBy=multi-user.target
"""
SHELLS = re.compile(r"(ba|da|)sh|busybox")


def release_units(spec: Spec, release: str) -> ReleaseUnits:
    """The units of a release that is built.

    :raises ReleaseError: the specification names a process that cannot be.
    """
    app, found = spec.name, [*ReleaseUnits.web_only(spec.name, release).units]
    for name, one in spec.processes.items():
        count, kind, seconds = int(one.get("count") or 1), kind_of(one), int(one.get("stop_timeout") or STOP_TIMEOUT)
        if problem := problem_of(app, release, name, one, kind):
            raise ReleaseError("processes", f"process {name!r}: {problem}")
        for number in range(1, count + 1):
            unit = f"{app}.{name}{f'.{number}' if number > 1 else ''}@{release}.service"
            found.append(Unit(unit, "process", name, kind, seconds))
    return ReleaseUnits.ordered(found)


def kind_of(process: Mapping[str, Any]) -> str:
    """The library of a process, by default that of its command."""
    return str(process.get("kind") or process_kinds.kind_of(str(process.get("command") or "")))


def problem_of(app: str, release: str, name: str, process: Mapping[str, Any], kind: str) -> str:
    """What is wrong with a process; "" if nothing is."""
    if not NAME.fullmatch(name):
        return "that cannot be a name: use a-z, 0-9, - and _, beginning with a letter"
    if len(f"{app}.{name}.{process.get('count') or 1}@{release}.service") > NAME_LIMIT:
        return f"the name of its unit would be longer than the {NAME_LIMIT} characters that systemd takes"
    if not str(process.get("command") or "").strip():
        return "its command is empty: write it as `command: rq worker`"
    if kind not in KINDS:
        return f"{kind!r} is no kind of process: it is one of {', '.join(KINDS)}"
    return ""


def command_files(processes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The files of a release that start its processes, by path."""
    return {
        f"processes/{name}": COMMAND.format(command=shlex.quote(str(one["command"]))) for name, one in processes.items()
    }


def check_packages(processes: Mapping[str, Mapping[str, Any]], packages: Sequence[str]) -> None:
    """Refuse a process whose library the release does not have.

    :param packages: those that are installed, as ``rq==3.0.0``.
    :raises ReleaseError: naming the first one.
    """
    installed = {one.partition("==")[0].lower() for one in packages}
    for name, one in processes.items():
        package = KINDS[kind_of(one)].package
        if package and package not in installed:
            raise ReleaseError(
                "install",
                f"process {name!r} is of kind {kind_of(one)}, and the package {package} is not among those that were "
                f"installed: add it to the app's requirements, or write `requirements: [{package}]`",
            )


class ProcessUnits:
    """Writes and removes the unit files of an app's processes."""

    def __init__(self, context: Context) -> None:
        self.context, self.at, self.system = context, context.at, context.system

    def wanted(self, release: str) -> dict[Path, str]:
        """What the unit files of a release say.

        :raises ReleaseError: the unit of the app's server is not on the host.
        """
        units = [unit for unit in ReleaseUnits.of(self.at, release).units if unit.process]
        if not units:
            return {}
        server = web_service(self.at.app, release)
        shown = self.system.systemctl("cat", server)
        if shown.returncode:
            raise ReleaseError("start", f"the unit {server} is not on this host: run groundwork.flask.site first")
        confined = "\n".join(f"{name}={value}" for name, value in sandbox.for_process(shown.stdout, release))
        return {self.at.units / unit.name: text(self.at, release, unit, confined) for unit in units}

    def write(self, release: str) -> bool:
        """Write the unit files of a release that are missing or say something else; whether there were such.

        systemd may not have read what a run wrote that was killed; :meth:`load` has it do so.
        """
        changed = False
        for path, wanted in self.wanted(release).items():
            if content(path) != wanted:
                make_parents(path)
                write(path, wanted, 0o644)
                changed = True
        return changed

    def load(self, release: str) -> None:
        """Write the unit files of a release, if it has any, and have systemd read them."""
        if any(unit.process for unit in ReleaseUnits.of(self.at, release).units):
            self.write(release)
            self.system.systemctl("daemon-reload")

    def files(self) -> list[Path]:
        """The unit files of all releases of the app."""
        return [path for path in self.at.units.glob(f"{self.at.app}.*@*.service") if content(path).startswith(MARK)]

    def orphans(self) -> list[Path]:
        """Those of releases that are gone."""
        return [path for path in self.files() if not self.at.is_complete(release_of(path.name))]

    def sweep(self) -> None:
        """Remove the unit files of releases that are gone."""
        for path in self.orphans():
            path.unlink(missing_ok=True)

    def is_settled(self, live: str | None) -> bool:
        """Whether the unit files of the live release are as they should be, and there are none of releases gone."""
        wanted = self.wanted(live) if live else {}
        return not self.orphans() and all(content(path) == text for path, text in wanted.items())

    def warnings(self, release: str) -> list[str]:
        """The processes of which a shell stands between systemd and the worker."""
        units = {unit.process: unit.name for unit in ReleaseUnits.of(self.at, release).units if unit.process}
        return [
            f"the command of process {process!r} runs below a shell, which ends at once when it is told to end, and "
            "the worker is killed then instead of finishing its job: write `exec` before "
            "the worker's program, and no pipe behind it"
            for process, unit in units.items()
            if SHELLS.fullmatch(self.system.main_program(unit))
        ]


def text(at: Layout, release: str, unit: Unit, confined: str) -> str:
    """What the unit file of a process says."""
    return UNIT.format(
        mark=MARK,
        app=at.app,
        after=AFTER.format(app=at.app),
        release=release,
        directory=Path("/") / at.release(release).relative_to(at.root),
        process=unit.process,
        signal=KINDS[unit.library].signal,
        seconds=unit.stop_timeout,
        sandbox=confined,
    )


def content(path: Path) -> str:
    """A file's content; "" of one that is not there, or is not root's own file."""
    return "" if path.is_symlink() or not path.is_file() else path.read_text(errors="replace")


def release_of(unit: str) -> str:
    """The release in a unit's name."""
    return unit.partition("@")[2].rpartition(".")[0]


def shown(units: Iterable[Unit], states: Mapping[str, str]) -> str:
    """How many processes run, and which, as in ``3 of 3 run: worker (2), clock``; "" where there are none."""
    states_of: dict[str, list[str]] = {}
    for unit in units:
        if unit.kind == "process":
            states_of.setdefault(unit.process or unit.name, []).append(states.get(unit.name, "unknown"))
    every = [state for found in states_of.values() for state in found]
    names = ", ".join(f"{name} ({len(found)})" if len(found) > 1 else name for name, found in states_of.items())
    return f"{every.count('active')} of {len(every)} run: {names}" if every else ""


def down(app: str, states: Mapping[str, str]) -> list[str]:
    """A warning of the processes that do not run; none where all do, or finish a job before they start again."""
    names = [f"{name} is {state}" for name, state in states.items() if state not in ("active", "deactivating")]
    return [f"not every process runs: {', '.join(names)}; `{app} logs` says why"] if names else []
