# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what an operator asks a playbook for, on the controller alone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.groundwork.flask.plugins.plugin_utils import request
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the hosts, the request, or both; the request becomes part of the result."""
        result = super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        _validation, arguments = self.validate_argument_spec(
            {"playbook": {"choices": sorted(request.PLAYBOOKS)}, "hosts": {}},
            required_one_of=[("playbook", "hosts")],
        )
        try:
            if arguments["hosts"]:
                request.check_hosts(arguments["hosts"], variables.get("groups", {}))
            if arguments["playbook"]:
                asked = self.read(arguments["playbook"], variables)
                result.update(apps=asked.apps, **asked.options)
                if asked.warnings:
                    result["warnings"] = asked.warnings
        except request.RequestError as error:
            result.update(failed=True, msg=str(error))
        return result

    def read(self, name: str, variables: Mapping[str, Any]) -> request.Request:
        """The request, from the variables that the playbook's record names."""
        playbook = request.PLAYBOOKS[name]
        # Of the command line alone: a playbook of the user's that imports this one may make the text of a template.
        given = {
            option: plain(value)
            for option, value in load_extra_vars(self._loader).items()
            if option in playbook.verbatim
        }
        for option in {"app", "_raw_params", *playbook.options} - given.keys():
            given[option] = self.value(variables, option)
        known: list[str] = []
        # A playbook that acts on what is on the host works with an inventory that does not.
        with contextlib.nullcontext() if playbook.declared else contextlib.suppress(AnsibleError):
            apps = self.value(variables, "flask_apps")
            known = list(apps) if isinstance(apps, Mapping) else []
        return request.read(name, given, known)

    def value(self, variables: Mapping[str, Any], name: str) -> Any:
        """A variable's value; a map is left as it is, for its keys are no templates."""
        value = variables.get(name)
        if isinstance(value, Mapping):
            return {str(key): None for key in value}
        return plain(self._templar.template(value))
