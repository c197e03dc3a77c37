# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The apps: whether the live release runs as it was deployed, with its workers, processes and jobs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..common import clock
from ..common.on_host import on_host, path
from ..release import ledger, watch
from ..release.layout import Layout
from . import units
from .expected import Expected, ExpectedApp
from .finding import Finding, State
from .look import Look, number, seconds
from .parts import ReleaseParts

# Servers whose workers are the children of the unit's main process.
COUNTED = ("gunicorn", "uwsgi")
TRIES, PAUSE = 4, 0.4
OUTCOMES = {
    "exit-code": "exit status {status}",
    "timeout": "ended after its timeout",
    "oom-kill": "ended for want of memory",
    "signal": "ended by signal {status}",
    "resources": "could not be started",
}


def apps(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether each app is live, all of its release runs, and nothing that was noted of it waits for the operator."""
    written = units.all_files(look)
    for one in expected.apps.values():
        parts = ReleaseParts.of(one.name, look)
        if not parts.release:
            yield from not_live(one, look)
            continue
        found = [*running(parts, written, look), *declared(one, parts), *noted(one.name, parts.release, look)]
        yield from found
        if not any(one.state == "problem" for one in found):
            yield Finding("release", one.name, "ok", f"Release {parts.release} is live and runs.")


def not_live(one: ExpectedApp, look: Look) -> Iterator[Finding]:
    """An app without a live release: the reason is in its ledger, if it was ever tried."""
    rows = ledger.states(Layout(one.name, look.root))
    reason = f"; the last one was refused: {rows[0]['reason']}" if rows and rows[0]["reason"] else ""
    remedy = f"`ansible-playbook groundwork.flask.deploy -e app={one.name}`; `{one.name} releases` has the reasons."
    yield Finding("release", one.name, "problem", f"No release of {one.name} is live{reason}.", remedy)


def running(parts: ReleaseParts, written: set[str], look: Look) -> Iterator[Finding]:
    """What does not run of the live release."""
    at = Layout(parts.app, look.root)
    shown = look.units(parts.names)
    paused = at.paused.exists()
    if paused:
        text = f"{parts.app} is stopped, by `{parts.app} pause` or while its data is restored."
        yield Finding("release", parts.app, "problem", text, f"See `{parts.app} status` for what is at work.")
    for name in parts.units:
        yield from units.state(name, shown[name], "" if paused else "enabled started", parts.app)
    for name in parts.names:
        yield from units.overrides(name, shown[name], written, look, parts.app)


def declared(one: ExpectedApp, parts: ReleaseParts) -> Iterator[Finding]:
    """Where the live release has other processes and jobs than the inventory."""
    have = {name: len(instances) for name, instances in parts.processes.items()}
    for what, wanted, there in (
        (
            "processes",
            {name: str(count) for name, count in one.processes.items()},
            {k: str(v) for k, v in have.items()},
        ),
        ("jobs", dict.fromkeys(one.jobs, "1"), dict.fromkeys(parts.jobs, "1")),
    ):
        if wanted != there:
            text = f"The live release has the {what} {listed(there)}, and the inventory has {listed(wanted)}."
            yield Finding("release", one.name, "warning", text, f"Deploy {one.name}: a release has its own {what}.")


def listed(found: Mapping[str, str]) -> str:
    """Processes with how many there are of each, or jobs."""
    return ", ".join(f"{name} ({count})" if count != "1" else name for name, count in sorted(found.items())) or "none"


def noted(app: str, release: str, look: Look) -> Iterator[Finding]:
    """What the engine has written down of the live release, and of a newer one that was refused or taken back."""
    at = Layout(app, look.root)
    rows = ledger.states(at)
    for text in (*watch.warnings(at), *ledger.Ledger(at).warnings(release)):
        shown = f"{text[:1].upper()}{text[1:].rstrip('.')}."
        yield Finding("release", app, "warning", shown, f"Then deploy {app}; until then `{app} status` has it too.")
    if rows and rows[0]["state"] == "bad":
        text = f"Release {rows[0]['release']} of {rows[0]['time']} was refused: {rows[0]['reason'].rstrip('.')}."
        yield Finding("release", app, "warning", text, f"Correct it and deploy again; release {release} is live.")


def workers(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether as many workers run as the server was started with, and that is what it should be."""
    servers = {one.name: found for one in expected.apps.values() if (found := counted(one, look))}
    running = count({name: found.main for name, found in servers.items()}, look)
    # A worker that has ended is replaced at once: those whose number is wrong are counted again, all at the same time.
    for _attempt in range(TRIES):
        wrong = {name: one.main for name, one in servers.items() if one.started and running[name] != one.started}
        if not wrong:
            break
        time.sleep(PAUSE)
        running |= count(wrong, look)
    for name, found in servers.items():
        yield of_workers(expected.apps[name], found, running[name])


@dataclass(frozen=True)
class Counted:
    """A server whose workers can be counted.

    :ivar main: its main process.
    :ivar started: as many as it was started with; 0 where that is not known.
    :ivar configured: as many as the live release states; None where the host computes them.
    """

    main: int
    started: int
    configured: int | None


def counted(one: ExpectedApp, look: Look) -> Counted | None:
    """The server of an app; None where it does not run, or its workers cannot be told from outside."""
    parts = ReleaseParts.of(one.name, look)
    settings = server_settings(one.name, parts.release, look)
    main = number(look.units([parts.server])[parts.server], "MainPID") if parts.server else 0
    if not main or settings.get("provider") not in COUNTED:
        return None
    return Counted(main, started_with(one.name, parts.release, look), settings.get("workers"))


def of_workers(one: ExpectedApp, found: Counted, running: int) -> Finding:
    """What is to be said of the number of an app's workers."""
    started, configured = found.started, found.configured
    state: State = "warning"
    remedy = f"`{one.name} restart web` starts the server anew."
    if started and running != started:
        text = f"{running} of {started} workers run."
        state = "problem" if running < started else "warning"
        remedy = f"See `{one.name} logs` for what ends them."
    elif one.workers and configured != one.workers:
        text = f"{running} workers run, and the inventory has {one.workers}."
        remedy = f"Deploy {one.name}: the number of workers is part of a release."
    elif configured and running != configured:
        text = f"{running} workers run, and the release states {configured}."
    elif not configured and running > 2 * len(os.sched_getaffinity(0)) + 1:
        text = f"{running} workers run, as the server started when the host had more cores than now."
    else:
        return Finding("workers", one.name, "ok", f"{running} workers run.")
    return Finding("workers", one.name, state, text, remedy)


def server_settings(app: str, release: str, look: Look) -> Mapping[str, Any]:
    """The settings of the server of a release; root's file, which the app can read."""
    return look.json(f"{on_host('releases', app)}/{release}/server.json") if release else {}


def started_with(app: str, release: str, look: Look) -> int:
    """The number that the server was started with, as the app's runtime directory has it; 0 for none."""
    match = re.match(r"(\d{1,4}) workers?\b", Layout(app, look.root).workers(release))
    return int(match[1]) if match else 0


def count(mains: Mapping[str, int], look: Look) -> dict[str, int]:
    """How many children each of these processes has."""
    return {name: len(look.read(f"/proc/{main}/task/{main}/children").split()) for name, main in mains.items()}


def jobs(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the timers of the jobs run, and how the last run of each ended."""
    for app in expected.apps:
        parts, at = ReleaseParts.of(app, look), Layout(app, look.root)
        here = bool(look.json(f"/{at.jobs.relative_to(look.root)}").get("run_jobs", True))
        in_maintenance = path("maintenance", app, look.root).exists()
        shown = look.units(parts.job_units)
        for name, job in parts.jobs.items():
            service, timer = shown[f"{app}.{name}.service"], shown[f"{app}.{name}.timer"]
            found = list(failed(app, name, service))
            if not in_maintenance and (here or job.get("on") == "each"):
                found += stopped(app, name, timer)
            yield from found
            if not found:
                upcoming = seconds(timer.get("NextElapseUSecRealtime", ""))
                text = f"next run at {clock.timestamp(upcoming)}" if upcoming else "no run is due on this host"
                yield Finding("jobs", app, "ok", f"The job {name}: {text}.")


def failed(app: str, job: str, service: Mapping[str, str]) -> Iterator[Finding]:
    """A job whose last run failed."""
    if (result := service.get("Result", "success")) != "success":
        how = OUTCOMES.get(result, result).format(status=service.get("ExecMainStatus", ""))
        ended = seconds(service.get("ExecMainExitTimestamp", ""))
        at = f" at {clock.timestamp(ended)}" if ended else ""
        remedy = f"`{app} logs` has its output; `{app} jobs run {job}` runs it again."
        yield Finding("jobs", app, "problem", f"The last run of the job {job} failed{at}: {how}.", remedy)


def stopped(app: str, job: str, timer: Mapping[str, str]) -> Iterator[Finding]:
    """A job whose timer does not run, or would not after a boot."""
    name = f"{app}.{job}.timer"
    if timer.get("ActiveState") != "active":
        remedy = f"`systemctl enable --now {name}`."
        yield Finding("jobs", app, "problem", f"The timer of the job {job} is stopped, so it does not run.", remedy)
    elif timer.get("UnitFileState") != "enabled":
        remedy = f"`systemctl enable {name}`."
        yield Finding("jobs", app, "problem", f"The timer of the job {job} does not start at boot.", remedy)
