# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a host, and ends its run where nothing could be set up on it."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.groundwork.flask.plugins.plugin_utils import readiness
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the module, and judge what it says of the host's readiness."""
        result = super().run(tmp, task_vars)
        del tmp
        before = time.time()
        result.update(self._execute_module(module_args=dict(self._task.args), task_vars=task_vars))
        if remedy := readiness.without_python(result):
            result["msg"] = f"{remedy}\n{result.get('msg', '')}"
        if result.get("failed"):
            return result
        found = plain(result["readiness"])
        if problems := readiness.problems(found):
            return {"failed": True, "msg": "\n".join(problems)}
        if warnings := readiness.warnings(found, before, time.time()):
            result["warnings"] = [*(result.get("warnings") or []), *warnings]
        return result
