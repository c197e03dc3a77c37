# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security updates: apt's timers run, and what the role states for apt is in effect."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import units
from .machine import Machine

PART = "updates"
TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer")
FILE = "99groundwork"  # of the role, in apt.conf.d
APT_CONFIG = "/usr/bin/apt-config"
VALUE = re.compile(r'^(\S+) "(.*)";$', re.MULTILINE)


def keep(machine: Machine, wanted: Mapping[str, Any]) -> None:
    """Have apt look for updates and install those that mend a fault of security.

    :param wanted: ``apt`` has the settings that the role's file states.
    """
    units.run_from_now_on(machine, PART, *TIMERS)
    for key, value, found in overridden(machine, wanted["apt"]):
        said = f": {', '.join(files)} says so" if (files := later_files(machine.root, key)) else ""
        machine.warnings.append(
            f"{key} is {found!r} on this host, not {value!r}{said}. "
            f"Take it out there, or put {PART} into host_skip_parts"
        )


def overridden(machine: Machine, wanted: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Those settings that are not in effect: key, wanted and found."""
    found = dict(VALUE.findall(machine.run((APT_CONFIG, "dump")).stdout))
    return [(key, value, found.get(key, "")) for key, value in wanted.items() if found.get(key, "") != value]


def later_files(root: Path, key: str) -> list[str]:
    """The files of apt.conf.d that are read after the role's and name a setting."""
    leaf = key.rpartition("::")[2]
    directory = root / "etc/apt/apt.conf.d"
    later = sorted(file for file in directory.glob("*") if file.name > FILE and file.is_file())
    return [str(file) for file in later if leaf in file.read_text(errors="replace")]


def put_back(machine: Machine) -> None:
    """Leave the timers as they were."""
    units.put_back(machine, PART)
