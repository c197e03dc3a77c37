# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that watches a release after its switch, and has the engine take it back when it does not do well."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import work
from .errors import ReleaseError, tail
from .layout import Layout
from .system import System
from .watch import BY, Looker, Watch

EVERY = 2.0  # seconds
LOG_LINES = 60


@dataclass
class Watcher:
    """Watches one app's release.

    :ivar do: has the engine carry out an order.
    """

    at: Layout
    system: System
    do: Callable[..., Any] = work.do

    def run(self) -> None:
        """Watch until the time is over, or the release is no more live, or it does not do well."""
        watch = Watch.read(self.at)
        if not watch:
            return
        looker, until = Looker(self.at, self.system, watch), time.monotonic() + watch.seconds
        while (left := until - time.monotonic()) > 0:
            self.system.sleep(min(left, EVERY))
            if self.at.live() != watch.release:
                return
            looker.look()
            watch.write(self.at)
            reason = watch.reason(time.time())
            if not (reason or watch.down):
                continue
            if work.active_run(self.at.app, self.system):
                looker.down_since = 0.0  # a run may stop the release for a time
            elif reason and self.take_back(watch, reason):
                break
        self.at.watch.unlink(missing_ok=True)

    def take_back(self, watch: Watch, reason: str) -> bool:
        """Have the engine make the release before live again, or note why not; False when it could do neither.

        This unit ends with the switch, so a release that was taken back is not heard of here.
        """
        log = tail(self.system.journal(self.at.app, watch.suspect, watch.began), LOG_LINES)
        options = {"release": watch.release, "reason": reason, "log": log, "command": watch.command}
        try:
            self.do(work.Order("take_back", {"name": self.at.app}, {"by": BY}, options), self.system)
        except ReleaseError:
            return False
        return True


def main() -> None:
    """The program of the unit: the argument is the app's name."""
    Watcher(Layout(sys.argv[1]), System()).run()
