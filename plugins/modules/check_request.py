#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of an action plugin, which does all of the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: check_request
short_description: Check what is asked of a playbook of this collection
version_added: 0.1.0
description:
  - Refuses what a playbook of this collection cannot carry out, before a host is reached, with the option, its value
    and the remedy. The playbooks of this collection begin with it.
  - Nothing is sent to the host.
author: The Groundwork authors (@groundwork)
options:
  playbook:
    description:
      - Name of the playbook. What is given on the command line (C(app) and the playbook's other options) is read from
        the variables.
    type: str
    choices:
      - alert_test
      - cloud_init
      - database
      - database_upgrade
      - deploy
      - jobs
      - logs
      - maintenance
      - processes
      - releases
      - remove
      - restore
      - rollback
      - run
      - unlock
      - verify
  hosts:
    description: A group in which the inventory must have a host.
    type: str
attributes:
  check_mode:
    support: full
    description: It changes nothing.
  diff_mode:
    support: none
    description: It changes nothing.
"""

EXAMPLES = r"""
- name: Check that the inventory has hosts
  groundwork.flask.check_request:
    hosts: "{{ flask_hosts_group | default('flask_hosts') }}"

- name: Check the request
  groundwork.flask.check_request:
    playbook: rollback
"""

RETURN = r"""
apps:
  description: Names of the apps that the playbook is to act on. Empty for all.
  returned: with O(playbook)
  type: list
  elements: str
  sample: [shop]
allow:
  description: The addresses and networks that still see the app.
  returned: with O(playbook=maintenance)
  type: list
  elements: str
state:
  description: Whether the app is to be in maintenance.
  returned: with O(playbook=maintenance)
  type: bool
data:
  description: What is to become of the database, C(keep) or C(saved); empty if the option was not given.
  returned: with O(playbook=rollback)
  type: str
command:
  description: The command to run.
  returned: with O(playbook=run)
  type: str
report:
  description: The file on the controller to which the report goes; empty if the option was not given.
  returned: with O(playbook=verify)
  type: str
json:
  description: Whether the result is to be shown as JSON, or the file on the controller to which it goes.
  returned: with O(playbook=verify)
  type: raw
strict:
  description: Whether warnings make the run fail.
  returned: with O(playbook=verify)
  type: bool
"""
