# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last day of each app, in slots of five minutes, for the pictures of the status page.

As it is kept, a slot is a list of its values without their names: a day of ten apps is 2,880 slots, which each look
reads and writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from .records import BUCKETS, SLOT, App, Look, Requests, Slot

History = dict[str, list[Slot]]
SLOTS = 86400 // SLOT


def add(history: Mapping[str, Sequence[Slot]], before: Look | None, now: Look) -> History:
    """The history with what has happened between two looks; of the apps that the later one knows, and of one day.

    :param before: the look that the one before has kept; None if there is none.
    """
    start = int(now.time) // SLOT * SLOT
    known = before.apps if before else {}
    return {
        name: [
            *lasting(history.get(name, ()), start),
            added(open_slot(history.get(name, ()), start), known.get(name), app),
        ]
        for name, app in now.apps.items()
    }


def lasting(slots: Sequence[Slot], start: int) -> list[Slot]:
    """The closed slots of the day before the one that began at ``start``; none of a future that a wrong clock saw."""
    first = start - (SLOTS - 1) * SLOT
    return [replace(one, buckets=[]) if one.buckets else one for one in slots if first <= one.start < start]


def open_slot(slots: Sequence[Slot], start: int) -> Slot:
    """The slot that began at ``start``."""
    return next((one for one in reversed(slots) if one.start == start), Slot(start))


def added(slot: Slot, before: App | None, now: App) -> Slot:
    """The slot with one more look."""
    new = since(before.requests if before else None, now.requests)
    buckets = [kept + more for kept, more in zip(slot.buckets or [0] * len(BUCKETS), new.buckets, strict=False)]
    requests = slot.requests + new.total
    return replace(
        slot,
        requests=requests,
        errors=slot.errors + new.by_class.get("5xx", 0),
        p50=quantile(buckets, requests, 0.5),
        p95=quantile(buckets, requests, 0.95),
        looks=slot.looks + 1,
        down=slot.down + (now.state == "down"),
        buckets=buckets,
    )


def since(before: Requests | None, now: Requests) -> Requests:
    """The requests between two looks; counters that have begun anew count from zero."""
    if before is None or before.total > now.total or len(before.buckets) != len(now.buckets):
        return now
    return Requests(
        total=now.total - before.total,
        by_class={name: max(0, count - before.by_class.get(name, 0)) for name, count in now.by_class.items()},
        buckets=[max(0, count - earlier) for count, earlier in zip(now.buckets, before.buckets, strict=True)],
        seconds=max(0.0, now.seconds - before.seconds),
    )


def quantile(buckets: Sequence[int], total: int, share: float) -> float | None:
    """The duration that this share of requests did not exceed, by the bounds of their buckets; None without requests.

    Within a bucket durations are taken to be spread evenly, as Prometheus' histogram_quantile does; above the last
    bound it is that bound.
    """
    if not total:
        return None
    wanted = share * total
    for (low, below), (high, count) in pairwise(zip((0.0, *BUCKETS), (0, *buckets), strict=False)):
        if count >= wanted:
            return round(low + (high - low) * (wanted - below) / max(1, count - below), 4)
    return BUCKETS[-1]


# --- as it is kept ----------------------------------------


def dumps(history: Mapping[str, Sequence[Slot]]) -> str:
    """As it is kept in ``history.json``."""
    return json.dumps(
        {name: [values(slot) for slot in slots] for name, slots in history.items()}, separators=(",", ":")
    )


def values(slot: Slot) -> list[Any]:
    """A slot's values in the order of its fields; the buckets only while it is open."""
    found = [slot.start, slot.requests, slot.errors, slot.p50, slot.p95, slot.looks, slot.down]
    return [*found, slot.buckets] if slot.buckets else found


def loads(text: str) -> History:
    """What :func:`dumps` wrote. Anything else is an empty history: pictures are missing then, and nothing else."""
    try:
        return {str(name): [Slot(*one) for one in slots] for name, slots in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return {}
