#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: unit_set
short_description: Bring a set of systemd units into their states in one call
version_added: 0.1.0
description:
  - Enables, starts, reloads, restarts, stops and disables units, with one call of systemctl for each kind of action,
    after one daemon-reload if a unit file changed.
  - Restarts or reloads a unit when a file set that it follows has changed since the unit loaded it. This is decided
    by what is on the host, not by what the present play changed, so a play that was killed before its reload is
    healed by the next one.
author: The Groundwork authors (@groundwork)
options:
  units:
    description: The units.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Full name of the unit, with its suffix.
        type: str
        required: true
      state:
        description: Whether it is to run.
        type: str
        choices: [started, stopped]
        default: started
      enabled:
        description: Whether it is to start at boot. Left as it is by default.
        type: bool
      follows:
        description: Names of file sets (M(groundwork.flask.file_set)) that the unit loads.
        type: list
        elements: str
        default: []
      on_change:
        description: What to do when one of them changed. A unit that cannot reload is restarted.
        type: str
        choices: [restarted, reloaded]
        default: restarted
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
"""

RETURN = r"""
units:
  description: What was done to each unit that needed anything.
  type: dict
  returned: success
  sample: {nginx.service: [enable, start]}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.groundwork.flask.plugins.module_utils.unit_set import Unit, UnitSetError, update

VERB = {"restarted": "restart", "reloaded": "reload"}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "units": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
                    "enabled": {"type": "bool"},
                    "follows": {"type": "list", "elements": "str", "default": []},
                    "on_change": {"type": "str", "choices": ["restarted", "reloaded"], "default": "restarted"},
                },
            }
        },
        supports_check_mode=True,
    )
    units = [
        Unit(
            item["name"],
            item["state"] == "started",
            item["enabled"],
            tuple(item["follows"]),
            VERB[item["on_change"]],
        )
        for item in module.params["units"]
    ]
    try:
        done = update(units, module.check_mode)
    except UnitSetError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(done), units=done)


if __name__ == "__main__":
    main()
