# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One message of what waits for a receiver: what has begun, what has ended, and what both began and ended meanwhile.

An app has a hand in the sentence and the log line of a condition. Each is one bounded printable line here; what else a
type of receiver takes for a command of its own is its module's business.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..common.clock import timestamp
from ..common.on_host import on_host
from ..common.text import line
from .records import Change

SENTENCE, LOG_LINE, COMMAND, SUBJECT = 300, 300, 200, 120  # characters
PROGRAM = f"{on_host('programs')}/watch"
IN_FULL = 5  # entries; a phone shows one screen
IN_SHORT = 20
WORDS = {"resolved": "Resolved", "passed": "Over already"}
ORDER = ("alert", "resolved", "passed", "test")


@dataclass(frozen=True)
class Entry:
    """What a message says of one condition.

    :ivar event: ``alert``, ``resolved``, ``test``, or ``passed`` for one that began and ended before the receiver was
        told of either.
    :ivar change: the last one of the condition.
    """

    event: str
    change: Change

    @property
    def rank(self) -> tuple[int, bool, float]:
        """What comes first in a message."""
        return (ORDER.index(self.event), self.change.condition.severity != "critical", self.change.condition.since)

    @property
    def what(self) -> str:
        """The condition in one sentence."""
        return line(self.change.condition.message or self.change.condition.kind, SENTENCE)

    @property
    def subject(self) -> str:
        """The app, with the host; or the host."""
        app, host = line(self.change.condition.subject, 40), line(self.change.host, 60)
        return host if app == "host" else f"{app} on {host}"

    @property
    def head(self) -> str:
        """Which condition of what, and since when or how long."""
        condition, at = self.change.condition, self.change.time
        since = condition.since or at
        if self.event == "test":
            return f"{self.subject}: test"
        if self.event == "alert":
            return f"{self.subject}: {condition.severity}, since {clock(since)}"
        if self.event == "resolved":
            return f"{self.subject}: resolved {clock(at)}, lasted {duration(at - since)}"
        return f"{self.subject}: over already, from {clock(since)} for {duration(at - since)}"

    @property
    def lines(self) -> list[str]:
        """All of it, as a person reads it."""
        condition = self.change.condition
        found = [self.head, f"was: {self.what}" if self.event in ("resolved", "passed") else self.what]
        if condition.line and self.event == "alert":
            found.append(f"log: {line(condition.line, LOG_LINE)}")
        if condition.command and self.event in ("alert", "test"):
            found.append(f"try: {line(condition.command, COMMAND)}")
        return found

    def plain(self) -> dict[str, Any]:
        """As a webhook and a command get it."""
        condition, at = self.change.condition, self.change.time
        since = condition.since or at
        return {
            "event": self.event,
            "subject": line(condition.subject),
            "kind": line(condition.kind),
            "part": line(condition.part),
            "severity": condition.severity,
            "message": self.what,
            "line": line(condition.line, LOG_LINE),
            "command": line(condition.command, COMMAND),
            "since": timestamp(since),
            "time": timestamp(at),
            "seconds": max(0, round(at - since)),
        }


@dataclass(frozen=True)
class Message:
    """What one receiver is told at once, with at least one entry."""

    host: str
    entries: tuple[Entry, ...]

    @property
    def level(self) -> str:
        """``critical``, ``warning``, ``resolved`` (nothing in it asks for an action) or ``test``."""
        alerts = {entry.change.condition.severity for entry in self.entries if entry.event == "alert"}
        if alerts:
            return "critical" if "critical" in alerts else "warning"
        return "test" if all(entry.event == "test" for entry in self.entries) else "resolved"

    @property
    def subject(self) -> str:
        """The message in one line."""
        first = self.entries[0]
        if len(self.entries) == 1:
            if first.event in ("resolved", "passed"):
                return line(f"{WORDS[first.event]}: {first.subject} ({first.what})", SUBJECT)
            word = "Test" if first.event == "test" else first.change.condition.severity.upper()
            return line(f"{word}: {first.subject}: {first.what}", SUBJECT)
        counts = [(event, sum(entry.event == event for entry in self.entries)) for event in ORDER]
        names = {"alert": "alert", "resolved": "resolved", "passed": "over already", "test": "test"}
        parts = [
            f"{number} {names[event]}{'s' if event == 'alert' and number > 1 else ''}"
            for event, number in counts
            if number
        ]
        subjects = dict.fromkeys(line(entry.change.condition.subject, 40) for entry in self.entries)
        word = self.level.upper() if self.level in ("critical", "warning") else self.level.capitalize()
        return line(f"{word}: {self.host}: {', '.join(parts)} ({', '.join(subjects)})", SUBJECT)

    @property
    def text(self) -> str:
        """The message as a person reads it."""
        full, short, more = self.entries[:IN_FULL], self.entries[IN_FULL:IN_SHORT], self.entries[IN_SHORT:]
        blocks = ["\n".join(entry.lines) for entry in full]
        if short:
            blocks.append("\n".join(f"{entry.head}: {line(entry.what, 100)}" for entry in short))
        if more:
            blocks.append(f"and {len(more)} more: {PROGRAM} status")
        return "\n\n".join(blocks) + "\n"

    def plain(self) -> dict[str, Any]:
        """As a webhook and a command get it; docs/alerts.md describes the keys."""
        return {
            "version": 1,
            "host": line(self.host),
            "level": self.level,
            "subject": self.subject,
            "text": self.text,
            "changes": [entry.plain() for entry in self.entries[:IN_SHORT]],
            "more": max(0, len(self.entries) - IN_SHORT),
        }


def compose(changes: Sequence[Change]) -> Message | None:
    """The message of changes that wait; None when there are none."""
    entries = [_entry(of_one) for of_one in _by_key(changes).values()]
    if not entries:
        return None
    return Message(line(changes[-1].host, 60), tuple(sorted(entries, key=_rank)))


def condensed(changes: Sequence[Change]) -> list[Change]:
    """The changes that the message of all of them needs: of each condition the first and the last."""
    return [change for of_one in _by_key(changes).values() for change in dict.fromkeys((of_one[0], of_one[-1]))]


def _rank(entry: Entry) -> tuple[int, bool, float]:
    return entry.rank


def _by_key(changes: Sequence[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for change in sorted(changes, key=_time):
        found.setdefault(change.condition.key, []).append(change)
    return found


def _time(change: Change) -> float:
    return change.time


def _entry(of_one: Sequence[Change]) -> Entry:
    first, last = of_one[0], of_one[-1]
    passed = first.event == "alert" and last.event == "resolved"
    return Entry("passed" if passed else last.event, last)


def clock(at: float) -> str:
    """A time in the host's time zone, such as ``Mon 30 Nov 03:12 CET``."""
    return time.strftime("%a %d %b %H:%M %Z", time.localtime(at))


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    rest = max(0, round(seconds))
    found: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if rest >= size or (name == "s" and not found):
            found.append(f"{rest // size} {name}")
            rest %= size
        elif found:
            break
    return " ".join(found[:2])
