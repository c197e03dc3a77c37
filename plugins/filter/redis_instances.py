# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of Redis that apps have."""

from __future__ import annotations

DOCUMENTATION = r"""
name: redis_instances
short_description: The instances of Redis that apps have
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Works out names, paths and units of each app's Redis, as the templates of the role C(groundwork.flask.redis) take
    them.
  - Fails for an amount of memory that Redis would not take.
positional: absent
options:
  _input:
    description: The list C(redis_apps).
    type: list
    elements: dict
    required: true
  absent:
    description: Names of apps that lose their Redis.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
__redis_plan: "{{ redis_apps | groundwork.flask.redis_instances(redis_absent) }}"
"""

RETURN = r"""
_value:
  description: >-
    C(instances) and C(apps) for the templates; C(units), C(absent_units) and C(absent_parts) as
    M(groundwork.flask.file_set) takes them.
  type: dict
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils import redis_instances as planning
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_maps, as_names


def redis_instances(apps: Any, absent: Any = None) -> dict[str, list[Any]]:
    """See DOCUMENTATION."""
    try:
        return planning.plan(as_maps(apps, "redis_instances"), as_names(absent, "redis_instances: absent"))
    except ValueError as error:
        raise AnsibleFilterError(f"redis_instances: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"redis_instances": redis_instances}
