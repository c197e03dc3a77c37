# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of a proxy, resolved for its templates."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sites
short_description: Resolve the sites of a proxy for its templates
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Checks the sites as the role C(groundwork.flask.proxy) takes them, and works out their locations, limits, headers
    and password files, for its templates.
options:
  _input:
    description: The list C(proxy_sites).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
each: "{{ proxy_sites | groundwork.flask.sites }}"
"""

RETURN = r"""
_value:
  description: One dictionary for each site.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils import site_plan
from ansible_collections.groundwork.flask.plugins.plugin_utils import sites as reading
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_list


def sites(given: Any) -> list[dict[str, Any]]:
    """See DOCUMENTATION."""
    found, problems = reading.load(as_list(given, "sites"))
    if problems:
        raise AnsibleFilterError("\n".join(problems))
    return site_plan.resolve(found)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"sites": sites}
