# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look hands to the next: what is known of conditions, what is not read each time, and windows of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .conditions import Known
from .history import quantile, since
from .records import App, Change, Condition, Requests

WINDOW = 300.0  # seconds of requests that rates are of
RESTART_WINDOW = 600.0  # seconds in which restarts count
SLOW = 300.0  # seconds after which what changes slowly is read again
OUTSIDE = 60.0  # seconds after which the sites are asked for from outside again


@dataclass
class Memory:
    """All of it; each part is plain data, and one that is missing or broken begins anew.

    :ivar known: of each condition.
    :ivar unsent: changes that were not put into the outbox yet.
    :ivar windows: of each app, the counters of its requests at the looks of the last minutes.
    :ivar restarts: of each unit, how often it had been restarted at these looks.
    :ivar slow: what is read every five minutes, and when it was.
    :ivar outside: the last answers from outside, and when that was.
    :ivar ledgers: of each app, what its ledger said when it was last changed.
    """

    known: dict[str, Known] = field(default_factory=dict)
    unsent: list[Change] = field(default_factory=list)
    windows: dict[str, list[list[Any]]] = field(default_factory=dict)
    restarts: dict[str, list[list[float]]] = field(default_factory=dict)
    slow: dict[str, Any] = field(default_factory=dict)
    outside: dict[str, Any] = field(default_factory=dict)
    ledgers: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As it is kept."""
        rest = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("known", "unsent")}
        return {
            "known": {key: one.plain() for key, one in self.known.items()},
            "unsent": [asdict(one) for one in self.unsent],
            **rest,
        }

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Memory:
        """From what was kept; what a program of another version has kept and this one cannot read is left out."""
        names = {one.name for one in fields(cls)} - {"known", "unsent"}
        found = cls(**{name: value for name, value in raw.items() if name in names})
        try:
            found.known = {key: Known.of(one) for key, one in raw.get("known", {}).items()}
            found.unsent = [Change(**{**one, "condition": Condition(**one["condition"])}) for one in raw["unsent"]]
        except (KeyError, TypeError, AttributeError):
            found.unsent = []
        return found

    def recent_requests(self, name: str, app: App, now: float) -> None:
        """Requests, share of errors and p95 of the last minutes; none from before an app's last failure ended."""
        kept = [] if app.state == "down" else self.windows.get(name, [])
        points = [one for one in kept if now - WINDOW <= one[0] <= now]
        counters = [now, app.requests.total, app.requests.by_class.get("5xx", 0), app.requests.buckets]
        self.windows[name] = [*points, counters]
        if not points:
            return
        _time, total, errors, buckets = points[0]
        found = since(Requests(total, {"5xx": errors}, list(buckets)), app.requests)
        app.recent = found.total
        app.p95 = quantile(found.buckets, found.total, 0.95)
        app.error_rate = found.by_class.get("5xx", 0) / found.total if found.total else None

    def count_restarts(self, counts: Mapping[str, int], now: float) -> dict[str, int]:
        """How often each unit was restarted within the last minutes; a counter that is lower has begun anew."""
        points = {name: list(recent(self.restarts.get(name, []), count, now)) for name, count in counts.items()}
        self.restarts = {name: [*points[name], [now, count]] for name, count in counts.items()}
        return {name: int(count - points[name][0][1]) if points[name] else 0 for name, count in counts.items()}

    def forget(self, apps: Sequence[str]) -> None:
        """Keep nothing of apps that are not looked at any more."""
        for part in (self.windows, self.ledgers):
            for name in part.keys() - set(apps):
                del part[name]


def recent(points: Sequence[Sequence[float]], count: int, now: float) -> Iterator[list[float]]:
    """Those of the last minutes that the present count goes on from."""
    for at, before in points:
        if now - RESTART_WINDOW <= at <= now and before <= count:
            yield [at, before]
