# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests a running release has answered, and how many of them badly, as its own processes count them.

``groundwork_wsgi.py`` writes the numbers into the unit's runtime directory. The app can write
anything there; the only effect is on whether the watch rolls back that app's own release.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from ..common import trees
from .layout import Layout

NAME = re.compile(r"answers-(\d{1,10})", re.ASCII)
NUMBERS = struct.Struct("<QQQ")  # requests that were begun, ended, and failed, as groundwork_wsgi.py writes them
PROCESSES = 512  # more than a unit may have
LARGEST = 2**48  # requests: no process answers as many, and sums of them stay exact


@dataclass(frozen=True)
class Answers:
    """Numbers of requests.

    :ivar failed: of those, how many were answered with 5xx or not at all.
    """

    requests: int = 0
    failed: int = 0

    def __add__(self, other: Answers) -> Answers:
        return Answers(self.requests + other.requests, self.failed + other.failed)

    def __sub__(self, other: Answers) -> Answers:
        return Answers(self.requests - other.requests, self.failed - other.failed)

    @property
    def share(self) -> float:
        """The part that failed."""
        return self.failed / self.requests if self.requests else 0.0


@dataclass
class Count:
    """Counts the requests of a release for some time, during which its processes come and go.

    :ivar gone: what processes had counted whose files have made room for others.
    """

    at: Layout
    release: str
    seen: dict[str, Answers] = field(default_factory=dict)
    gone: Answers = field(default_factory=Answers)

    def look(self) -> Answers:
        """What there is until now."""
        for name, answers in read(self.at, self.release).items():
            before = self.seen.get(name, Answers())
            if answers.requests < before.requests:  # another process of that number
                self.gone += before
            self.seen[name] = answers
        return sum(self.seen.values(), self.gone)


def read(at: Layout, release: str) -> dict[str, Answers]:
    """What each process of a release has counted, by the name of its file."""
    directory, found = f"{at.app}-{release}", {}
    for name in trees.names(at.root / "run", directory)[:PROCESSES]:
        if process := NAME.fullmatch(name):
            try:
                raw = trees.read_bytes(at.root / "run" / directory, name, NUMBERS.size)
                begun, ended, failed = NUMBERS.unpack(raw)
            except (OSError, struct.error):
                continue
            if failed <= ended <= begun <= LARGEST:
                # What a process had begun when it died was not answered.
                lost = 0 if Path("/proc", process[1]).exists() else begun - ended
                found[name] = Answers(ended + lost, failed + lost)
    return found
