# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether another firewall of a host shuts what the role firewall opens."""

from __future__ import annotations

DOCUMENTATION = r"""
name: other_firewalls
short_description: Whether another firewall shuts what is to be open
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Judges what the module M(groundwork.flask.host_facts) returns in C(serving), for the role firewall.
  - A packet has to pass every firewall of a host. One that lets in what the role opens is no problem.
positional: services, enabled, take_over, ssh_ports
options:
  _input:
    description: The value C(serving).
    type: dict
    required: true
  services:
    description: What is to be open, as C(firewall_services).
    type: list
    elements: dict
    required: true
  enabled:
    description: Whether the role's own rules are to be in force. If not, another firewall is not asked to give way.
    type: bool
    default: true
  take_over:
    description: Whether C(ufw) or C(firewalld) is to be disabled.
    type: bool
    default: false
  ssh_ports:
    description:
      - Ports of SSH that are open besides, as C(firewall_ssh_ports).
      - What listens on a host that has no rules of the role yet, at a port that is neither among these nor among
        O(services), is named by a warning.
    type: list
    elements: int
    default: []
"""

EXAMPLES = r"""
others: "{{ my_host.serving | groundwork.flask.other_firewalls([{'port': 80}, {'port': 443}]) }}"
"""

RETURN = r"""
_value:
  description:
    - C(problems) and C(warnings), one text for each firewall, with what it lets in and what to do.
    - C(takes_over), units, and C(commands), what to run for it, as M(groundwork.flask.unit_set)
      takes them; C(taken), what is said of it in the end.
  type: dict
"""

from dataclasses import asdict
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import occupied
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_maps


def other_firewalls(
    found: Any, services: Any, enabled: Any = True, take_over: Any = False, ssh_ports: Any = ()
) -> dict[str, list[Any]]:
    """See DOCUMENTATION."""
    serving = as_map(found, "other_firewalls")
    wanted = as_maps(services, "other_firewalls: services")
    return asdict(occupied.firewall(serving, wanted, bool(enabled), bool(take_over), [int(port) for port in ssh_ports]))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"other_firewalls": other_firewalls}
