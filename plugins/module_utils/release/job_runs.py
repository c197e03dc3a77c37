# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of an app's jobs: which go on, in which release they began, what became of them, and their timers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from ..common import clock
from ..common.on_host import path
from .job_files import JobFiles

ENDED = ("inactive", "failed", "unknown")
# Seconds that a job which runs gets to end by itself before it is told to, where all of the app has to stop.
PATIENCE = 60.0
# Seconds between the begin of a run, as systemd has it, and when it has read where `current` leads: on a busy host.
EARLY, LATE = 2, 15


class JobRuns(JobFiles):
    """The runs of one app's jobs."""

    def running(self, jobs: Iterable[str]) -> list[str]:
        """Those of the jobs that run now."""
        services = {self.service(job): job for job in jobs}
        states = self.system.states(*services) if services else {}
        return [services[name] for name, state in states.items() if state not in ENDED]

    def in_maintenance(self) -> bool:
        """Whether the app's site is in maintenance, which stops its timers."""
        return path("maintenance", self.app, self.at.root).exists()

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
        """The releases that were, or may have been, live at a time; systemd says it in whole seconds.

        A switch that was noted need not have taken place.
        """
        found: set[str] = set()
        before: set[str] = set()
        for event in self.context.ledger.events():
            if event["event"] not in ("switch", "live"):
                continue
            at = clock.parse(event["time"])
            if at < when - EARLY:
                before = {event["release"]} if event["event"] == "live" else before | {event["release"]}
            elif at <= when + LATE:
                found.add(event["release"])
        return found | before

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
                ended = seconds(shown.get("ExecMainExitTimestamp", ""))  # none of one that systemd could not start
                at = f" at {clock.timestamp(ended)}" if ended else ""
                found.append(
                    f"the job {job} failed{at}: {result}. Its output: `{self.app} logs`; run it again with "
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
    phrases = {
        "exit-code": f"exit status {status}",
        "timeout": "ended after its timeout",
        "oom-kill": "ended for want of memory",
        "signal": f"ended by signal {status}",
        "resources": "could not be started",
    }
    return phrases.get(result, result)
