# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd units of a release: their names, the order in which they start and stop, and how each is checked.

This is the one place that knows. The set is recorded in ``release.json`` when the release is built; whatever acts on
the release later reads it from there, for ``flask_apps`` may describe another set by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from .layout import Layout

# socket: accepts the visitors' connections, from before the server runs until after it has stopped.
# web: the WSGI server; checked by its health path, through the socket.
# process: anything else that runs for the app, such as a worker; checked by staying active without a restart.
Kind = Literal["socket", "web", "process"]
KINDS: Sequence[Kind] = ("socket", "web", "process")
WANTS = ("sockets.target.wants", "multi-user.target.wants")


@dataclass(frozen=True)
class Unit:
    """One unit of a release.

    :ivar name: as systemd knows it, ``shop@3f9c01d2ab44.service`` or ``shop.worker@3f9c01d2ab44.service``.
    :ivar kind: what it is, which says how it is checked and stopped.
    :ivar process: of a process, its name, of which there may be several; the other two follow from the same.
    :ivar library: its kind (``process_kinds.py``), which says by which signal it is told to end.
    :ivar stop_timeout: the seconds that it gets for that.
    """

    name: str
    kind: Kind
    process: str = ""
    library: str = ""
    stop_timeout: int = 0

    def record(self) -> dict[str, Any]:
        """The unit as ``release.json`` has it."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class ReleaseUnits:
    """The units of one release, in the order in which they start."""

    units: tuple[Unit, ...]

    @classmethod
    def web_only(cls, app: str, release: str) -> ReleaseUnits:
        """The socket and the server alone."""
        return cls((Unit(f"{app}@{release}.socket", "socket"), Unit(web_service(app, release), "web")))

    @classmethod
    def of(cls, at: Layout, release: str) -> ReleaseUnits:
        """The set that is recorded for a release; releases of 0.1 have no record, and the socket and the server."""
        record = at.facts(release).get("units")
        if not record:
            return cls.web_only(at.app, release)
        return cls.ordered(Unit(**one) for one in record)

    @classmethod
    def ordered(cls, units: Iterable[Unit]) -> ReleaseUnits:
        """A set of units; the order within a kind is kept."""
        return cls(tuple(sorted(units, key=lambda unit: KINDS.index(unit.kind))))

    def record(self) -> list[dict[str, Any]]:
        """The set as ``release.json`` has it."""
        return [unit.record() for unit in self.units]

    @property
    def names(self) -> list[str]:
        """All of them, in the order in which they start."""
        return [unit.name for unit in self.units]

    @property
    def web(self) -> list[str]:
        """The socket and then the server, which start and stop together."""
        return [unit.name for unit in self.units if unit.kind != "process"]

    @property
    def server(self) -> str:
        """The WSGI server's service."""
        return next(unit.name for unit in self.units if unit.kind == "web")

    @property
    def processes(self) -> list[str]:
        """The others, in the order in which they start."""
        return [unit.name for unit in self.units if unit.kind == "process"]

    def with_processes(self, names: Iterable[str]) -> ReleaseUnits:
        """The set with further units that the host has for the release."""
        more = (Unit(name, "process") for name in sorted(names) if name not in self.names)
        return ReleaseUnits((*self.units, *more))


def web_service(app: str, release: str) -> str:
    """The WSGI server's service in a release; its file states the sandbox of all that acts for the app."""
    return f"{app}@{release}.service"


def enabled(at: Layout) -> dict[str, set[str]]:
    """The units of an app that a boot would start, by release."""
    found: dict[str, set[str]] = {}
    # The names of apps have no dots, so a dot begins the name of a process.
    for link in (
        link
        for wants in WANTS
        for pattern in (f"{at.app}@*", f"{at.app}.*@*")
        for link in (at.units / wants).glob(pattern)
    ):
        found.setdefault(link.name.partition("@")[2].rpartition(".")[0], set()).add(link.name)
    return found
