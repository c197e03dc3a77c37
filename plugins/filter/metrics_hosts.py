# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts that Prometheus scrapes, from the inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: metrics_hosts
short_description: Hosts and sites to scrape, from the inventory
version_added: 0.2.0
author: The Groundwork authors (@groundwork)
description:
  - Returns what the role C(groundwork.flask.metrics) takes of each host of the inventory, with the sites of its
    C(flask_apps).
positional: names, server
options:
  _input:
    description: The variable C(hostvars).
    type: dict
    required: true
  names:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
  server:
    description: Name of the host that Prometheus runs on.
    type: str
    required: true
"""

EXAMPLES = r"""
metrics_hosts: "{{ hostvars | groundwork.flask.metrics_hosts(groups['flask_hosts'], inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: For each host C(name), C(target), and of C(sites) C(app) and C(url).
  type: list
  elements: dict
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils import metrics_plan, model, role_inputs
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_names
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

READ = ("metrics_address", "ansible_host", "metrics_node_port")


def metrics_hosts(hostvars: Any, names: Any, server: Any) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    return [of_host(hostvars[name], name, name == str(server)) for name in as_names(names, "metrics_hosts: names")]


def of_host(variables: Mapping[str, Any], name: str, local: bool) -> dict[str, Any]:
    """What is taken of one host; of a variable that it does not have, nothing."""
    try:
        apps = model.load(variables["flask_apps"]) if "flask_apps" in variables else []
    except model.ModelError as error:
        raise AnsibleFilterError(f"metrics_hosts: {name}: {error}") from error
    read = {key: plain(variables[key]) for key in READ if key in variables}
    return metrics_plan.host(name, read, [role_inputs.watched(app) for app in apps], local)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"metrics_hosts": metrics_hosts}
