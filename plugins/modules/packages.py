#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that looks whether apt can be called; its action plugin waits, and calls Ansible's own module."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install Debian packages, also while a server's first boot is at work
version_added: 0.1.0
description:
  - Installs packages by M(ansible.builtin.apt), with a fresh list and without recommended packages.
  - Waits up to ten minutes for other processes that have locked apt or dpkg, as the upgrades of a first boot do, and
    shows who it waits for.
  - Refuses a host whose disk is too full, because apt would stop half-way. It wants 300 MB and 10,000 inodes where
    C(/), C(/usr) and C(/var) are, and 10 MB where C(/boot) is.
author: The Groundwork authors (@groundwork)
options:
  name:
    description: Names of the packages.
    type: list
    elements: str
    required: true
  wait:
    description: For how many seconds one look waits for the locks. The action plugin sets it.
    type: int
    default: 0
  bindings:
    description: Whether to install C(python3-apt), which M(ansible.builtin.apt) needs. The action plugin sets it.
    type: bool
    default: false
attributes:
  check_mode:
    description: Looks whether apt could be called, and reports a change.
    support: full
  diff_mode:
    description: Shows no differences.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
seealso:
  - module: ansible.builtin.apt
"""

EXAMPLES = r"""
- name: Install nginx
  groundwork.flask.packages:
    name: [nginx]
"""

RETURN = r"""
locks:
  description: The locks of apt and dpkg that other processes hold.
  type: list
  elements: dict
  returned: by the module itself
bindings:
  description: Whether C(python3-apt) is installed.
  type: bool
  returned: by the module itself
space:
  description: What is free on the file systems that apt writes to.
  type: list
  elements: dict
  returned: by the module itself
"""

import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.groundwork.flask.plugins.module_utils import apt_state
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root

OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "list", "elements": "str", "required": True},
    "wait": {"type": "int", "default": 0},
    "bindings": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    refuse_unless_root(module)
    try:
        if module.params["bindings"] and not module.check_mode:
            apt_state.install_bindings()
        found = {"bindings": apt_state.has_bindings(), "space": apt_state.space(), "check_mode": module.check_mode}
        module.exit_json(changed=False, locks=apt_state.locks_after(module.params["wait"]), **found)
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
