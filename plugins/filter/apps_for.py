# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role takes, made from flask_apps."""

from __future__ import annotations

DOCUMENTATION = r"""
name: apps_for
short_description: What a role of this collection takes, made from flask_apps
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Reads C(flask_apps), fills in every default, and returns the plain data that one role takes as its input.
  - Fails with all problems at once, each with the app, the field, the value and the remedy.
positional: role, only, version
options:
  _input:
    description: The map C(flask_apps).
    type: dict
    required: true
  role:
    description:
      - Name of the role. C(packages) returns the apt packages that the apps need, C(schedules) the schedules of their
        jobs, C(log_readers) the accounts that read their journals.
    type: str
    required: true
    choices:
      [service_user, wsgi_server, release, proxy, certificate, backup, database, redis, watch, packages, schedules,
       log_readers]
  only:
    description: Names of the apps to take, as a list or separated by commas. Nothing means all.
    type: raw
    default: ""
  version:
    description:
      - A branch, tag or commit to take in place of C(source.version), or another version of C(source.package).
      - Only where one app is taken, and none whose source is a directory or an archive.
    type: str
    default: ""
"""

EXAMPLES = r"""
proxy_sites: "{{ flask_apps | default({}) | groundwork.flask.apps_for('proxy') }}"
release_apps: "{{ flask_apps | groundwork.flask.apps_for('release', only='shop', version='v1.3') }}"
"""

RETURN = r"""
_value:
  description: One dictionary for each app; for C(packages), C(schedules) and C(log_readers), texts.
  type: list
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils import model, role_inputs
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_names
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

# What is made of all apps together, without repetition.
OF_ALL = {"packages": role_inputs.packages, "schedules": role_inputs.schedules, "log_readers": role_inputs.log_readers}


def apps_for(apps: Any, role: Any, only: Any = "", version: Any = "") -> list[Any]:
    """See DOCUMENTATION."""
    try:
        records = model.chosen(model.load(apps), as_names(only, "apps_for: only"), plain(version))
    except model.ModelError as error:
        raise AnsibleFilterError(str(error)) from error
    if isinstance(role, str) and role in OF_ALL:
        return OF_ALL[role](records)
    if not isinstance(role, str) or role not in role_inputs.ROLE_INPUTS:
        raise AnsibleFilterError(
            f"apps_for: there is no role {role!r} that takes apps; known: {', '.join(role_inputs.ROLE_INPUTS)}"
        )
    return [given for record in records if (given := role_inputs.ROLE_INPUTS[role](record))]


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"apps_for": apps_for}
