# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs packages by Ansible's own module, once no other process holds apt's locks and there is room."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.groundwork.flask.plugins.plugin_utils import readiness
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

DISPLAY = Display()
SECONDS = 600  # that the first boot's upgrades may take
PAUSE = 30  # seconds between two lines that say who is waited for


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, wait, install."""
        result = super().run(tmp, task_vars)
        del tmp
        found = self.look(task_vars)
        if found.get("failed"):
            return {**result, **found}
        if problems := readiness.space_problems(plain(found["space"])):
            return {**result, "failed": True, "msg": "\n".join(problems)}
        if found["check_mode"]:
            return {**result, "changed": True}
        if message := self.wait(found, task_vars):
            return {**result, "failed": True, "msg": message}
        if not found["bindings"] and (failure := self.look(task_vars, bindings=True)).get("failed"):
            return {**result, **failure}
        names = plain(self._task.args.get("name") or [])
        options = {"name": names, "update_cache": True, "install_recommends": False, "lock_timeout": SECONDS}
        module = "ansible.builtin.apt"
        return {**result, **self._execute_module(module_name=module, module_args=options, task_vars=task_vars)}

    def look(self, task_vars: dict[str, Any] | None, **options: Any) -> dict[str, Any]:
        """What the module says of apt's locks and the disk."""
        return self._execute_module(module_args={**plain(self._task.args), **options}, task_vars=task_vars)

    def wait(self, found: dict[str, Any], task_vars: dict[str, Any] | None) -> str:
        """Wait until no other process has apt's locks, and say for whom; a message if that takes too long."""
        host = (task_vars or {}).get("inventory_hostname", "")
        deadline = time.monotonic() + SECONDS
        while not found.get("failed") and found["locks"]:
            who = readiness.lock_holder(plain(found["locks"])[0])
            if time.monotonic() > deadline:
                return (
                    f"apt has been locked for {SECONDS} s: {who}. Let it end, or find out what it waits for, "
                    "and run again. Nothing was installed."
                )
            DISPLAY.display(f"{host}: waiting for apt: {who}", color="bright yellow")
            found = self.look(task_vars, wait=PAUSE)
        return str(found.get("msg", "")) if found.get("failed") else ""
