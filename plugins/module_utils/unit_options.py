# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module is asked of systemd units: the options of a unit, and a unit as it should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# What is done to a unit when a file set that it follows has changed, as an option has it and as :class:`Unit`.
ON_CHANGE = {"restarted": "restart", "reloaded": "reload", "ignored": "ignore"}
# The options of a unit, as a module takes them.
REPLACED_OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "file_set": {"type": "str", "required": True},
    "successor": {"type": "str", "required": True},
    "absent_parts": {"type": "list", "elements": "str", "default": []},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
    "enabled": {"type": "bool"},
    "follows": {"type": "list", "elements": "str", "default": []},
    "on_change": {"type": "str", "choices": [*ON_CHANGE], "default": "restarted"},
    "restart_for": {"type": "list", "elements": "str", "default": []},
    "replaces": {"type": "list", "elements": "dict", "default": [], "options": REPLACED_OPTIONS},
    "takes_over": {"type": "list", "elements": "str", "default": []},
}


@dataclass(frozen=True)
class Replaced:
    """A unit in whose place another one is to run.

    :param file_set: the set it loads; a unit whose set is not on this host is not ours, and left alone. Empty to
        replace the unit whatever it serves.
    :param successor: the set that takes the place of it.
    :param absent_parts: parts of it that the successor need not have.
    """

    name: str
    file_set: str = ""
    successor: str = ""
    absent_parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    """What is asked of one unit.

    :param started: True for running, False for stopped.
    :param enabled: True, False, or None to leave it.
    :param follows: names of the file sets it loads.
    :param on_change: ``restart``, ``reload`` or, for nothing, ``ignore``, when one of them has changed since it was
        loaded.
    :param restart_for: files that no reload takes in: the unit is restarted when one of them has changed.
    :param replaces: units that cannot run beside it.
    """

    name: str
    started: bool = True
    enabled: bool | None = None
    follows: tuple[str, ...] = ()
    on_change: str = "restart"
    restart_for: tuple[str, ...] = ()
    replaces: tuple[Replaced, ...] = ()

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Unit:
        """Make one of a module's options."""
        return cls(
            options["name"],
            options["state"] == "started",
            options["enabled"],
            tuple(options["follows"]),
            ON_CHANGE[options["on_change"]],
            tuple(options["restart_for"]),
            (
                *(
                    Replaced(old["name"], old["file_set"], old["successor"], tuple(old["absent_parts"]))
                    for old in options["replaces"]
                ),
                *(Replaced(name) for name in options["takes_over"]),
            ),
        )


def states(units: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The state that each unit is to have, of a module's options: ``enabled started``, or ``-`` for what is left."""
    boot = {True: "enabled", False: "disabled", None: "-"}
    return {unit["name"]: f"{boot[unit['enabled']]} {unit['state']}" for unit in units}
