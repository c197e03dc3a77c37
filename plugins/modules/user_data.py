#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of an action plugin, which does all of the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: user_data
short_description: Write the user data of a new server
version_added: 0.1.0
description:
  - Writes a file on the controller, as cloud-init reads it. Nothing is sent to a host. The role C(cloud_init) uses it.
author: The Groundwork authors (@groundwork)
options:
  dest:
    description: File to write.
    type: path
    required: true
  user:
    description: Account by which the operator comes in. It is created with sudo, unless it is C(root).
    type: str
    required: true
  authorized_keys:
    description: Public keys that may log in as O(user). Without any, those in C(~/.ssh/id_*.pub).
    type: list
    elements: str
    default: []
  pull:
    description:
      - What the server provisions itself from, with the keys C(repository), C(version), C(inventory), C(playbook),
        C(collections) and C(known_hosts), as the role C(cloud_init) describes them.
    type: dict
    default: {}
  files:
    description: Files of the server, each with C(role), C(template), C(dest) and perhaps C(mode).
    type: list
    elements: dict
    default: []
  packages:
    description: Packages of the distribution.
    type: list
    elements: str
    default: []
  commands:
    description: Commands that end the first boot, each a list of arguments.
    type: list
    elements: list
    default: []
  message:
    description: What the console shows at the end of the first boot.
    type: str
    default: ""
  port:
    description: Port at which the inventory says that sshd listens. Another one than 22 brings a warning.
    type: int
    default: 22
attributes:
  check_mode:
    support: full
    description: Nothing is written.
  diff_mode:
    support: none
    description: The file is whole.
"""

EXAMPLES = r"""
- name: Write the user data of a new server
  groundwork.flask.user_data:
    dest: www.yml
    user: admin
    pull: {repository: "https://example.org/infra.git"}
"""

RETURN = r"""
dest:
  description: The file.
  returned: success
  type: str
size:
  description: Its size in bytes.
  returned: success
  type: int
"""
