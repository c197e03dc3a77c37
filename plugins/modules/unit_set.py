#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that brings systemd units into their states; the work is done in module_utils/unit_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unit_set
short_description: Bring a set of systemd units into their states in one call
version_added: 0.1.0
description:
  - For units whose files are there already. M(groundwork.flask.file_set) takes the same units, and writes files and
    brings units into their states in one call.
  - Enables, starts, reloads, restarts, stops and disables units, with one call of systemctl for each kind of action,
    after one daemon-reload if a unit file changed.
  - Restarts or reloads a unit when a file set that it follows has changed since the unit loaded it. This is decided
    by what is on the host, not by what the present play changed, so a play that was killed before its reload is
    healed by the next one.
author: The Groundwork authors (@groundwork)
attributes:
  check_mode:
    description: Says what would be done. Units that do not exist yet are taken as stopped.
    support: full
  diff_mode:
    description: There is nothing to show beside the actions.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
extends_documentation_fragment: [groundwork.flask.follow_up]
seealso:
  - module: groundwork.flask.file_set
  - module: ansible.builtin.systemd_service
"""

EXAMPLES = r"""
- name: Run the web server and the nightly job
  groundwork.flask.unit_set:
    units:
      - {name: nginx.service, enabled: true, follows: [sites], on_change: reloaded}
      - {name: nightly.timer, enabled: true, follows: [nightly]}
      - {name: old.service, state: stopped, enabled: false}

- name: Have what waits in the queue processed once the worker runs
  groundwork.flask.unit_set:
    units:
      - {name: worker.service, enabled: true}
    commands:
      - name: queue
        argv: [/usr/local/bin/queue, flush, --json]
        check_argv: [/usr/local/bin/queue, count, --json]

- name: Have Apache serve instead of nginx
  groundwork.flask.unit_set:
    units:
      - name: apache2.service
        enabled: true
        follows: [apache_sites]
        replaces: [{name: nginx.service, file_set: sites, successor: apache_sites}]
"""

RETURN = r"""
units:
  description: What was done to each unit that needed anything.
  type: dict
  returned: success
  sample: {nginx.service: [enable, start]}
replaced:
  description: Units of O(units[].replaces) whose set is still on the host, and that do not run any more.
  type: list
  elements: str
  returned: success
  sample: [nginx.service]
kept:
  description: Units of O(units[].replaces) that go on, with the parts that would be lost.
  type: dict
  returned: success
  sample: {nginx.service: [shop]}
outputs:
  description: What each of O(commands) printed, by its name; an object where its output is JSON.
  type: dict
  returned: success
  sample: {queue: {changed: false, waiting: 0}}
pause:
  description: For how many seconds neither ran.
  type: float
  returned: when a running unit was replaced
  sample: 0.4
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.groundwork.flask.plugins.module_utils.commands import CommandError
from ansible_collections.groundwork.flask.plugins.module_utils.follow_up import OPTIONS, follow_up
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root
from ansible_collections.groundwork.flask.plugins.module_utils.unit_set import UnitSetError


def main() -> None:
    """Run the module."""
    os.umask(0o022)  # for the commands too, whatever the shell of the connection has
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    refuse_unless_root(module)
    result: dict[str, Any] = {"changed": False}
    try:
        follow_up(module.params, result, module.check_mode)
    except (UnitSetError, CommandError) as error:
        module.fail_json(msg=str(error), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
