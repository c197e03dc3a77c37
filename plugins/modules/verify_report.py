#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of an action plugin, which does all of the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_report
short_description: Make one report of what was found on all hosts
version_added: 0.1.0
description:
  - Puts the findings of M(groundwork.flask.verify) and M(groundwork.flask.verify_outside) into a table for a person, a
    page of HTML that loads nothing, and JSON.
  - What hosts and apps say is bounded and escaped. A host that was not reached is a problem of the report, and no
    failure of this module.
  - Nothing is sent to a host. Run it once for the play.
author: The Groundwork authors (@groundwork)
options:
  hosts:
    description: Names of the hosts.
    type: list
    elements: str
    required: true
  looks:
    description: What M(groundwork.flask.verify) returned on each, in the same order; empty where it was not called.
    type: list
    elements: dict
    required: true
  visits:
    description: What M(groundwork.flask.verify_outside) returned for each, alike.
    type: list
    elements: dict
    required: true
  only:
    description: Apps to speak of. All by default. What is about the host itself stays.
    type: list
    elements: str
    default: []
  report:
    description: A file on the controller for the page. None by default.
    type: str
    default: ""
  json:
    description: A file on the controller for the JSON. None by default.
    type: str
    default: ""
  strict:
    description: Whether RV(failures) has warnings too.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: The files are written all the same; they are what was asked for.
  diff_mode:
    support: none
    description: It changes nothing on a host.
seealso:
  - module: groundwork.flask.verify
  - module: groundwork.flask.verify_outside
"""

EXAMPLES = r"""
- name: Write the report
  groundwork.flask.verify_report:
    hosts: "{{ ansible_play_hosts_all }}"
    looks: "{{ ansible_play_hosts_all | map('extract', hostvars) | map(attribute='my_look', default={}) }}"
    visits: "{{ ansible_play_hosts_all | map('extract', hostvars) | map(attribute='my_visit', default={}) }}"
    report: /tmp/verify.html
  run_once: true
"""

RETURN = r"""
lines:
  description: The table, then where the files were written.
  type: list
  elements: str
  returned: success
json:
  description: The same as JSON; docs/verify.md has its keys.
  type: str
  returned: success
failures:
  description: By host, why the run is to fail, as a list of one sentence; an empty list if it is not.
  type: dict
  returned: success
"""
