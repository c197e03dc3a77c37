# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit files of an app's jobs: a timer and a service for each, which belong to the app and not to a release.

The service names ``current``, which systemd resolves at each start: a run that a switch overtakes ends on the code that
it began with, and the next one has the new code. A service that runs is not started a second time, so runs never
overlap; the timer starts the next one when it has ended, and what was missed meanwhile once.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.files import read_json
from ..common.on_host import on_host, path
from . import sandbox
from .context import Context
from .errors import ReleaseError
from .layout import Layout
from .process_units import AFTER, COMMAND
from .schedules import SCHEDULE
from .units import web_service

Job = Mapping[str, Any]
NAME = re.compile(r"[a-z][a-z0-9_-]{0,29}")
TIMEOUT, STOP_SECONDS = 3600, 30
WATCH = "groundwork-failed@%n.service"  # of the role watch; a host without it has a line of systemd's in its journal
# The first line of each file; another file of such a name is not an app's job.
MARK = "# A job of the app {app}, written by groundwork.flask; what is changed here is lost."
# Type=exec, not oneshot: one that runs for an hour would leave the boot unfinished for as long.
SERVICE = """{mark}
[Unit]
Description={app}, job {job}
{after}
StartLimitIntervalSec=0
OnFailure={on_failure}

[Service]
Type=exec
ExecStart={current}/jobs/{job}
WorkingDirectory={current}/code
EnvironmentFile={current}/env
{direct}User={app}
Group={app}
SyslogIdentifier={app}.{job}

Restart=no
RuntimeMaxSec={timeout}
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec={stop}

{sandbox}
"""
TIMER = """{mark}
[Unit]
Description={app}, schedule of the job {job}
ConditionPathExists=!{maintenance}

[Timer]
OnCalendar={schedule}
Persistent=yes
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def problem_of(job: str, one: Job) -> str:
    """What is wrong with a job, but for its schedule's meaning; "" if nothing is."""
    if not NAME.fullmatch(job):
        return "that cannot be a name: use at most 30 of a-z, 0-9, - and _, beginning with a letter"
    if not str(one.get("command") or "").strip():
        return "its command is empty: write it as `command: flask report`"
    if not SCHEDULE.fullmatch(str(one.get("schedule") or "")):
        return f"{one.get('schedule')!r} is no schedule: write it as `*-*-* 03:00`"
    return ""


def command_files(jobs: Mapping[str, Job]) -> dict[str, str]:
    """The files of a release that its jobs execute, by path."""
    return {f"jobs/{name}": COMMAND.format(command=shlex.quote(str(one["command"]))) for name, one in jobs.items()}


def on_failure(root: Path) -> str:
    """The unit that the operator wants to be started when a job of any app fails; "" for none."""
    return str(read_json(path("configuration", root=root) / "jobs.json").get("on_failure", ""))


def confined(context: Context, release: str) -> str:
    """The sandbox of the app's jobs, which is that of its processes.

    :raises ReleaseError: the unit of the app's server is not on the host.
    """
    server = web_service(context.app, release)
    shown = context.system.systemctl("cat", server)
    if shown.returncode:
        raise ReleaseError("switch", f"the unit {server} is not on this host: run groundwork.flask.site first")
    return "\n".join(f"{name}={value}" for name, value in sandbox.for_process(shown.stdout, "current"))


def service(at: Layout, job: str, one: Job, sandbox_of_app: str) -> str:
    """What the file of a job's service says."""
    current = on_host("current", at.app)
    alerts = " ".join(filter(None, (WATCH, on_failure(at.root))))
    return SERVICE.format(
        mark=MARK.format(app=at.app),
        app=at.app,
        after=AFTER.format(app=at.app),
        job=job,
        on_failure=alerts,
        current=current,
        direct="" if one.get("pool", True) else f"EnvironmentFile=-{current}/env.direct\n",
        timeout=int(one.get("timeout") or TIMEOUT),
        stop=STOP_SECONDS,
        sandbox=sandbox_of_app,
    )


def timer(at: Layout, job: str, one: Job) -> str:
    """What the file of a job's timer says."""
    return TIMER.format(
        mark=MARK.format(app=at.app),
        app=at.app,
        job=job,
        maintenance=on_host("maintenance", at.app),
        schedule=one["schedule"],
    )


def is_own(file: Path, app: str) -> bool:
    """Whether a file is the unit of a job of an app."""
    if "@" in file.name or file.is_symlink() or not file.is_file():
        return False
    with file.open(errors="replace") as stream:
        return stream.readline(200).rstrip("\n") == MARK.format(app=app)
