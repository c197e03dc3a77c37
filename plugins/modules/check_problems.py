#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of an action plugin, which does all of the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: check_problems
short_description: Fail if there are problems, and show warnings
version_added: 0.1.0
description:
  - Ends the run of a host with all problems at once. Warnings are shown as Ansible's own.
  - Nothing is sent to the host.
author: The Groundwork authors (@groundwork)
options:
  problems:
    description: What cannot work, one text for each.
    type: list
    elements: str
    default: []
  warnings:
    description: What the operator should know, one text for each.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: It changes nothing.
  diff_mode:
    support: none
    description: It changes nothing.
"""

EXAMPLES = r"""
- name: Check that nothing else serves at the proxy's ports
  groundwork.flask.check_problems:
    problems: "{{ (my_host.serving | groundwork.flask.occupied_ports(my_provider)).problems }}"
"""

RETURN = r"""
msg:
  description: The problems, a line for each.
  returned: failure
  type: str
"""
