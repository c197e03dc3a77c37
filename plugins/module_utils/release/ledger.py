# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened to an app's releases: one JSON object a line, appended and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from ..common.clock import timestamp
from ..common.files import make_directory
from . import checks
from .layout import Layout

Event = dict[str, Any]
LOG_KEPT = 4000  # characters of a log, the last ones
MOST_SHOWN = 20  # releases; the live one is shown beside them


class Ledger:
    """The events of one app, oldest first.

    ``begin``: a deploy or a rollback has begun; ``switch``: its release is about to become live; ``live``: it is done;
    ``bad``: it failed, with the step and the reason, or was rolled back by the watch after its switch (step ``watch``);
    ``kept``: the watch found that it is not well, and it stayed live, with the reason for either; ``skip``: checks of
    it were switched off; ``removed``: the app was taken off the host.
    """

    def __init__(self, at: Layout) -> None:
        self.at = at

    def append(self, event: str, release: str, **facts: Any) -> None:
        """Add a line, safe on the disk when this returns. A line that a crash cut off stays alone on its own."""
        line = json.dumps({"time": timestamp(), "event": event, "release": release, **facts})
        make_directory(self.at.ledger.parent)
        with open(os.open(self.at.ledger, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o640), "r+b") as stream:
            size = stream.seek(0, os.SEEK_END)
            is_cut_off = size > 0 and os.pread(stream.fileno(), 1, size - 1) != b"\n"
            stream.write((f"\n{line}\n" if is_cut_off else f"{line}\n").encode())
            stream.flush()
            os.fsync(stream.fileno())

    def events(self) -> list[Event]:
        """All of them. A ``switch`` that took place counts as ``live``, even if its run ended before it wrote that."""
        found = self.read()
        if (cut := self.cut_off(found)) is not None:
            found.append({**cut, "event": "live"})
        return found

    def read(self) -> list[Event]:
        """Read all that is written down; a line that a crash cut off is left out."""
        try:
            lines = self.at.ledger.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:  # cut off by a crash
                continue
        return found

    def cut_off(self, events: Sequence[Event]) -> Event | None:
        """The switch to the live release, if no later event confirms it."""
        last = next((event for event in reversed(events) if event["event"] in ("switch", "live", "removed")), None)
        return last if last and last["event"] == "switch" and last["release"] == self.at.live() else None

    def heal(self) -> None:
        """Write down what a killed run could not."""
        if (cut := self.cut_off(self.read())) is not None:
            facts = {name: value for name, value in cut.items() if name not in ("time", "event", "release")}
            self.append("live", cut["release"], **facts)

    def last(self, event: str, release: str) -> Event:
        """The last event of this kind of a release; empty without one."""
        return next((e for e in reversed(self.events()) if (e["event"], e["release"]) == (event, release)), {})

    def taken_back(self, release: str) -> Event:
        """The event of the watch that has rolled a release back; empty if it has not, or the release was live since."""
        last = self.newest(release, "live", "bad")
        return last if last.get("event") == "bad" and last.get("step") == "watch" else {}

    def kept(self, release: str) -> Event:
        """The event of the watch that has found a release unwell and left it live; empty if it has not."""
        last = self.newest(release, "live", "kept")
        return last if last.get("event") == "kept" else {}

    def newest(self, release: str, *kinds: str) -> Event:
        """The last event of some kinds of a release; empty without one since the app was removed."""
        for event in reversed(self.events()):
            if event["event"] == "removed":
                break
            if event["release"] == release and event["event"] in kinds:
                return event
        return {}

    def migration_heads(self, release: str) -> list[str] | None:
        """The migration heads of the database when the release went live; None when they are not known."""
        return heads_after(self.last("live", release))

    def warnings(self, release: str, skipped: Sequence[str] | None = None) -> list[str]:
        """What the operator should know of a release, as it was found when it went live.

        :param skipped: checks that are switched off; by default those that were at the last run.
        """
        found: list[str] = []
        recorded: Sequence[str] = ()
        for event in self.events():
            if event["event"] == "removed":
                found = []
            elif event["release"] != release:
                continue
            elif event["event"] == "skip":
                recorded = event.get("checks", ())
            elif event["event"] == "live":
                # A rollback does not look at everything again.
                before = found if event.get("action") == "rolled_back" else []
                found = list(dict.fromkeys([*before, *event.get("warnings", ())]))
        return checks.without(found, recorded if skipped is None else skipped)

    def skip(self, release: str, skipped: Sequence[str]) -> None:
        """Write down which checks are switched off, where that changes the warnings of a release."""
        if self.warnings(release, skipped) != self.warnings(release):
            self.append("skip", release, checks=list(skipped))

    def way_back(self) -> list[str]:
        """The releases that a rollback would go to, the next one first.

        A deploy puts its release on a stack, a rollback takes off what lies above the one it goes to. So a second
        rollback goes further back, and not to the release that the first one left.
        """
        stack: list[str] = []
        for event in self.events():
            if event["event"] == "removed":
                stack = []
            elif event["event"] == "live":
                release = event["release"]
                if event.get("action") == "rolled_back" and release in stack:
                    del stack[stack.index(release) + 1 :]
                else:
                    stack = [*(other for other in stack if other != release), release]
        live = self.at.live()
        return [release for release in reversed(stack) if release != live and self.at.is_good(release)]


def heads_after(event: Event) -> list[str] | None:
    """The migration heads after a run; 0.1 wrote them down as ``heads``."""
    heads: dict[str, list[str] | None] = event.get("migration_heads") or event.get("heads") or {}
    return heads.get("after")


def states(at: Layout) -> Sequence[Event]:
    """The newest releases on the disk, the newest bad ones and the live one, newest event first; what is known of each.

    Keys: release, state (live, good, bad), version, source, by, time, seconds, health (milliseconds), migration_heads,
    reason, kept.
    """
    known: dict[str, Event] = {}
    live, ledger = at.live(), Ledger(at)
    for event in ledger.events():
        release = event["release"]
        if event["event"] == "removed":
            known = {}
        elif event["event"] in ("live", "bad"):
            known.pop(release, None)
            known[release] = event
    on_disk = {path.name for path in at.releases.glob("*") if at.is_complete(path.name)}
    rows = []
    for release, event in reversed(known.items()):
        bad = event["event"] == "bad" or (at.release(release) / "bad").exists()
        if release not in on_disk and not bad:
            continue
        rows.append(
            {
                "release": release,
                "state": "live" if release == live else "bad" if bad else "good",
                "version": event.get("version", ""),
                "source": event.get("source", ""),
                "by": event.get("by", ""),
                "time": event["time"],
                "seconds": event.get("seconds"),
                "health": event.get("health"),
                "migration_heads": heads_after(event),
                "reason": event.get("reason", "") if bad else "",
                "kept": release in on_disk,
            }
        )
    return [row for number, row in enumerate(rows) if number < MOST_SHOWN or row["state"] == "live"]
