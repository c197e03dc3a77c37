# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with flask_apps, before a host is touched."""

from __future__ import annotations

DOCUMENTATION = r"""
name: app_problems
short_description: What is wrong with flask_apps
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Checks C(flask_apps), C(flask_app_secrets) and C(flask_deploy_keys), and with O(facts) also whether the host can
    run the apps.
positional: secrets, facts, deploy_keys, taken, schedules, packages, foreign_services, missing_accounts
options:
  _input:
    description: The map C(flask_apps).
    type: dict
    required: true
  secrets:
    description: The map C(flask_app_secrets).
    type: dict
    default: {}
  facts:
    description: The host's facts C(distribution), C(distribution_version) and C(python).
    type: dict
  deploy_keys:
    description: The map C(flask_deploy_keys), private SSH keys of the apps whose git repository is private.
    type: dict
    default: {}
  taken:
    description: Names of apps that something else on the host has, as M(groundwork.flask.host_facts) returns them.
    type: dict
    default: {}
  schedules:
    description: Schedules of jobs that the host does not take, as M(groundwork.flask.host_facts) returns them.
    type: dict
    default: {}
  packages:
    description: Names of the packages of the host, as M(groundwork.flask.host_facts) returns them.
    type: list
    elements: str
    default: []
  foreign_services:
    description: What has the place of an app's Redis or pooler, as M(groundwork.flask.host_facts) returns it.
    type: dict
    default: {}
  missing_accounts:
    description: Names of readers of journals without an account on the host, as M(groundwork.flask.host_facts) returns
      them.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse what cannot work
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems }}"
  vars:
    problems: "{{ flask_apps | groundwork.flask.app_problems(flask_app_secrets, ansible_facts, flask_deploy_keys) }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem, with the app, the field, the value and the remedy. Values of secrets and
    keys are not shown.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils import host_checks, model
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_names


def app_problems(
    apps: Any,
    secrets: Any = None,
    facts: Any = None,
    deploy_keys: Any = None,
    taken: Any = None,
    schedules: Any = None,
    packages: Any = None,
    foreign_services: Any = None,
    missing_accounts: Any = None,
) -> list[str]:
    """See DOCUMENTATION."""
    try:
        records = model.load(apps, secrets, deploy_keys)
    except model.ModelError as error:
        return error.problems
    if not facts:
        return []
    try:
        version = facts["python"]["version"]
        python = f"{version['major']}.{version['minor']}.{version['micro']}"
        distribution, release = str(facts["distribution"]), str(facts["distribution_version"])
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(
            "app_problems: facts must hold distribution, distribution_version and python: gather them first"
        ) from error
    names = as_map(taken, "app_problems: taken")
    return [
        *host_checks.name_problems(records, names),
        *host_checks.account_problems(names),
        *host_checks.service_problems(records, as_map(foreign_services, "app_problems: foreign_services")),
        *host_checks.package_problems(records, as_names(packages, "app_problems: packages")),
        *host_checks.reader_problems(records, as_names(missing_accounts, "app_problems: missing_accounts")),
        *host_checks.schedule_problems(records, as_map(schedules, "app_problems: schedules")),
        *host_checks.host_problems(records, distribution, release, python),
    ]


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"app_problems": app_problems}
