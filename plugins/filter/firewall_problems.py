# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot work among the variables of the role firewall."""

from __future__ import annotations

DOCUMENTATION = r"""
name: firewall_problems
short_description: What cannot work among the firewall's variables
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Returns a text for each rule that would shut out the connection of the play, and for what is no address, with the
    remedy.
positional: connection, port, enabled
options:
  _input:
    description: C(services), C(ssh_ports), C(ssh_from), C(unlimited), C(ssh_limit) and C(connection_limit).
    type: dict
    required: true
  connection:
    description: The words of C(SSH_CONNECTION) on the host; empty where there is none.
    type: list
    elements: str
    required: true
  port:
    description: The port of the host on which this connection came in.
    type: int
    required: true
  enabled:
    description: Whether the rules are to be in force.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Check the rules
  groundwork.flask.check_problems:
    problems: "{{ my_rules | groundwork.flask.firewall_problems(['198.51.100.9', '50000', '192.0.2.1', '22'], 22) }}"
"""

RETURN = r"""
_value:
  description: One text for each problem.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import firewall_rules
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_list, as_map, as_maps


def firewall_problems(rules: Any, connection: Any, port: Any, enabled: Any = True) -> list[str]:
    """See DOCUMENTATION."""
    read = as_map(rules, "firewall_problems")
    read["services"] = as_maps(read["services"], "firewall_problems: services")
    for name in ("ssh_ports", *firewall_rules.LISTS):
        read[name] = as_list(read[name], f"firewall_problems: {name}")
    words = [str(word) for word in as_list(connection, "firewall_problems: connection")]
    return list(firewall_rules.problems(read, words, int(port), bool(enabled)))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"firewall_problems": firewall_problems}
