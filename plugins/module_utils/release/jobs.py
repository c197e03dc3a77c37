# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduled jobs of an app on its host: which timers it has, and what runs of them.

A job is a timer and a service, ``<app>.<job>.timer`` and ``.service``, which belong to the app and run in the release
that is live when they start.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from .context import Context

ENDED = ("inactive", "failed", "unknown")
# The first line of each file; another file of such a name is not an app's job.
MARK = "# A job of the app {app}, written by groundwork.flask."
# Seconds that a job which runs gets to end by itself before it is told to, where all of the app has to stop.
PATIENCE = 60.0


class Jobs:
    """Acts on the jobs of one app."""

    def __init__(self, context: Context) -> None:
        self.context, self.system, self.at, self.app = context, context.system, context.at, context.app

    def service(self, job: str) -> str:
        """The unit that runs a job."""
        return f"{self.app}.{job}.service"

    def timer(self, job: str) -> str:
        """The unit that starts a job on its schedule."""
        return f"{self.app}.{job}.timer"

    def on_host(self) -> list[str]:
        """The names of the jobs that have a unit on the host."""
        found = self.at.units.glob(f"{self.app}.*.service") if self.at.units.exists() else ()
        # A process has its release behind an @.
        return sorted(path.name[len(self.app) + 1 : -len(".service")] for path in found if self.is_own(path))

    def is_own(self, path: Path) -> bool:
        """Whether a file of systemd's is one of a job of this app."""
        if "@" in path.name or not path.is_file():
            return False
        with path.open(errors="replace") as stream:
            return stream.readline(200).rstrip("\n") == MARK.format(app=self.app)

    def armed(self) -> list[str]:
        """The jobs that have a timer on the host."""
        return [job for job in self.on_host() if self.is_own(self.at.units / self.timer(job))]

    def running(self, jobs: Iterable[str]) -> list[str]:
        """Those of the jobs that run now."""
        services = {self.service(job): job for job in jobs}
        states = self.system.states(*services) if services else {}
        return [services[name] for name, state in states.items() if state not in ENDED]

    def stop_timers(self) -> None:
        """Start no job on its schedule from now on; a boot would."""
        if timers := [self.timer(job) for job in self.armed()]:
            self.system.systemctl("stop", *timers)

    def start_timers(self) -> None:
        """Start the jobs on their schedules again; what was missed is made up for at once."""
        if timers := [self.timer(job) for job in self.armed()]:
            self.system.systemctl("start", *timers)

    def end_running(self) -> list[str]:
        """Wait for the jobs that run, and end those that go on; the names of these."""
        until, found = time.monotonic() + PATIENCE, self.running(self.on_host())
        while found and time.monotonic() < until:
            self.system.sleep(0.5)
            found = self.running(found)
        for job in found:
            self.system.stop(self.service(job))
        return found
