# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends a host's run when there are problems, and shows warnings, on the controller alone."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with all problems at once."""
        result = super().run(tmp, task_vars)
        del tmp
        texts = {"type": "list", "elements": "str", "default": []}
        _validation, arguments = self.validate_argument_spec({"problems": texts, "warnings": texts})
        if warnings := plain(arguments["warnings"]):
            result["warnings"] = warnings
        if problems := plain(arguments["problems"]):
            result.update(failed=True, msg="\n".join(problems))
        return result
