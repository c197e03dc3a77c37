# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is expected of a host, made from its inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_expected
short_description: What is expected of a host, made from its inventory
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Makes of C(flask_apps) and the variables of the roles what M(groundwork.flask.verify) compares a host with, and
    M(groundwork.flask.verify_outside) the answers of its sites.
  - Fails with all problems of C(flask_apps) at once.
options:
  _input:
    description: The map C(flask_apps).
    type: dict
    required: true
  proxy:
    description: As C(proxy_provider).
    type: str
    default: nginx
  firewall:
    description: C(enabled), C(ssh_ports) and C(services), as the variables of the role firewall; C(services) are the
      default services too.
    type: dict
  skipped_parts:
    description: As C(host_skip_parts).
    type: list
    elements: str
    default: []
  backup_sets:
    description: As C(backup_sets). By default each app has one.
    type: list
    elements: dict
  backup_hours:
    description: As C(backup_max_age_hours).
    type: int
    default: 36
"""

EXAMPLES = r"""
- groundwork.flask.verify:
    expected: "{{ flask_apps | groundwork.flask.verify_expected(proxy=proxy_provider) }}"
"""

RETURN = r"""
_value:
  description: C(apps) by name, C(proxy), C(firewall), C(host_parts), C(backup).
  type: dict
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from ansible_collections.groundwork.flask.plugins.plugin_utils.expected import expected
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_list, as_map, as_maps


def verify_expected(
    apps: Any,
    proxy: Any = "nginx",
    firewall: Any = None,
    skipped_parts: Any = None,
    backup_sets: Any = None,
    backup_hours: Any = 36,
) -> dict[str, Any]:
    """See DOCUMENTATION."""
    try:
        records = model.load(apps)
    except model.ModelError as error:
        raise AnsibleFilterError(str(error)) from error
    saved = None if backup_sets is None else as_maps(backup_sets, "verify_expected: backup_sets")
    return expected(
        records,
        proxy=str(proxy),
        firewall=as_map(firewall, "verify_expected: firewall"),
        skipped_parts=[str(part) for part in as_list(skipped_parts, "verify_expected: skipped_parts")],
        saved=None if saved is None else [str(one.get("name")) for one in saved],
        backup_hours=int(backup_hours),
    )


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"verify_expected": verify_expected}
