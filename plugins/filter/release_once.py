# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which apps run their release command on one host only."""

from __future__ import annotations

DOCUMENTATION = r"""
name: release_once
short_description: Which apps run their release command on the first of several hosts only
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Takes the input of the role C(release) and returns the names of the apps whose release and setup commands run once
    for all hosts, on the first of the play.
  - These are the apps with C(release_command_hosts=first), and those that leave it open and whose environment or
    secrets hold the URL of a database on another machine, which all hosts share then.
positional: secrets
options:
  _input:
    description: The apps, as P(groundwork.flask.apps_for#filter) returns them for the role C(release).
    type: list
    elements: dict
    required: true
  secrets:
    description: Secret environment variables, by app.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Tell which apps migrate once
  ansible.builtin.debug:
    msg: "{{ release_apps | groundwork.flask.release_once(release_secrets) }}"
"""

RETURN = r"""
_value:
  description: Names of apps.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import role_inputs
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_maps


def release_once(apps: Any, secrets: Any = None) -> list[str]:
    """See DOCUMENTATION."""
    return role_inputs.releases_once(as_maps(apps, "release_once: apps"), as_map(secrets, "release_once: secrets"))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"release_once": release_once}
