# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules that are not to be loaded: the role's file says so, and counts from the next time one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.kernel import loaded_modules
from .machine import Machine


def keep(machine: Machine, wanted: Mapping[str, Any]) -> None:
    """Report those that are loaded, which the file leaves out.

    :param wanted: ``modules`` has their names.
    """
    loaded = [] if machine.container else loaded_modules(machine.root)
    machine.notes.extend(
        f"the kernel module {name} is loaded, may be in use, and is left as it is"
        for name in wanted["modules"]
        if name.replace("-", "_") in loaded
    )


def put_back(_machine: Machine) -> None:
    """Nothing is left once the file is gone."""
