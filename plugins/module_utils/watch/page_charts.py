# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small pictures of the status page: the last day of an app, a column for each quarter of an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .page_words import NOT_KNOWN, counted, milliseconds, percent, stamp
from .records import SLOT, Slot

COLUMN = 3 * SLOT
COLUMNS = 86400 // COLUMN
HEIGHT = 64  # of a picture; a column is 2 wide


@dataclass
class Column:
    """What a column shows: the sums of its slots, and the worst of their percentiles."""

    requests: int = 0
    errors: int = 0
    p50: float | None = None
    p95: float | None = None
    looks: int = 0
    down: int = 0


def columns(slots: Sequence[Slot], now: float) -> list[Column]:
    """The columns of the day before `now`."""
    last = int(now) // COLUMN
    found = [Column() for _place in range(COLUMNS)]
    for slot in slots:
        place = slot.start // COLUMN - last + COLUMNS - 1
        if 0 <= place < COLUMNS:
            column = found[place]
            column.requests += slot.requests
            column.errors += slot.errors
            column.looks += slot.looks
            column.down += slot.down
            column.p50 = highest(column.p50, slot.p50)
            column.p95 = highest(column.p95, slot.p95)
    return found


def highest(one: float | None, other: float | None) -> float | None:
    """The higher of two that may not be known."""
    return one if other is None else other if one is None else max(one, other)


def chart(kind: str, title: str, number: str, words: str, drawing: str) -> str:
    """A picture below its title and its number, with words that say what it shows."""
    return (
        f'<figure class="{kind}"><figcaption>{title} <b>{number}</b></figcaption>'
        f'<svg viewBox="0 0 {2 * COLUMNS} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{title}, last day">{drawing}<path class="base" d="M0 {HEIGHT}h{2 * COLUMNS}"/></svg>'
        f"<p>{words}</p></figure>"
    )


def bars(heights: Sequence[float], kind: str) -> str:
    """A bar for each column that has a height; heights are between 0 and 1, and what is not zero can be seen."""
    path = "".join(
        f"M{2 * place + 1} {HEIGHT}v-{max(2, round(height * HEIGHT))}"
        for place, height in enumerate(heights)
        if height > 0
    )
    return f'<path class="bar {kind}" d="{path}"/>' if path else ""


def line_of(heights: Sequence[float | None], kind: str) -> str:
    """A line through the columns, with a gap where there is no value; one between two gaps is a dot."""
    path, drawn = "", False
    for place, height in enumerate(heights):
        if height is not None:
            path += f"{'L' if drawn else 'M'}{2 * place + 1} {HEIGHT - 2 - round(height * (HEIGHT - 6))}"
            path += "" if drawn else "h0"
        drawn = height is not None
    return f'<path class="line {kind}" d="{path}"/>' if path else ""


# --- the three pictures ----------------------------------------


def charts(slots: Sequence[Slot], now: float) -> str:
    """Requests with their errors, how long they took, and whether the app was up."""
    day = columns(slots, now)
    return f'<div class="charts">{requests(day, now)}{latency(slots, day)}{availability(day)}</div>'


def requests(day: Sequence[Column], now: float) -> str:
    """Requests by the quarter of an hour, and how many of them the app answered with an error."""
    total, errors = sum(one.requests for one in day), sum(one.errors for one in day)
    top = max(one.requests for one in day)
    words = "No requests in the last day"
    if total:
        place = next(place for place, one in enumerate(day) if one.requests == top)
        began = (int(now) // COLUMN - COLUMNS + 1 + place) * COLUMN
        words = f"{counted(errors, 'error')} ({percent(errors / total)}); " if errors else "no errors; "
        words += f"at most {top:,} in 15 min, at {stamp(began, '%H:%M UTC')}"
    drawing = bars([one.requests / (top or 1) for one in day], "all") + bars(
        [one.errors / (top or 1) for one in day], "bad"
    )
    return chart("requests", "Requests", f"{total:,}", words, drawing)


def latency(slots: Sequence[Slot], day: Sequence[Column]) -> str:
    """The 95th percentile of the duration of requests, and their median."""
    known = [one.p95 for one in day if one.p95 is not None]
    top = max(known, default=0.0) or 1.0
    last = next((slot for slot in reversed(slots) if slot.p95 is not None), None)
    words = "No requests in the last day"
    if last is not None:
        worst = max(known, default=last.p95)
        words = f"95th percentile; median {milliseconds(last.p50)}, highest of the day {milliseconds(worst)}"
    drawing = line_of([None if one.p50 is None else min(1.0, one.p50 / top) for one in day], "half")
    drawing += line_of([None if one.p95 is None else one.p95 / top for one in day], "most")
    return chart("latency", "Latency", milliseconds(last.p95 if last else None), words, drawing)


def availability(day: Sequence[Column]) -> str:
    """When the app was up, down, or not looked at."""
    looks, down = sum(one.looks for one in day), sum(one.down for one in day)
    unseen = sum(1 for one in day if not one.looks)
    words = f"{counted(down, 'look')} of {looks:,} found it down" if down else f"at each of {counted(looks, 'look')}"
    words += f"; not looked at for {unseen * COLUMN / 3600:.0f} h" if unseen * COLUMN >= 3600 else ""
    drawing = bars([1.0 if one.looks and not one.down else 0.0 for one in day], "up") + bars(
        [1.0 if one.down else 0.0 for one in day], "bad"
    )
    number = percent(1 - down / looks) if looks else NOT_KNOWN
    return chart("up", "Up", number, words if looks else "Not looked at in the last day", drawing)
