# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduled jobs of an app on its host: their units are made equal to the jobs of the release that is live.

What a job is stands in the ``release.json`` of each release, so a rollback brings back the jobs that the release had.
Of the jobs that one host runs (``on: first``) the other hosts have the service and no timer.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..common.files import make_directory, make_parents, read_json, write
from . import job_units, schedules
from .context import Context
from .errors import ReleaseError
from .job_runs import ENDED, JobRuns
from .job_units import Job


class Jobs(JobRuns):
    """Acts on the jobs of one app.

    :ivar has_acted: :meth:`settle` has had something to do.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.has_acted = False

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

    def surplus(self, wanted: Iterable[Path]) -> list[Path]:
        """The unit files that are not wanted; the service of a job that still runs stays until the next time."""
        found = set(self.files()) - set(wanted)
        services = [file.name for file in found if file.suffix == ".service"]
        states = self.system.states(*services) if services else {}
        return sorted(file for file in found if states.get(file.name, "inactive") in ENDED)

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
