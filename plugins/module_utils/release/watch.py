# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch over a release for some time after it has gone live: what it looks at, and what is too much.

It runs on the host, in the unit ``groundwork-watch@<app>.service`` (``watcher.py``), and ends with the next switch, be
it a deploy or a rollback, and with a reboot, which starts everything anew.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..common.clock import parse, timestamp
from ..common.files import make_directory, read_json, write
from ..common.systemd import TransientUnit
from ..common.text import line
from .answers import Answers, Count
from .context import Context
from .layout import Layout
from .ledger import Ledger
from .system import System, engine_program
from .units import ReleaseUnits

# A process that is killed once, or twice, from outside or for want of memory is no reason; one that ends again and
# again is. The same number keeps a release from going live.
RESTART_LIMIT = 3
# Fewer requests say nothing: one visitor who tries a broken form again and again makes as many.
LEAST_REQUESTS, LEAST_FAILED = 20, 10
# One request in twenty, and five times what the release before had: an app that always had some errors is no worse.
SHARE, TIMES = 0.05, 5
# Where the release before has not answered enough requests to compare with.
SHARE_UNKNOWN = 0.5
BY = "the watch after the switch"  # who rolls back, in the ledger
# Seconds that a unit may be down on end; or three times what the start took, if that is more.
DOWN_SECONDS = 15.0


@dataclass
class Watch:
    """The watch over one release; its record is in a file while it goes on.

    :ivar previous: the release that was live before; "" for none.
    :ivar began: when the release went live; ``seconds`` is how long it is watched.
    :ivar command: a release command has run for it.
    :ivar start: the seconds that its start took.
    :ivar old_requests: requests to the release before, of which ``old_failed`` failed.
    :ivar old_restarts: restarts of the release before in as long a time.
    :ivar restarts: since the switch, of all its units, and so ``requests`` and ``failed``.
    :ivar suspect: the unit whose log tells most: one that is down, or was restarted most often, or the server.
    :ivar down: a unit that is not active, for ``down_seconds`` by now.
    """

    release: str
    previous: str
    began: float
    seconds: float
    command: bool = False
    start: float = 0.0
    old_requests: int = 0
    old_failed: int = 0
    old_restarts: float = 0.0
    restarts: int = 0
    requests: int = 0
    failed: int = 0
    suspect: str = ""
    down: str = ""
    down_seconds: float = 0.0

    @classmethod
    def read(cls, at: Layout) -> Watch | None:
        """The watch that goes on; None when there is none."""
        found = read_json(at.watch)
        return cls(**found) if found.keys() == {one.name for one in fields(cls)} else None

    def write(self, at: Layout) -> None:
        """Write it to its file, which the watching program and ``status`` read."""
        make_directory(at.watch.parent, 0o700)
        write(at.watch, json.dumps(asdict(self)), 0o600)

    def shown(self) -> dict[str, Any]:
        """What ``status`` shows of it."""
        numbers = {"restarts": self.restarts, "requests": self.requests, "failed": self.failed}
        return {"until": timestamp(self.began + self.seconds), **numbers}

    def reason(self, now: float) -> str:
        """What is too much; "" as long as nothing is."""
        within = f"within {max(1, now - self.began):.0f} s of the switch"
        if self.restarts >= max(RESTART_LIMIT, 2 * self.old_restarts):
            return f"its processes ended and were restarted {self.restarts} times {within}"
        if self.down_seconds >= max(DOWN_SECONDS, 3 * self.start):
            return f"{self.down} has been down for {self.down_seconds:.0f} s"
        new, old = Answers(self.requests, self.failed), Answers(self.old_requests, self.old_failed)
        limit = max(SHARE, TIMES * old.share) if old.requests >= LEAST_REQUESTS else SHARE_UNKNOWN
        if new.requests >= LEAST_REQUESTS and new.failed >= LEAST_FAILED and new.share >= limit:
            before = f"; of those to the release before it were {100 * old.share:.1f} %" if old.requests else ""
            return (
                f"{new.failed} of {new.requests} requests {within} were answered with a status of 500 or above, or not "
                f"at all{before}"
            )
        return ""


