# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a proxy from its ports, and which sites of others would no longer be served."""

from __future__ import annotations

DOCUMENTATION = r"""
name: occupied_ports
short_description: What serves on a host already
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Judges what the module M(groundwork.flask.host_facts) returns in C(serving), for the role C(groundwork.flask.proxy).
  - What the role has set up itself is no problem, nor is a web server as Debian installs it.
positional: provider, http3, take_over
options:
  _input:
    description: The value C(serving).
    type: dict
    required: true
  provider:
    description:
      - The proxy's C(name), its C(unit), and C(main), the file of its package that the role replaces.
      - C(logs), the files in which what is logged about apps is not, as it goes to their journals. A jail of fail2ban
        that reads one is a problem.
    type: dict
    required: true
  http3:
    description: Whether port 443 of UDP is needed too.
    type: bool
    default: false
  take_over:
    description: Whether services of others at the ports are to be stopped and disabled, and sites of others to end.
    type: bool
    default: false
"""

EXAMPLES = r"""
occupied: "{{ my_host.serving | groundwork.flask.occupied_ports(my_proxy) }}"
my_proxy: {name: nginx, unit: nginx.service, main: /etc/nginx/nginx.conf}
"""

RETURN = r"""
_value:
  description:
    - C(problems) and C(warnings), one text for each program, rule or configuration, with what to do.
    - C(takes_over), units as M(groundwork.flask.unit_set) takes them; C(taken), what is said of it in the end.
  type: dict
"""

from dataclasses import asdict
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import occupied
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map


def occupied_ports(found: Any, provider: Any, http3: Any = False, take_over: Any = False) -> dict[str, list[Any]]:
    """See DOCUMENTATION."""
    serving = as_map(found, "occupied_ports")
    return asdict(occupied.proxy(serving, as_map(provider, "occupied_ports: provider"), bool(http3), bool(take_over)))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"occupied_ports": occupied_ports}
