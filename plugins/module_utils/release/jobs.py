# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduled jobs of an app on its host: their units are made equal to the jobs of the release that is live.

What a job is stands in the ``release.json`` of each release, so a rollback brings back the jobs that the release had.
Of the jobs that one host runs (``on: first``) the other hosts have the service and no timer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..common import clock
from ..common.files import make_directory, make_parents, read_json, write
from ..common.on_host import path
from . import job_units, schedules
from .context import Context
from .errors import ReleaseError
from .job_units import Job

ENDED = ("inactive", "failed", "unknown")
# Seconds that a job which runs gets to end by itself before it is told to, where all of the app has to stop.
PATIENCE = 60.0
# Seconds between the begin of a run, as systemd has it, and when it has read where `current` leads: on a busy host.
EARLY, LATE = 2, 15
WANTS = "timers.target.wants"
STAMPS = "var/lib/systemd/timers"  # of persistent timers: their modification is when a timer elapsed last


class Jobs:
    """Acts on the jobs of one app.

    :ivar has_acted: :meth:`settle` has had something to do.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.system, self.at, self.app = context, context.system, context.at, context.app
        self.has_acted = False

    # --- what there is ----------------------------------------

    def service(self, job: str) -> str:
        """The unit that runs a job."""
        return f"{self.app}.{job}.service"

    def timer(self, job: str) -> str:
        """The unit that starts a job on its schedule."""
        return f"{self.app}.{job}.timer"

    def of_release(self, release: str | None) -> dict[str, Job]:
        """The jobs of a release, by name."""
        return dict(self.at.facts(release).get("jobs") or {}) if release else {}

    def files(self) -> list[Path]:
        """The unit files of jobs that are on the host."""
        found = self.at.units.glob(f"{self.app}.*") if self.at.units.exists() else ()
        return sorted(file for file in found if file.suffix in (".service", ".timer") and self.is_own(file))

    def is_own(self, file: Path) -> bool:
        """Whether a file is the unit of a job of this app."""
        return job_units.is_own(file, self.app)

    def named(self, suffix: str) -> list[str]:
        """The names of the jobs that have a file of a kind on the host, such as ``.timer``."""
        return [file.name[len(self.app) + 1 : -len(suffix)] for file in self.files() if file.suffix == suffix]

    def on_host(self) -> list[str]:
        """The names of the jobs that have a service on the host."""
        return self.named(".service")

    def running(self, jobs: Iterable[str]) -> list[str]:
        """Those of the jobs that run now."""
        services = {self.service(job): job for job in jobs}
        states = self.system.states(*services) if services else {}
        return [services[name] for name, state in states.items() if state not in ENDED]

    def in_maintenance(self) -> bool:
        """Whether the app's site is in maintenance, which stops its timers."""
        return path("maintenance", self.app, self.at.root).exists()

    # --- which of them this host runs ----------------------------------------

    def runs_here(self) -> bool:
        """Whether this host runs the jobs that one host runs: as the last deploy has said."""
        if self.context.spec.source:
            return self.context.spec.run_jobs
        return bool(read_json(self.at.jobs).get("run_jobs", True))

    def note_host(self) -> None:
        """Keep that for what acts on the app without its definition, such as a rollback."""
        if self.context.spec.source and self.is_noted_otherwise():
            make_directory(self.at.jobs.parent)
            write(self.at.jobs, f'{{"run_jobs": {str(self.runs_here()).lower()}}}\n', 0o644)

    def is_noted_otherwise(self) -> bool:
        """Whether what is kept says something else; nothing is kept of an app without jobs."""
        has_jobs = bool(self.context.spec.jobs) or self.at.jobs.exists()
        return has_jobs and read_json(self.at.jobs).get("run_jobs") != self.runs_here()

    def armed(self, release: str | None) -> dict[str, Job]:
        """The jobs of a release that this host runs on their schedules."""
        here = self.runs_here()
        return {name: job for name, job in self.of_release(release).items() if here or job.get("on") == "each"}

    def check(self) -> None:
        """Refuse jobs that cannot be, before anything is done.

        :raises ReleaseError: naming the first one.
        """
        jobs = self.context.spec.jobs
        refused = {name: what for name, one in jobs.items() if (what := job_units.problem_of(name, one))}
        for name in jobs:
            for unit in (self.service(name), self.timer(name)):
                if self.is_foreign(file := self.at.units / unit):
                    refused.setdefault(name, f"{file} was not written for it: choose another name")
        if not refused and jobs:
            wrong = schedules.problems([str(one["schedule"]) for one in jobs.values()], self.system.run)
            refused = {
                name: f"schedule: {one['schedule']!r} {wrong[one['schedule']]}"
                for name, one in jobs.items()
                if one["schedule"] in wrong
            }
        for name, what in refused.items():
            raise ReleaseError("jobs", f"jobs.{name}: {what}")

    # --- making the units what they should be ----------------------------------------

    def wanted(self, release: str | None) -> dict[Path, str]:
        """What the unit files say while a release is live.

        :raises ReleaseError: the unit of the app's server is not on the host.
        """
        jobs = self.of_release(release)
        if not jobs or not release:
            return {}
        sandbox = job_units.confined(self.context, release)
        found = {
            self.at.units / self.service(name): job_units.service(self.at, name, one, sandbox)
            for name, one in jobs.items()
        }
        timers = {
            self.at.units / self.timer(name): job_units.timer(self.at, name, one)
            for name, one in self.armed(release).items()
        }
        return {file: text for file, text in {**found, **timers}.items() if not self.is_foreign(file)}

    def is_foreign(self, file: Path) -> bool:
        """Whether a unit file was written by another."""
        return os.path.lexists(file) and not self.is_own(file)

    def is_settled(self, release: str | None) -> bool:
        """Whether the units are as they should be, and the timers active where they may be."""
        wanted = self.wanted(release)
        if self.is_noted_otherwise() or not all(self.says(file, text) for file, text in wanted.items()):
            return False
        if self.surplus(wanted):
            return False
        timers = [file.name for file in wanted if file.suffix == ".timer"]
        expected = "inactive" if self.in_maintenance() else "active"
        states = self.system.states(*timers) if timers else {}
        return all(self.is_enabled(timer) and states.get(timer) == expected for timer in timers)

    def says(self, file: Path, text: str) -> bool:
        """Whether a file of ours says this."""
        return self.is_own(file) and file.read_text(errors="replace") == text

    def is_enabled(self, timer: str) -> bool:
        """Whether a boot starts a timer."""
        return os.path.lexists(self.at.units / WANTS / timer)

    def settle(self, release: str | None) -> None:
        """Make the units equal to the jobs of the release that is live, and start the timers.

        What runs is left to end.
        """
        if self.is_settled(release):
            return
        self.has_acted = True
        self.note_host()
        wanted = self.wanted(release)
        surplus = self.surplus(wanted)
        changed = {file: text for file, text in wanted.items() if not self.says(file, text)}
        self.take_off(surplus)
        for file, text in changed.items():
            make_parents(file)
            write(file, text, 0o644)
        if changed or surplus:
            self.system.systemctl("daemon-reload")
        timers = [file.name for file in wanted if file.suffix == ".timer"]
        # A new schedule counts from now: by its stamp of before it might be overdue, and run at once.
        self.begin_anew([file.name for file in changed if file.suffix == ".timer"])
        if disabled := [timer for timer in timers if not self.is_enabled(timer)]:
            self.system.systemctl("enable", *disabled)
        if timers:
            self.system.systemctl("stop" if self.in_maintenance() else "start", *timers)

    def surplus(self, wanted: Iterable[Path]) -> list[Path]:
        """The unit files that are not wanted; the service of a job that still runs stays until the next time."""
        found = set(self.files()) - set(wanted)
        services = [file.name for file in found if file.suffix == ".service"]
        states = self.system.states(*services) if services else {}
        return sorted(file for file in found if states.get(file.name, "inactive") in ENDED)

    def take_off(self, files: Iterable[Path]) -> None:
        """Remove unit files, and what systemd keeps of timers."""
        files = list(files)
        timers = [file.name for file in files if file.suffix == ".timer"]
        if timers:
            self.system.systemctl("disable", "--now", *timers)
        for file in files:
            file.unlink(missing_ok=True)
        for timer in timers:
            self.stamp(timer).unlink(missing_ok=True)
        if services := [file.name for file in files if file.suffix == ".service"]:
            self.system.systemctl("reset-failed", *services)

    def stamp(self, timer: str) -> Path:
        """The file whose time is when a timer elapsed last."""
        return self.at.root / STAMPS / f"stamp-{timer}"

    def begin_anew(self, timers: list[str]) -> None:
        """Have timers whose schedule is another one now count from now."""
        for timer in timers:
            if self.stamp(timer).exists():
                os.utime(self.stamp(timer))
        if timers:
            self.system.systemctl("stop", *timers)

    # --- stopping them for a time ----------------------------------------

    def stop_timers(self) -> None:
        """Start no job on its schedule from now on; a boot would."""
        if timers := [self.timer(job) for job in self.named(".timer")]:
            self.system.systemctl("stop", *timers)

    def start_timers(self) -> None:
        """Start the jobs on their schedules again; what was missed is made up for at once. Not in maintenance."""
        if timers := [self.timer(job) for job in self.named(".timer")]:
            self.system.systemctl("stop" if self.in_maintenance() else "start", *timers)

    def end_running(self) -> list[str]:
        """Wait for the jobs that run, and end those that go on; the names of these."""
        until, found = time.monotonic() + PATIENCE, self.running(self.on_host())
        while found and time.monotonic() < until:
            self.system.sleep(0.5)
            found = self.running(found)
        for job in found:
            self.system.stop(self.service(job))
        return found

    def remove(self) -> None:
        """End all jobs, and remove their units and what is kept of them."""
        files = self.files()
        self.stop_timers()
        for job in self.running(self.on_host()):
            self.system.stop(self.service(job))
        self.take_off(files)
        if files:
            self.system.systemctl("daemon-reload")
        self.at.jobs.unlink(missing_ok=True)

    # --- what became of them ----------------------------------------

    def properties(self, job: str, *names: str) -> dict[str, str]:
        """Properties of a job's service; times as ``@`` and seconds."""
        which = f"--property={','.join(names)}"
        shown = self.system.systemctl("show", "--timestamp=unix", which, self.service(job)).stdout
        return dict(row.split("=", 1) for row in shown.splitlines() if "=" in row)

    def releases_in_use(self) -> set[str]:
        """The releases that jobs which run now were started in: those that were live about then."""
        begun = [self.properties(job, "InactiveExitTimestamp") for job in self.running(self.on_host())]
        found: set[str] = set()
        for shown in begun:
            found |= self.live_about(seconds(shown.get("InactiveExitTimestamp", "")))
        return found

    def live_about(self, when: float) -> set[str]:
        """The releases that were, or may have been, live at a time; systemd says it in whole seconds."""
        found: set[str] = set()
        before = ""
        for event in self.context.ledger.events():
            if event["event"] not in ("switch", "live"):
                continue
            at = clock.parse(event["time"])
            if at < when - EARLY:
                before = event["release"]
            elif at <= when + LATE:
                found.add(event["release"])
        return found | ({before} if before else set())

    def warnings(self) -> list[str]:
        """The jobs whose last run failed, or that another unit keeps from running."""
        found = [
            f"the job {job} does not run: {file} was not written for it. Remove that, or choose another name"
            for job in self.of_release(self.at.live())
            for file in (self.at.units / self.service(job), self.at.units / self.timer(job))
            if self.is_foreign(file)
        ]
        for job in self.on_host():
            shown = self.properties(job, "ActiveState", "Result", "ExecMainStatus", "ExecMainExitTimestamp")
            if (result := outcome(shown)) not in ("", "success"):
                at = clock.timestamp(seconds(shown.get("ExecMainExitTimestamp", "")))
                found.append(
                    f"the job {job} failed at {at}: {result}. Its output: `{self.app} logs`; run it again with "
                    f"`{self.app} jobs run {job}`"
                )
        return found


def seconds(shown: str) -> float:
    """A time as systemd shows it, ``@`` and seconds; 0 for none."""
    return float(shown[1:]) if shown[:1] == "@" and shown[1:].isdigit() else 0.0


def outcome(shown: Mapping[str, str]) -> str:
    """How the last run of a job ended, as a person reads it; "" for one that has not run since the host started."""
    result = shown.get("Result", "")
    if not seconds(shown.get("ExecMainExitTimestamp", "")) and result == "success":
        return ""
    status = shown.get("ExecMainStatus", "")
    words = {
        "exit-code": f"exit status {status}",
        "timeout": "ended after its timeout",
        "oom-kill": "ended for want of memory",
        "signal": f"ended by signal {status}",
    }
    return words.get(result, result)
