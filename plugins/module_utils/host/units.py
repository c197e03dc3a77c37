# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of others that a part needs: enabled and started, and left as they were when the part goes."""

from __future__ import annotations

from ..common.systemd import SYSTEMCTL
from .machine import Machine


def run_from_now_on(machine: Machine, part: str, *names: str) -> None:
    """Enable and start units; one that the operator has masked stays so, with a warning."""
    for name in names:
        state = machine.unit(name)
        if state.get("LoadState") in ("masked", "not-found"):
            what = "is masked" if state["LoadState"] == "masked" else "is not on this host"
            remedy = f"`systemctl unmask {name}`" if state["LoadState"] == "masked" else "install its package"
            machine.warnings.append(
                f"{name} {what}, so the part {part} is not in effect: {remedy}, or put {part} into host_skip_parts"
            )
            continue
        enabled, active = state.get("UnitFileState") == "enabled", state.get("ActiveState") == "active"
        if enabled and active:
            continue
        machine.remember(part, {name: {"enabled": enabled, "active": active}})
        if machine.does(f"{name} enabled and started"):
            machine.succeeds(SYSTEMCTL, "enable", "--now", "--", name)


def put_back(machine: Machine, part: str) -> None:
    """Stop and disable those that a part has started and enabled."""
    for name, was in machine.before(part).items():
        if not was["enabled"] and machine.does(f"{name} disabled, as before"):
            machine.succeeds(SYSTEMCTL, "disable", *(() if was["active"] else ("--now",)), "--", name)
    if not machine.dry_run:
        machine.forget(part)
