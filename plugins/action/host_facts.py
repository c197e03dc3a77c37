# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a host, and ends its run where nothing could be set up on it."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.groundwork.flask.plugins.plugin_utils import first_login, readiness
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the module, and judge what it says of the host's readiness."""
        result = super().run(tmp, task_vars)
        del tmp
        before = time.time()
        try:
            result.update(self.look(task_vars))
        except first_login.FirstLoginError as error:
            return {**result, "failed": True, "msg": str(error)}
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

    def look(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Call the module; where an admin's account is not there yet, have it made first.

        :raises FirstLoginError: it could not be made.
        """
        arguments = dict(self._task.args)
        try:
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            admins = plain(arguments.get("admins") or [])
            if not first_login.applies(error, self._connection, admins):
                raise

        def call(name: str, options: dict[str, Any]) -> dict[str, Any]:
            return self._execute_module(module_name=name, module_args=options, task_vars=task_vars)

        first_login.make_accounts(self._connection, self._play_context, call, admins, bool(self._task.check_mode))
        try:
            return {**self._execute_module(module_args=arguments, task_vars=task_vars), "changed": True}
        except AnsibleConnectionFailure as error:
            raise first_login.FirstLoginError(first_login.no_key(error)) from error
