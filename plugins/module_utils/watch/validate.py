# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb ``validate``: whether the configuration can be used."""

from __future__ import annotations

import compileall
import io
import os
import pwd
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from ..common.on_host import on_host
from ..common.ownership import account_of, persons
from .settings import Settings, SettingsError

PACKAGE = Path(__file__).parents[1]
PERCENT = (0, 100)
# The lowest and the highest value of each number, for a typing error: with an interval of 0 looks would never end.
BOUNDS = {
    "interval": (10, 3600),
    "boot_grace": (0, 3600),
    "disk_percent": PERCENT,
    "memory_percent": PERCENT,
    "swap_percent": PERCENT,
    "certificate_percent": PERCENT,
    "connections_percent": PERCENT,
    "restarts": (1, 1000),
    "drill_days": (1, 1000),
}


def main(_arguments: Sequence[str]) -> int:
    """Check the configuration; and compile the program, which its units have not the right to do."""
    check(Settings.load())
    check_account(account_of(on_host("alerts_account")))
    os.umask(0o022)  # the account that sends alerts reads them too
    with redirect_stdout(io.StringIO()) as said:
        is_sound = compileall.compile_dir(PACKAGE, quiet=1)
    if not is_sound:
        sys.stderr.write(said.getvalue())
    return 0 if is_sound else 1


def check(settings: Settings) -> None:
    """Whether each number is one, and within its bounds.

    :raises SettingsError: naming the role's variable.
    """
    for name, (lowest, highest) in BOUNDS.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or not lowest <= value <= highest:
            raise SettingsError(f"watch_{name} is {value!r}: give it a whole number from {lowest} to {highest}")


def check_account(found: pwd.struct_passwd | None) -> None:
    """Whether the account that sends alerts is nobody's own; it is made after this check.

    :raises SettingsError: naming it.
    """
    if account := persons(found):
        raise SettingsError(
            f"{account} is somebody's own, and would send the alerts and know their passwords: "
            "rename or remove it, and run again"
        )
