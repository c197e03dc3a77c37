# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time in which nothing of an app runs: while its data are restored or exchanged.

Its web server, its processes, those of earlier releases that have yet to finish, its jobs and its pooler are stopped;
visitors wait (``hold.py``). All of it stays enabled, so a boot starts it; a note in /run has a later run of the engine
do so if this one is killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..common.files import make_directory, write
from .context import Context
from .errors import ReleaseError
from .hold import Hold
from .jobs import Jobs
from .supervisor import Supervisor
from .units import ReleaseUnits


class Standstill:
    """Stops everything of an app, and starts again what is live."""

    def __init__(self, context: Context, supervisor: Supervisor, jobs: Jobs) -> None:
        self.context, self.supervisor, self.jobs = context, supervisor, jobs
        self.at, self.system = context.at, context.system
        self.visitors: Hold | None = None

    @contextlib.contextmanager
    def block(self) -> Iterator[None]:
        """Keep everything stopped for the time of the block, and start it again whatever becomes of that.

        :raises ReleaseError: the live release could not be started again.
        """
        try:
            self.begin()
            yield
        except Exception:
            self.end()
            raise
        self.end()

    def begin(self) -> None:
        """Stop everything: what may take long first, while the server still answers."""
        make_directory(self.at.paused.parent, 0o700)
        write(self.at.paused, "", 0o600)
        live = self.at.live()
        running = self.supervisor.running(path.name for path in self.at.releases.glob("[!.]*"))
        self.jobs.stop_timers()
        self.stop_processes([name for release in running for name in ReleaseUnits.of(self.at, release).processes])
        for job in self.jobs.end_running():
            self.note(f"the job {job} ran and was ended", f"run it again with `{self.context.app} jobs run {job}`")
        for release in sorted(running - {live}):
            self.supervisor.stop(release)
        if live:
            self.visitors = self.system.hold(self.at.release(live) / "app.sock")
            self.supervisor.pause(live)
            if self.visitors:
                self.visitors.take_place()
        pooler = f"{self.context.app}.pooler.service"  # its socket starts it again
        if (self.at.units / pooler).exists():
            self.system.systemctl("stop", pooler)

    def stop_processes(self, names: list[str]) -> None:
        """Have all processes end at the same time; a note on those that were killed, for they did not in time."""
        if names:
            self.system.systemctl("stop", "--no-block", *names[::-1])
        for name in names[::-1]:
            self.system.stop(name)
        for name in names:
            shown = self.system.systemctl("show", "--value", "--property=Result", name).stdout.strip()
            if shown == "timeout":
                self.note(
                    f"{name} did not finish within its stop_timeout and was killed",
                    "what it was doing may be half done",
                )

    def end(self) -> None:
        """Start the live release and the timers, and let the visitors who wait in."""
        live, failed = self.at.live(), None
        try:
            if live:
                self.supervisor.start(live)
        except ReleaseError as error:
            message = f"release {live} was stopped, and could not be started again: {error.message}"
            failed = ReleaseError("start", message, error.log)
        if live and self.visitors:
            self.visitors.hand_over(self.at.release(live) / "app.sock")
            self.visitors.end()
            self.visitors = None
        self.at.paused.unlink(missing_ok=True)
        self.jobs.start_timers()
        if failed:
            raise failed

    def note(self, what: str, remedy: str) -> None:
        """Note something for the operator."""
        self.context.notices.append(f"{what}: {remedy}")
