# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module call does once its files are in place: bring units into their states, then run commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import commands, unit_set
from ansible_collections.groundwork.flask.plugins.module_utils.unit_options import OPTIONS as UNIT_OPTIONS
from ansible_collections.groundwork.flask.plugins.module_utils.unit_options import Unit

# What a module takes for it; plugins/doc_fragments/follow_up.py documents it.
OPTIONS: dict[str, dict[str, Any]] = {
    "units": {"type": "list", "elements": "dict", "default": [], "options": UNIT_OPTIONS},
    "commands": {"type": "list", "elements": "dict", "default": [], "options": commands.OPTIONS},
}


def follow_up(
    options: Mapping[str, Any], result: dict[str, Any], check_mode: bool, changing: frozenset[str] = frozenset()
) -> None:
    """Bring the units into their states and run the commands; add to the result what came of it.

    :param options: the module's options, of which ``units`` and ``commands`` are read.
    :param result: the module's result so far. When something fails, it holds what was done before.
    :param changing: file sets that this call would change, were it not for check mode.
    :raises UnitSetError: a unit is not in its state. No command has run.
    :raises CommandError: a command failed.
    """
    units = unit_set.update([Unit.read(unit) for unit in options["units"]], check_mode, changing)
    result.update(
        changed=result.get("changed", False) or bool(units.done),
        units=units.done,
        replaced=units.replaced,
        kept=units.kept,
        **({} if units.pause is None else {"pause": round(units.pause, 2)}),
    )
    ran = commands.run_all(
        [commands.Command.read(command) for command in options["commands"]], check_mode, result.get("changed_files", ())
    )
    result.update(changed=result["changed"] or ran.changed, outputs=ran.outputs)
