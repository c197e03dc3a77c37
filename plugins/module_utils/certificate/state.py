# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program remembers of a name between two runs: failures, pauses, what was put to use."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ..common import clock
from ..common.files import write
from .config import HOUR, MINUTE
from .messages import Refusal

FIRST_PAUSE, LONGEST_PAUSE = 15 * MINUTE, 12 * HOUR


def pause(failures: int) -> int:
    """Seconds to wait after so many failures in a row: 15 minutes for the first hour, then doubling up to 12 hours.

    Let's Encrypt allows 5 failed validations an hour for a name, and suspends an account's name after 1,152 in a row.
    """
    doublings = max(0, min(failures, 20) - 4)
    return min(LONGEST_PAUSE, FIRST_PAUSE << doublings)


@dataclass
class State:
    """What this program remembers of a name, in /var/lib/groundwork/certificates/NAME/state.json.

    :param failures: attempts that failed, one after the other.
    :param next_attempt: time of the next one, for the timer (a person's `issue` does not wait).
    :param error: why there is not the certificate that is asked for, or empty.
    :param deployed: fingerprint of the pair with which the deploy command last succeeded.
    :param deploy_error: what it said if it failed.
    :param left_out: domains that the certificate waits for, with the reason.
    :param seen: domains that the controller reached at this host; the host itself may not, behind a router.
    """

    failures: int = 0
    next_attempt: str = ""
    error: str = ""
    deployed: str = ""
    deploy_error: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read it; what cannot be read is as if it had never been."""
        try:
            given = json.loads(path.read_text())
            return cls(**{item.name: given[item.name] for item in fields(cls) if item.name in given})
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        """Write it if it differs from what is there."""
        if self != State.load(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(path, (json.dumps(asdict(self), indent=2) + "\n").encode(), 0o600)

    @property
    def outlook(self) -> str:
        """The error, and when there is another attempt."""
        return f"{self.error.rstrip('.')}." + (f" Next attempt at {self.next_attempt}." if self.next_attempt else "")

    def is_time(self, now: float) -> bool:
        """True when the pause is over."""
        return now >= clock.parse(self.next_attempt)

    def failed(self, refusal: Refusal, now: float) -> None:
        """Note a failed attempt, and when the next one is to be."""
        self.failures += 1
        self.error = str(refusal)
        self.next_attempt = clock.timestamp(max(now + pause(self.failures), refusal.not_before))

    def settled(self) -> None:
        """Note that nothing is left to ask for."""
        self.failures, self.next_attempt, self.error = 0, "", ""
        self.left_out, self.seen = {}, []
