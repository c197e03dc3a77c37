# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb ``failed``, which ``OnFailure=`` of our units calls: it notes the unit and starts a look."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ..common.files import make_directory, write
from ..common.systemd import SYSTEMCTL, Systemd
from .state import MOST_NOTED, State

UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]{1,250}\.[a-z]+")
LOOK = "groundwork-watch.service"


def main(arguments: Sequence[str]) -> int:
    """Note each unit, and have a look begin."""
    state = State()
    for unit in arguments:
        try:
            note(unit, state.noted)
        except OSError as error:  # the look finds it among the failed units, unless it runs again by then
            sys.stderr.write(f"{unit} cannot be noted: {error}\n")
    Systemd().run(SYSTEMCTL, "start", "--no-block", LOOK, seconds=10)
    return 0


def note(unit: str, directory: Path) -> None:
    """Remember a unit until the next look; more than a look can tell are not kept."""
    if not UNIT.fullmatch(unit):
        return
    make_directory(directory, 0o700)
    if sum(1 for _one in directory.iterdir()) < MOST_NOTED:
        write(directory / unit, "", 0o600)
