# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the status page shows of the machine."""

from __future__ import annotations

from collections.abc import Iterator

from .page_words import NOT_KNOWN, moment, own, size
from .records import Machine

MOST_DISKS, MOST_UNITS = 12, 20


def machine_card(machine: Machine, now: float) -> str:
    """Load, memory and disks with their bars, and what else is worth knowing."""
    values = "".join(f"<div><dt>{term}</dt><dd>{value}</dd></div>" for term, value in facts(machine, now))
    return f'<section aria-label="Machine"><h2>Machine</h2><dl>{values}</dl></section>'


def facts(machine: Machine, now: float) -> Iterator[tuple[str, str]]:
    """Names and values."""
    if machine.load is not None:
        share = machine.load / max(1, machine.cores)
        yield "Load", f"{meter(share)}{machine.load:.2f} on {machine.cores} cores"
    if machine.memory:
        yield "Memory", used(machine.memory, machine.memory_available)
    if machine.swap:
        yield "Swap", used(machine.swap, machine.swap_free)
    for disk in machine.disks[:MOST_DISKS]:
        yield f"Disk {own(disk.get('mount', ''), 60)}", used(disk.get("size"), disk.get("free"))
        if disk.get("inodes"):
            share = 1 - (disk.get("inodes_free") or 0) / disk["inodes"]
            yield f"Inodes {own(disk.get('mount', ''), 60)}", f"{meter(share)}{share * 100:.0f} % used"
    yield "Started", moment(machine.boot, now)
    if machine.clock_synchronized is not None:
        yield "Clock", "synchronized" if machine.clock_synchronized else "not synchronized"
    yield "Reboot", "pending" if machine.reboot_pending else "not needed"
    if machine.failed_units:
        yield "Failed units", ", ".join(own(unit, 100) for unit in machine.failed_units[:MOST_UNITS])


def used(total: float | None, free: float | None) -> str:
    """How much of something is in use."""
    if not total or free is None:
        return NOT_KNOWN
    return f"{meter(1 - free / total)}{size(total - free)} of {size(total)}"


def meter(share: float) -> str:
    """A bar as long as the share."""
    return f'<u aria-hidden="true"><i style="width: {min(1.0, max(0.0, share)) * 100:.0f}%"></i></u>'
