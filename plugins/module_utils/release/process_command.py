# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs of an app, for ``shop processes``: the server of the live release, its processes, and those that end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .layout import Layout
from .supervisor import ENDED
from .system import System
from .units import ReleaseUnits, Unit

WEB = "web"  # how the WSGI server is called beside the processes
COLUMNS = ("process", "state", "since", "memory", "restarts", "release")
PROPERTIES = "Id,ActiveState,ActiveEnterTimestamp,InactiveExitTimestamp,NRestarts,MemoryCurrent"
# What a state of systemd's means here.
ENDING, STARTING = "finishes its job", "starts"
STATES: Mapping[str, str] = {"active": "runs", "deactivating": ENDING, "activating": STARTING}


def shown_units(units: ReleaseUnits, system: System | None = None) -> dict[str, dict[str, str]]:
    """Properties of the units of a release, by name, as systemd shows them."""
    if not units.names:
        return {}
    shown = (system or System()).systemctl("show", f"--property={PROPERTIES}", *units.names).stdout
    blocks = (dict(row.split("=", 1) for row in block.splitlines() if "=" in row) for block in shown.split("\n\n"))
    return {block["Id"]: block for block in blocks if "Id" in block}


def memory(properties: Mapping[str, str]) -> int | None:
    """The bytes of memory that a unit uses; None where systemd does not know."""
    found = properties.get("MemoryCurrent", "")
    return int(found) if found.isdigit() and int(found) < 2**60 else None


def processes(at: Layout) -> list[dict[str, Any]]:
    """The server and the processes of the live release, then what still runs of others; one row for each unit."""
    live = at.live()
    releases = [
        *([live] if live else []),
        *sorted(path.name for path in at.releases.glob("[!.]*") if path.name != live),
    ]
    sets = {release: services(ReleaseUnits.of(at, release)) for release in releases}
    shown = shown_units(ReleaseUnits(tuple(unit for units in sets.values() for unit in units)))
    return [
        row(unit, release, shown.get(unit.name, {}))
        for release, units in sets.items()
        for unit in units
        if release == live or shown.get(unit.name, {}).get("ActiveState", ENDED[0]) not in ENDED
    ]


def services(units: ReleaseUnits) -> list[Unit]:
    """The units of a release that run something."""
    return [unit for unit in units.units if unit.kind != "socket"]


def row(unit: Unit, release: str, properties: Mapping[str, str]) -> dict[str, Any]:
    """What is shown of a unit."""
    state = properties.get("ActiveState", "unknown")
    return {
        "process": WEB if unit.kind == WEB else unit.process or unit.name,
        "unit": unit.name,
        "state": state,
        "since": properties.get("ActiveEnterTimestamp", ""),
        "memory": memory(properties),
        "restarts": int(properties.get("NRestarts") or 0),
        "release": release,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The processes as a person reads them."""
    if not rows:
        return "Nothing runs, for no release is live."
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(COLUMNS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(text)


def cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    return (
        one["process"],
        STATES.get(one["state"], one["state"]) if one["process"] != WEB or one["state"] == "active" else one["state"],
        one["since"],
        f"{one['memory'] / 2**20:.0f} MB" if one["memory"] else "",
        str(one["restarts"]),
        one["release"],
    )
