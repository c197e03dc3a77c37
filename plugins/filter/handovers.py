# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What sites of a proxy take over from others of the host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: handovers
short_description: What sites of a proxy take over from others of the host
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Compares the sites as the role C(groundwork.flask.proxy) takes them with those that the host serves, and returns
    what C(replaces) asks for and is yet to be done, as M(groundwork.flask.file_set) takes it.
positional: served, absent
options:
  _input:
    description: The list C(proxy_sites).
    type: list
    elements: dict
    required: true
  served:
    description: The sites that the host serves, as RV(groundwork.flask.host_facts#module:sites) has them.
    type: list
    elements: dict
    default: []
  absent:
    description: Names of sites that leave the host in this play.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
handovers: "{{ proxy_sites | groundwork.flask.handovers(my_host.sites) }}"
"""

RETURN = r"""
_value:
  description: One dictionary for each site that loses domains.
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import handovers as planning
from ansible_collections.groundwork.flask.plugins.plugin_utils import sites as reading
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_list, as_maps, as_names


def handovers(given: Any, served: Any = None, absent: Any = None) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    sites, _problems = reading.load(as_list(given, "handovers"))
    on_host = planning.read_served(as_maps(served, "handovers: served"))
    return planning.plan(sites, on_host, as_names(absent, "handovers: absent"))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"handovers": handovers}
