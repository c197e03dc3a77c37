# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of runs that were killed, and releases that are not needed any more."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from ..common import trees
from . import hold, modes
from .app_command import is_command_settled
from .context import Context
from .errors import ReleaseError
from .exchange import Exchange
from .installer import is_whole
from .jobs import Jobs
from .supervisor import Supervisor
from .units import ReleaseUnits


class Cleanup:
    """Removes what an app does not need any more; what is live is never touched."""

    def __init__(self, context: Context, supervisor: Supervisor, exchange: Exchange, jobs: Jobs) -> None:
        self.context, self.supervisor, self.exchange, self.jobs = context, supervisor, exchange, jobs
        self.at, self.ledger = context.at, context.ledger

    def is_settled(self) -> bool:
        """Whether nothing is left to put right; then a deploy that would change nothing need not run."""
        return (
            self.supervisor.enabled() <= {self.at.live()}
            and not self.at.paused.exists()
            and self.exchange.is_settled()
            and not self.incomplete_releases()
            and not self.unused_environments()
            and self.ledger.cut_off(self.ledger.read()) is None
            and is_command_settled(self.at)
            and modes.are_settled(self.at)
            and self.supervisor.process_units.is_settled(self.at.live())
            and self.jobs.is_settled(self.at.live())
        )

    def heal(self, wanted: str = "") -> None:
        """Clean up after a run that was killed: half-built releases, and units of releases that are not live.

        :param wanted: a release whose units are left as they are, for they are to start.
        """
        live = self.at.live()
        self.ledger.heal()
        self.exchange.heal()
        modes.heal(self.at)
        if live:
            # An automatic rollback marks the live release before the switch; this one was killed in between.
            (self.at.release(live) / "bad").unlink(missing_ok=True)
        if self.at.paused.exists():
            self.end_pause(live)
        stale = self.supervisor.enabled() - {live, wanted}
        lived = {event["release"] for event in self.ledger.events() if event["event"] == "live"} if stale else set()
        for release in sorted(stale):
            # The processes of a release that was live finish what they have begun; those of one that never was, end.
            self.supervisor.stop(release, wait=release not in lived)
        trees.remove(*self.incomplete_releases())
        trees.remove(*self.unused_environments())
        self.supervisor.process_units.sweep()
        self.jobs.settle(live)

    def end_pause(self, live: str | None) -> None:
        """Start the live release again, which a run had stopped that was killed, and nothing beside it."""
        others = (path.name for path in self.at.releases.glob("*") if path.name != live)
        for release in sorted(self.supervisor.running(others)):
            self.supervisor.stop(release)
        if live:
            if hold.give_up(self.at.release(live) / "app.sock"):
                self.supervisor.pause(live)  # it may still listen, where no visitor can reach it any more
            try:
                self.supervisor.start(live)
            except ReleaseError as error:  # no reason not to deploy another
                self.context.notices.append(
                    f"release {live}, which a run that was killed had stopped, cannot be started again: {error.message}"
                )
        self.at.paused.unlink(missing_ok=True)

    def forget_steps(self) -> None:
        """Forget the steps of a run that was killed, and their environments, which a step reads when it starts."""
        self.context.system.systemctl("reset-failed", f"groundwork-release@{self.at.app}.*")
        for path in self.at.run.glob("*.env"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - 60:
                    path.unlink()

    def prune(self, release: str, live: str | None) -> None:
        """Remove the oldest releases: never the live one, nor the one before it, nor the one a rollback would go to.

        A release of which a unit still runs stays until the next time. The environments and the saved databases that no
        release needs any more go too, and what a build left.

        :param release: the one that has become live.
        :param live: the one that was live before.
        """
        trees.remove(*self.at.releases.glob(".*"))
        spared = {release, live, *self.ledger.way_back()[:1]}
        built = sorted(self.at.releases.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        others = [path for path in built if path.name not in spared]
        self.remove_releases(others[max(0, self.context.settings.keep - (len(built) - len(others))) :])
        trees.remove(*self.unused_environments())
        kept = {path.name for path in self.at.releases.iterdir()}
        saved = self.at.saved.iterdir() if self.at.saved.exists() else ()
        trees.remove(*(path for path in saved if path.name.partition(".")[0] not in kept))
        self.exchange.prune()
        self.supervisor.process_units.sweep()

    def remove_releases(self, paths: list[Path]) -> None:
        """Remove releases, but for those of which a unit, or a job that was started in them, still runs."""
        running = self.supervisor.running(path.name for path in paths)
        if paths:
            running |= self.jobs.releases_in_use()
        stopped = [path for path in paths if path.name not in running]
        # systemd remembers as failed a process that did not end in time.
        processes = [name for path in stopped for name in ReleaseUnits.of(self.at, path.name).processes]
        if processes:
            self.context.system.systemctl("reset-failed", *processes)
        trees.remove(*stopped)

    def incomplete_releases(self) -> list[Path]:
        """What a build that did not end has left: half-built releases, and what only the build needs."""
        found = self.at.releases.iterdir() if self.at.releases.exists() else ()
        return [path for path in found if not self.at.is_complete(path.name)]

    def unused_environments(self) -> list[Path]:
        """The virtual environments that no release uses, and those that were not built to their end."""
        used = {Path(os.readlink(link)).name for link in self.at.releases.glob("*/venv") if link.is_symlink()}
        found = self.at.environments.iterdir() if self.at.environments.exists() else ()
        return [path for path in found if path.name not in used or not is_whole(path)]
