# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock: kept right by what is there already, else by systemd-timesyncd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import units
from .machine import Machine

PART = "time"
OTHERS = ("chrony.service", "chronyd.service", "ntpsec.service", "ntp.service", "ntpd.service", "openntpd.service")
OURS = "systemd-timesyncd.service"


def keep(machine: Machine, _wanted: Mapping[str, Any]) -> None:
    """Have one program keep the clock right."""
    if machine.container:
        machine.notes.append("time: the clock of a container is the machine's, and is kept right there")
        return
    states = {name: machine.unit(name) for name in OTHERS}
    there = [name for name in OTHERS if states[name].get("LoadState") == "loaded"]
    if running := [name for name in there if states[name].get("ActiveState") == "active"]:
        machine.notes.append(f"time: {running[0]} keeps the clock right, and is left as it is")
    elif there:
        machine.warnings.append(
            f"time: {there[0]} is installed and does not run, so nothing keeps the clock right: "
            f"`systemctl enable --now {there[0]}`, or remove its package and run again"
        )
    else:
        units.run_from_now_on(machine, PART, OURS)


def put_back(machine: Machine) -> None:
    """Leave systemd-timesyncd as it was."""
    units.put_back(machine, PART)
