# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the tasks of a play that reached the host, and writes the number to the file named by HOST_TASKS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: host_tasks
type: aggregate
short_description: Count the tasks that reached a host
description: Argument validation and what runs on the controller alone is not counted.
requirements: []
"""

# Actions that end on the controller.
CONTROLLER = {
    "assert",
    "check_problems",
    "check_request",
    "debug",
    "fail",
    "set_fact",
    "validate_argument_spec",
    "verify_outside",
    "verify_report",
    "include_tasks",
    "include_role",
    "meta",
}


class CallbackModule(CallbackBase):
    """See DOCUMENTATION."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "host_tasks"

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count the task if it reached a host."""
        task = getattr(result, "task", None) or result._task
        host = getattr(result, "host", None) or result._host
        action = task.action.rpartition(".")[2]
        idle = action == "armed_change" and not result.is_changed()  # with nothing to change it calls nobody
        if action not in CONTROLLER and not idle and host.name != "localhost":
            self.names.append(task.get_name())

    def v2_playbook_on_stats(self, _stats: Any) -> None:
        """Write the names of the counted tasks, one a line, when the play is over."""
        Path(os.environ["HOST_TASKS"]).write_text("\n".join(self.names))
