# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an app consists of on its host: its live release with its units, its jobs, as the engine has recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..release.layout import Layout
from ..release.units import ReleaseUnits
from .look import Look


@dataclass(frozen=True)
class ReleaseParts:
    """The live release of an app.

    :ivar release: its id; "" where none is live.
    :ivar units: of the release, in the order in which they start.
    :ivar server: the service of its WSGI server; "" without a release.
    :ivar processes: the units of each process.
    :ivar jobs: what is recorded of each of its jobs.
    """

    app: str
    release: str = ""
    units: tuple[str, ...] = ()
    server: str = ""
    processes: Mapping[str, list[str]] = field(default_factory=dict)
    jobs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, app: str, look: Look) -> ReleaseParts:
        """Read it."""
        at = Layout(app, look.root)
        if not (release := at.live()):
            return cls(app)
        found = ReleaseUnits.of(at, release)
        processes: dict[str, list[str]] = {}
        for unit in found.units:
            if unit.kind == "process":
                processes.setdefault(unit.process, []).append(unit.name)
        jobs = at.facts(release).get("jobs") or {}
        return cls(app, release, tuple(found.names), found.server, processes, jobs)

    @property
    def names(self) -> list[str]:
        """All units of the app, those of its jobs too."""
        return [*self.units, *self.job_units]

    @property
    def job_units(self) -> list[str]:
        """The services and timers of its jobs."""
        return [f"{self.app}.{job}.{kind}" for job in self.jobs for kind in ("service", "timer")]
