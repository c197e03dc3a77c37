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
      restart_for:
        description: Files that no reload takes in, such as the unit's own. When one changes, the unit is restarted.
        type: list
        elements: str
        default: []
      replaces:
        description:
          - Units that cannot run beside this one, for example because both listen on the same port.
          - One that runs is stopped right before this one starts, and disabled when it has. If this one does not start,
            it is disabled, the other one is started again, and the task fails.
          - A unit that runs is kept, and this one left as it is, while its set has a part that the successor has not;
            see RV(kept).
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Full name of the unit.
            type: str
            required: true
          file_set:
            description: The file set that it loads. A unit whose set is not on the host is left alone.
            type: str
            required: true
          successor:
            description: The file set that takes the place of that set.
            type: str
            required: true
          absent_parts:
            description: Parts that the successor need not have.
            type: list
            elements: str
            default: []
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
pause:
  description: For how many seconds neither ran.
  type: float
  returned: when a running unit was replaced
  sample: 0.4
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.groundwork.flask.plugins.module_utils.unit_set import Replaced, Unit, UnitSetError, update

REPLACED = {
    "name": {"type": "str", "required": True},
    "file_set": {"type": "str", "required": True},
    "successor": {"type": "str", "required": True},
    "absent_parts": {"type": "list", "elements": "str", "default": []},
}
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
                    "restart_for": {"type": "list", "elements": "str", "default": []},
                    "replaces": {"type": "list", "elements": "dict", "default": [], "options": REPLACED},
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
            tuple(item["restart_for"]),
            tuple(
                Replaced(old["name"], old["file_set"], old["successor"], tuple(old["absent_parts"]))
                for old in item["replaces"]
            ),
        )
        for item in module.params["units"]
    ]
    try:
        outcome = update(units, module.check_mode)
    except UnitSetError as error:
        module.fail_json(msg=str(error))
    pause = {} if outcome.pause is None else {"pause": round(outcome.pause, 2)}
    module.exit_json(
        changed=bool(outcome.done), units=outcome.done, replaced=outcome.replaced, kept=outcome.kept, **pause
    )


if __name__ == "__main__":
    main()
