# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run of the engine."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Result:
    """What a run did to one app.

    :ivar action: ``unchanged``, ``started``, ``prepared``, ``deployed``, ``rolled_back``, ``restarted``, ``removed``;
        of a prediction ``to start`` or ``to deploy``; ``needs_archive`` when the controller has to send the source
        first.
    :ivar workers: how many workers its server has, and why; ``processes`` how many processes run, and which.
    :ivar jobs: when each of its jobs runs next.
    :ivar database: how it reaches its database; "" without one.
    :ivar seconds: what the run took; ``steps`` has the seconds of each step.
    :ivar changes: the names of what differs from the live release; ``differences`` has old and new values too.
    :ivar commands: what a prediction would run.
    """

    release: str = ""
    previous: str = ""
    action: str = "unchanged"
    source: str = ""
    workers: str = ""
    processes: str = ""
    jobs: str = ""
    database: str = ""
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    needs_archive: bool = False

    @property
    def changed(self) -> bool:
        """Whether the run did anything."""
        return self.action != "unchanged"
