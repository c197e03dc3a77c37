# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs of each app, by one ``systemctl show`` for all units that matter, and which units have failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from ..common.on_host import on_host, path
from ..common.systemd import SYSTEMCTL
from ..common.text import line
from ..release.layout import Layout
from ..verify.look import Look as Host
from ..verify.look import number, seconds
from ..verify.parts import ReleaseParts
from .records import App, Job, Unit

Shown = Mapping[str, Mapping[str, str]]

BUSY = ("active", "activating", "deactivating", "reloading")
# What an engine starts is told by the engine; what a program of ours starts beside itself, by that.
STEPS = re.compile(r"groundwork-(release|watch)@.*|groundwork-.*-step-.*|groundwork-failed@.*|groundwork-alerts.*")
INSTANCES = {"queue": "redis", "cache": "redis-cache"}
LOOK = "groundwork-watch.timer"
SHIPPERS = "groundwork-ship@"
PROXIES = ("nginx.service", "apache2.service")
LATE = 600.0  # seconds after which a timer that has not elapsed has missed its run
CGROUPS = "/sys/fs/cgroup"
# Servers whose workers are the children of the unit's main process.
COUNTED = ("gunicorn", "uwsgi")


@dataclass
class Running:
    """What systemd says.

    :ivar parts: what each app consists of.
    :ivar shown: the properties of each unit that was asked for.
    :ivar deploying: the apps with an engine at work.
    :ivar still: the apps in maintenance, or stopped by the engine.
    :ivar failed: the units of the host that have failed, but for steps of an engine.
    """

    parts: dict[str, ReleaseParts] = field(default_factory=dict)
    shown: dict[str, dict[str, str]] = field(default_factory=dict)
    deploying: set[str] = field(default_factory=set)
    still: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)

    def is_active(self, unit: str) -> bool:
        """Whether a unit runs."""
        return self.shown.get(unit, {}).get("ActiveState") == "active"


def read(apps: Iterable[str], more: Iterable[str], host: Host) -> Running:
    """Ask systemd.

    :param more: further units to ask for.
    :raises UncheckedError: it does not answer.
    """
    found = Running({app: ReleaseParts.of(app, host) for app in apps})
    names = {app: [*parts.names, engine(app), *redis(app, host)] for app, parts in found.parts.items()}
    found.shown = host.units(
        [*chain.from_iterable(names.values()), *PROXIES, *own_timers(host), *shippers(host), *more]
    )
    found.deploying = {app for app in names if found.shown[engine(app)].get("ActiveState") in BUSY}
    found.still = {app for app in names if is_still(app, host)}
    listed = host.run(SYSTEMCTL, "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "--full")
    units = [row.split()[0] for row in listed.stdout.splitlines() if row.split()]
    found.failed = [line(unit) for unit in units if not STEPS.fullmatch(unit)]
    return found


def unanswered(apps: Iterable[str], host: Host) -> Running:
    """What is known where systemd does not answer."""
    return Running(
        {app: ReleaseParts.of(app, host) for app in apps}, still={app for app in apps if is_still(app, host)}
    )


def is_lasting(name: str, shown: Shown) -> bool:
    """Whether a unit has a file of its own, and is no step of something that tells of its failure itself."""
    there = shown.get(name, {})
    is_transient = there.get("FragmentPath", "").startswith("/run/systemd/transient")
    return there.get("LoadState") == "loaded" and not is_transient and not STEPS.fullmatch(name)


def stopped_proxy(shown: Shown) -> str:
    """The web server that should run and does not; "" for none."""
    for unit in PROXIES:
        there = shown.get(unit, {})
        is_wanted = there.get("UnitFileState") == "enabled" and there.get("LoadState") == "loaded"
        if is_wanted and there.get("ActiveState") not in ("active", "reloading"):
            return unit
    return ""


def engine(app: str) -> str:
    """The unit in which the release engine works on an app."""
    return f"groundwork-release@{app}.service"


def redis(app: str, host: Host) -> list[str]:
    """The units of an app's Redis."""
    noted = host.json(f"{on_host('services', app)}/redis.json")
    return [f"{app}.{INSTANCES[purpose]}.service" for purpose in noted if purpose in INSTANCES]


def own_timers(host: Host) -> list[str]:
    """The timers of ours that a boot starts, but for that of the look: without it nothing is told, but by the ping."""
    wants = host.path("/etc/systemd/system/timers.target.wants")
    return sorted(link.name for link in wants.glob("groundwork-*.timer") if link.name != LOOK)


def shippers(host: Host) -> list[str]:
    """The units that ship journals."""
    wants = host.path("/etc/systemd/system/multi-user.target.wants")
    return sorted(link.name for link in wants.glob(f"{SHIPPERS}*.service"))


def is_still(app: str, host: Host) -> bool:
    """Whether an app is in maintenance, or stopped by the engine."""
    return path("maintenance", app, host.root).exists() or Layout(app, host.root).paused.exists()


def fill(name: str, app: App, running: Running, host: Host) -> None:
    """What runs of an app, into its record."""
    parts, shown = running.parts[name], running.shown
    app.release = parts.release
    if not parts.release:
        app.state = "undeployed"
        return
    app.server = unit(parts.server, shown)
    app.server.workers = workers(parts, shown.get(parts.server, {}), host)
    for process, names in parts.processes.items():
        for position, one in enumerate(names, 1):
            app.processes[process if len(names) == 1 else f"{process}.{position}"] = unit(one, shown)
    here = bool(host.json(f"/{Layout(name, host.root).jobs.relative_to(host.root)}").get("run_jobs", True))
    for job, declared in parts.jobs.items():
        # A deploy and a rollback stop the timers too, and start them again.
        is_due = (here or declared.get("on") == "each") and name not in running.still | running.deploying
        service, timer = (shown.get(f"{name}.{job}.{kind}", {}) for kind in ("service", "timer"))
        app.jobs[job] = job_of(service, timer, is_due, host.now)


def unit(name: str, shown: Shown) -> Unit:
    """One unit."""
    found = shown.get(name, {})
    return Unit(found.get("ActiveState", ""), number(found, "MemoryCurrent") or None, number(found, "NRestarts"))


def workers(parts: ReleaseParts, server: Mapping[str, str], host: Host) -> int | None:
    """How many workers a server has: the processes of its control group beside the first, of servers that count so."""
    settings = host.json(f"{on_host('releases', parts.app)}/{parts.release}/server.json")
    group = server.get("ControlGroup", "")
    if settings.get("provider") not in COUNTED or not group:
        return None
    for top in (CGROUPS, f"{CGROUPS}/systemd"):
        if found := host.read(f"{top}{group}/cgroup.procs").split():
            return len(found) - 1
    return None


def job_of(service: Mapping[str, str], timer: Mapping[str, str], is_due: bool, now: float) -> Job:
    """A job.

    :param is_due: whether its timer is to run on this host, now.
    """
    began, ended = (seconds(service.get(f"ExecMain{which}Timestamp", "")) for which in ("Start", "Exit"))
    upcoming = seconds(timer.get("NextElapseUSecRealtime", ""))
    result = service.get("Result", "success")
    job = Job("", began or None, ended or None, upcoming or None)
    if service.get("ActiveState") in BUSY:
        job.result = "running"
    elif result != "success":
        job.result = "failed"
    elif is_due and (timer.get("ActiveState") != "active" or 0 < upcoming < now - LATE):
        job.result = "missed"
    elif began:
        job.result = "success"
    return job
