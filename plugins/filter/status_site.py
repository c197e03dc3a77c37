# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the operator's status page, as a role takes it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: status_site
short_description: The site of the operator's status page, as a role takes it
version_added: 0.2.0
author: The Groundwork authors (@groundwork)
description:
  - Returns what the role C(proxy) or C(certificate) takes for the site of the page that C(watch_page) describes.
  - Nothing where there is no page, or where something is wrong with it; V(problems) returns what.
positional: role, apps
options:
  _input:
    description: The map C(watch_page); empty where there is no page.
    type: dict
    required: true
  role:
    description: Name of the role, or V(problems) for what is wrong, each with the field and the remedy.
    type: str
    required: true
    choices: [proxy, certificate, problems]
  apps:
    description: The map C(flask_apps), whose domains the page cannot have.
    type: dict
    default: {}
"""

EXAMPLES = r"""
proxy_sites: "{{ watch_page | groundwork.flask.status_site('proxy', flask_apps) }}"
"""

RETURN = r"""
_value:
  description: One dictionary, or none; for V(problems) texts.
  type: list
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils import status_site as reading
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map


def status_site(page: Any, role: Any, apps: Any = None) -> list[Any]:
    """See DOCUMENTATION."""
    given = as_map(page, "status_site")
    domains = {
        str(name): [str(domain) for domain in app.get("domains") or []]
        for name, app in as_map(apps, "status_site: apps").items()
        if isinstance(app, dict) and isinstance(app.get("domains") or [], list)
    }
    problems = list(reading.problems(given, domains)) if given else []
    if role == "problems":
        return problems
    if role not in reading.ROLES:
        known = ", ".join(("problems", *reading.ROLES))
        raise AnsibleFilterError(f"status_site: there is no role {role!r} that takes it; known: {known}")
    return [reading.ROLES[role](given)] if given and not problems else []


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"status_site": status_site}
