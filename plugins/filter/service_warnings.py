# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes on for apps on a host although they ask for it no more."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_warnings
short_description: What goes on for apps on a host although they ask for it no more
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Compares C(flask_apps) with what M(groundwork.flask.host_facts) has found, and says how to remove what is left.
positional: services, absent
options:
  _input:
    description: The map C(flask_apps).
    type: dict
    required: true
  services:
    description: The value C(services).
    type: dict
    required: true
  absent:
    description: What is removed in this run, as C(redis_absent) has it.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what is left
  groundwork.flask.check_problems:
    warnings: "{{ flask_apps | groundwork.flask.service_warnings(my_host.services) }}"
"""

RETURN = r"""
_value:
  description: One text for each.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import model, redis_instances
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_names


def service_warnings(apps: Any, services: Any, absent: Any = None) -> list[str]:
    """See DOCUMENTATION. An inventory that cannot be read is another's to refuse."""
    found, going = as_map(services, "service_warnings: services"), as_names(absent, "service_warnings: absent")
    if not found:
        return []
    try:
        records = model.load(as_map(apps, "service_warnings"))
    except model.ModelError:
        return []
    asked = [{"name": app.name, "purpose": app.redis.purpose} for app in records]
    return redis_instances.left_over(asked, found, going)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"service_warnings": service_warnings}
