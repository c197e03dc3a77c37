# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time between two releases of an app that may not run at once (``deploy: exclusive``).

The old release is stopped before the new one is imported, and its visitors wait meanwhile (``hold.py``). It stays
enabled until the new one is live, so a boot in between starts it; a note in /run has a later run of the engine do so
if this one is killed.
"""

from __future__ import annotations

import contextlib
import time

from ..common.files import make_directory, write
from .context import Context
from .errors import ReleaseError
from .hold import Hold
from .supervisor import Supervisor

EXCLUSIVE = "exclusive"
SLOW_STOP = 10.0  # seconds


def is_exclusive(context: Context, *releases: str | None) -> bool:
    """Whether the spec or one of the releases says that it runs beside no other."""
    recorded = (context.at.facts(release).get("deploy") for release in releases if release)
    return context.spec.deploy == EXCLUSIVE or EXCLUSIVE in recorded


class Pause:
    """Stops the live release, and sees to it that either the new one or the old one serves afterwards.

    :ivar live: the release that is stopped; None when none is live.
    :ivar has_begun: it may have been stopped.
    :ivar stands_still: everything of the app is stopped already.
    """

    def __init__(self, context: Context, supervisor: Supervisor, live: str | None, release: str) -> None:
        self.context, self.supervisor, self.at = context, supervisor, context.at
        self.live, self.release = live, release
        self.hold: Hold | None = None
        self.has_begun = self.stands_still = False

    def begin(self) -> None:
        """Stop what runs of both releases; the processes first, which may take long, while the server still answers."""
        self.has_begun = True
        if self.stands_still:
            return
        make_directory(self.at.paused.parent, 0o700)
        write(self.at.paused, "", 0o600)
        if self.live:
            self.supervisor.stop_processes(self.live)
            self.hold = self.context.system.hold(self.at.release(self.live) / "app.sock")
            began = time.monotonic()
            self.supervisor.pause(self.live)
            if (seconds := time.monotonic() - began) >= SLOW_STOP:
                self.context.notices.append(
                    f"release {self.live} took {seconds:.0f} s to stop, and visitors waited for that: a request, or a "
                    "thread or process that the app starts, did not end before. How long the server waits for them is "
                    "an option of `server` (graceful_timeout of Gunicorn, which is the default server)"
                )
            if self.hold:
                self.hold.take_place()
        if self.release != self.live and self.supervisor.running([self.release]):
            self.supervisor.stop(self.release)

    def hand_over(self) -> None:
        """The new release is live: its units are the ones that a boot starts, and those who waited are its visitors."""
        if self.live:
            self.supervisor.disable(self.live)
        self.hand_to(self.release)

    def hand_to(self, release: str) -> None:
        """Hand the visitors who wait to a release."""
        if self.hold:
            self.hold.hand_over(self.at.release(release) / "app.sock")

    def end(self) -> None:
        """Wait until those who waited have their answers."""
        if self.hold:
            self.hold.end()
            self.hold = None
        self.at.paused.unlink(missing_ok=True)

    def bring_back(self) -> str:
        """Start the old release again after the new one has failed; a sentence that says so, "" without an old one."""
        if not self.live:
            self.at.paused.unlink(missing_ok=True)
            return ""
        outcome = "has been started again"
        try:
            self.supervisor.start(self.live)
        except ReleaseError as error:
            outcome = f"could not be started again ({error.message})"
        with contextlib.suppress(OSError):  # the first error counts
            self.hand_to(self.live)
            self.end()
        return f"release {self.live} was stopped for it, and {outcome}"
