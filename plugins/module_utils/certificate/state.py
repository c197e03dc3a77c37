# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program stores about a name between two runs: failed attempts, pauses, the deployed certificate."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ..common import clock
from ..common.files import make_directory, write
from .config import HOUR, MINUTE
from .messages import CertificateError

FIRST_PAUSE, LONGEST_PAUSE = 15 * MINUTE, 12 * HOUR


def pause(failures: int) -> int:
    """Return the seconds to wait after so many failures in a row: 15 minutes for an hour, then doubling to 12 hours.

    Let's Encrypt allows 5 failed validations an hour for a name, and suspends an account's name after 1,152 in a row.
    """
    doublings = max(0, min(failures, 20) - 4)
    return min(LONGEST_PAUSE, FIRST_PAUSE << doublings)


@dataclass
class IssueState:
    """The state of a name, in /var/lib/groundwork/certificates/NAME/state.json.

    :ivar failures: failed attempts in a row.
    :ivar next_attempt: when the timer tries again; the command `issue` does not wait for it.
    :ivar error: why the requested certificate is missing or incomplete; empty if it is not.
    :ivar deployed: fingerprint of the certificate with which the deploy command last succeeded.
    :ivar deploy_error: the error of the last deploy command; empty if it succeeded.
    :ivar left_out: domains that the certificate lacks because they do not lead to this host, with the reason.
    :ivar reached: domains by which the controller reached this host; the host itself may not, behind a router.
    """

    failures: int = 0
    next_attempt: str = ""
    error: str = ""
    deployed: str = ""
    deploy_error: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    reached: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> IssueState:
        """Read it; a file that is missing or damaged gives the default state."""
        try:
            given = json.loads(path.read_text())
            return cls(**{item.name: given[item.name] for item in fields(cls) if item.name in given})
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        """Write it if it differs from the file."""
        if self != IssueState.load(path):
            make_directory(path.parent, 0o700)
            write(path, (json.dumps(asdict(self), indent=2) + "\n").encode(), 0o600)

    @property
    def outlook(self) -> str:
        """The error and the time of the next attempt, for a message."""
        return f"{self.error.rstrip('.')}." + (f" Next attempt at {self.next_attempt}." if self.next_attempt else "")

    def is_time(self, now: float) -> bool:
        """Whether the pause is over."""
        return now >= clock.parse(self.next_attempt)

    def failed(self, error: CertificateError, now: float) -> None:
        """Record a failed attempt and the time of the next one."""
        self.failures += 1
        self.error = str(error)
        self.next_attempt = clock.timestamp(max(now + pause(self.failures), error.not_before))

    def settled(self) -> None:
        """Record that the certificate is as requested."""
        self.failures, self.next_attempt, self.error = 0, "", ""
        self.left_out, self.reached = {}, []
