# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read for a look beside what the look itself records, and how a condition that visitors notice is stated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .connections import Server
from .outside import Outside
from .records import Condition
from .running import Running
from .saved import Saved
from .settings import Settings


@dataclass
class Facts:
    """What was read beside the look itself.

    :ivar certificates: since when and until when the one that is served is valid, by app.
    :ivar restarts: how often each unit was restarted within the last minutes.
    :ivar releases: what the watch over a new release has found, by app.
    :ivar unread: what could not be looked at, and why.
    """

    settings: Settings
    running: Running
    outside: Outside = field(default_factory=Outside)
    certificates: dict[str, tuple[float, float]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    saved: dict[str, Saved] = field(default_factory=dict)
    backup_hours: float = 36.0
    backup_since: float = 0.0
    servers: list[Server] = field(default_factory=list)
    noted: set[str] = field(default_factory=set)
    releases: dict[str, list[str]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def critical(kind: str, subject: str, message: str, command: str, part: str = "") -> Condition:
    """A condition that visitors notice."""
    return Condition(kind, subject, part, message, command=command, severity="critical")


def level(is_critical: bool) -> Literal["critical", "warning"]:
    """The severity of a condition."""
    return "critical" if is_critical else "warning"
