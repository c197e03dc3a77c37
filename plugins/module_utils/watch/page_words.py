# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the status page writes texts, times, sizes and durations."""

from __future__ import annotations

import html
import time
from typing import Any

from ..common.text import line

MINUTE, HOUR, DAY = 60, 3600, 86400
NOT_KNOWN = "not known"


def text(value: Any, limit: int = 200) -> str:
    """A text for the page: one printable line, escaped, which turns the direction of nothing around it."""
    return html.escape(line(str(value), limit))


def own(value: Any, limit: int = 200) -> str:
    """The same in an element of its own, for what an app or a user has written."""
    return f"<bdi>{text(value, limit)}</bdi>"


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 warning`, `2 warnings`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A span of time in its largest unit, such as `3 h`; it is not broken into two lines."""
    seconds = max(0.0, seconds)
    if seconds < MINUTE:
        return f"{seconds:.0f}\u00a0s"
    if seconds < 2 * HOUR:
        return f"{seconds / MINUTE:.0f}\u00a0min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.0f}\u00a0h"
    return f"{seconds / DAY:.0f}\u00a0days"


def stamp(when: float, form: str = "%Y-%m-%d %H:%M UTC") -> str:
    """A time in UTC; not known where it is none that a calendar has."""
    try:
        return time.strftime(form, time.gmtime(when))
    except (OverflowError, ValueError, OSError):
        return NOT_KNOWN


def moment(when: float | None, now: float) -> str:
    """A time in words, relative to the look, with the whole time for who points at it or is read the page aloud."""
    if when is None:
        return NOT_KNOWN
    words = f"{span(now - when)} ago" if when <= now else f"in {span(when - now)}"
    return f'<time datetime="{stamp(when, "%Y-%m-%dT%H:%M:%SZ")}" title="{stamp(when)}">{words}</time>'


def size(count: float | None) -> str:
    """A number of bytes, such as `312 MB`; powers of 1024."""
    if count is None:
        return NOT_KNOWN
    for unit, factor in (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20)):
        if count >= factor:
            amount = count / factor
            return f"{amount:.1f} {unit}" if amount < 10 and unit != "MB" else f"{amount:.0f} {unit}"
    return f"{count / 1024:.0f} kB"


def milliseconds(seconds: float | None) -> str:
    """The duration of a request, such as `45 ms`."""
    if seconds is None:
        return NOT_KNOWN
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def percent(share: float) -> str:
    """A share, such as `0.1 %`; none that is nearly nothing or nearly all reads as that."""
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    return f"{min(99.9, share * 100):.1f} %" if share >= 0.001 else "< 0.1 %"