class Looker:
    """Looks at the units and the answers of the release that is watched."""

    def __init__(self, at: Layout, system: System, watch: Watch) -> None:
        self.at, self.system, self.watch = at, system, watch
        found = ReleaseUnits.of(at, watch.release)
        self.units, self.processes = found.names, found.processes
        self.ended = dict.fromkeys((found.server, *found.processes), 0)
        self.count = Count(at, watch.release)
        watch.suspect = found.server
        self.restarts = self.all_restarts()
        self.answers = self.count.look()
        self.down_since = 0.0

    def all_restarts(self) -> dict[str, int]:
        """How often systemd has restarted each unit."""
        return {name: self.system.restarts(name) for name in self.ended}

    def look(self) -> None:
        """Put what there is now into the record."""
        watch, now = self.watch, time.monotonic()
        for name, number in self.all_restarts().items():
            # A start by hand begins the number anew.
            self.ended[name] += number - self.restarts[name] if number >= self.restarts[name] else number
            self.restarts[name] = number
        answers = self.count.look() - self.answers
        watch.requests, watch.failed = answers.requests, answers.failed
        states = self.system.states(*self.units)
        watch.down = next((name for name in self.units if self.is_down(name, states.get(name, ""))), "")
        self.down_since = (self.down_since or now) if watch.down else 0.0
        watch.restarts = sum(self.ended.values())
        watch.suspect = watch.down or max(self.ended, key=lambda name: self.ended[name])
        watch.down_seconds = round(now - self.down_since, 1) if watch.down else 0.0

    def is_down(self, name: str, state: str) -> bool:
        """Whether a unit is down; not a process that finishes its job before it is started again."""
        return state != "active" and not (state == "deactivating" and name in self.processes)


def unit(app: str) -> str:
    """The unit that watches an app's release."""
    return f"groundwork-watch@{app}.service"


class Watching:
    """Begins and ends the watch over an app's release.

    :param live: the release that is live when a run begins, with which the next one is compared.
    """

    def __init__(self, context: Context, live: str | None) -> None:
        self.context, self.at, self.live = context, context.at, live
        self.answers, self.restarts = Answers(), 0.0
        if live and context.spec.watch:
            self.answers = Count(context.at, live).look()
            self.restarts = self.restart_rate(live) * context.spec.watch

    def restart_rate(self, release: str) -> float:
        """How often a second the units of a release were restarted since it went live."""
        lived = time.time() - parse(Ledger(self.at).last("live", release).get("time", ""))
        found = ReleaseUnits.of(self.at, release)
        restarts = sum(self.context.system.restarts(name) for name in (found.server, *found.processes))
        return restarts / max(lived, float(self.context.spec.watch))

    def begin(self, release: str, start: float) -> list[str]:
        """Watch a release that has gone live; a warning where that cannot be.

        :param start: the seconds that its start took.
        """
        spec, app = self.context.spec, self.context.app
        if not spec.watch:
            return []
        Watch(
            release, self.live or "", time.time(), spec.watch, bool(spec.release_command), start,
            self.answers.requests, self.answers.failed, round(self.restarts, 2),
        ).write(self.at)  # fmt: skip
        argv = engine_program("watcher", "main", app)
        watching = TransientUnit(unit(app), f"watch over release {release} of {app}", argv, [("Type", "exec")])
        started = self.context.system.run(*watching.command("--collect"))
        if not started.returncode:
            return []
        self.at.watch.unlink(missing_ok=True)
        return [f"release {release} is not watched: {line(started.stderr)}"]


def end(context: Context) -> None:
    """End the watch that goes on, if one does."""
    if context.at.watch.exists():
        context.system.systemctl("stop", unit(context.app))
        context.at.watch.unlink(missing_ok=True)


def refusal(at: Layout, release: str) -> str:
    """Why a release that a watch has taken back is not deployed again; "" of any other."""
    event = Ledger(at).taken_back(release)
    if not event:
        return ""
    return (
        f"release {release} was rolled back automatically at {event['time']}, because {event.get('reason', '')}. "
        "Correct the cause and deploy that; or, if it lay outside of the release, deploy it again with `watch: 0`"
    )


def warnings(at: Layout, wanted: str = "") -> list[str]:
    """What a watch has found, for as long as the release that is live because of it, or in spite of it, is live.

    :param wanted: a release of which the caller says that it was rolled back, or that is wanted no more.
    """
    live, ledger = at.live() or "", Ledger(at)
    found = []
    if kept := ledger.kept(live):
        found.append(
            f"release {live} is not well: {kept.get('reason', '')} (noticed at {kept['time']}). It was not rolled back "
            f"automatically: {kept.get('why', '')}. To go back: `{at.app} rollback` on the host, or "
            f"`ansible-playbook groundwork.flask.rollback -e app={at.app}`"
        )
    event = ledger.last("live", live)
    left = event.get("previous") or ""
    if event.get("by") == BY and (bad := ledger.taken_back(left)) and wanted not in (left, live):
        found.append(
            f"release {left} was rolled back automatically at {bad['time']}, because {bad.get('reason', '')}; "
            f"release {live} was made live again"
        )
    return found
