# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time, in UTC, as they are written down and shown."""

from __future__ import annotations

import time
from datetime import UTC, datetime

DAY = 86400


def now() -> float:
    """The present POSIX time."""
    return time.time()


def timestamp(at: float | None = None) -> str:
    """Write a POSIX time, by default now, as ``2027-02-10T16:20:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now() if at is None else at))


def date(at: float) -> str:
    """Write a POSIX time as ``2027-02-10``."""
    return timestamp(at)[:10]


def parse(text: str) -> float:
    """Read a time in ISO 8601, by default in UTC, as a POSIX time; 0 for anything that is not a time."""
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
