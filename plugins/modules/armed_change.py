#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of an armed change on the host; its action plugin opens the new connection between them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: armed_change
short_description: Change what can cut off SSH, with a timer on the host that reverts it
version_added: 0.1.0
description:
  - Puts a change into effect that could cut off the very connection of the play, such as rules of a firewall or
    settings of sshd. Test the change before.
  - By a new SSH connection, it arms a timer on the host and applies the change. It then opens another SSH connection,
    and by that one disarms the timer and makes the change permanent. If no connection comes through, the timer reverts
    the change, and the task fails with what happened.
  - The timer is a transient unit of systemd and needs no play. Where the play is killed, the host reverts by itself.
    What is loaded at boot changes only by O(confirm), so a reboot in the meantime reverts too.
  - Each connection is opened with the settings of the play (port, user, jump host, C(ansible_ssh_common_args),
    C(become)) and without C(ControlMaster), because a connection that is open already would prove nothing.
  - An earlier change of the same name that is still armed, of a run that was killed, is waited for.
  - Over a connection that is not SSH, such as C(local) or C(podman), there is nothing to prove, and the change is
    confirmed at once.
author: The Groundwork authors (@groundwork)
options:
  name:
    description: Names the change, and its timer C(groundwork-NAME-revert).
    type: str
    required: true
  apply:
    description:
      - The argument vector that puts the change into effect. If it fails, or takes more than two thirds of
        O(seconds), it is ended and O(revert) runs at once.
    type: list
    elements: str
    required: true
  revert:
    description: The argument vector that puts the former state back. It runs on the host, without the play.
    type: list
    elements: str
    required: true
  confirm:
    description: The argument vector that makes the change permanent. It may run twice.
    type: list
    elements: str
    required: true
  seconds:
    description: After how many seconds the host reverts, 10 to 300.
    type: int
    default: 30
  needed:
    description: Whether there is anything to change. V(false) makes no call to the host.
    type: bool
    default: true
  remedy:
    description: A sentence that says what to look at where no connection came through, for the message.
    type: str
    default: ""
  step:
    description: Internal; set by the action plugin.
    type: str
    choices: [begin, confirm, outcome, all]
    default: all
  serial:
    description: Internal; set by the action plugin.
    type: str
    default: ""
attributes:
  check_mode:
    description: Reports a change if O(needed), and makes no call to the host.
    support: full
  diff_mode:
    description: It knows nothing of what changes.
    support: none
  action:
    description: The connections are opened by an action plugin of the same name.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Load the new rules, unless they shut this play out
  groundwork.flask.armed_change:
    name: my-rules
    apply: [/usr/sbin/nft, --file, /etc/my-rules.new]
    revert: [/usr/sbin/nft, --file, /etc/my-rules]
    confirm: [mv, /etc/my-rules.new, /etc/my-rules]
    needed: "{{ my_rules is changed }}"
    remedy: Look whether my_ports has the port of SSH.
"""

RETURN = r"""
state:
  description: What became of the change. On failure the message says it.
  type: str
  returned: success, if the change was needed
  sample: confirmed
"""

import os
import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.groundwork.flask.plugins.module_utils.armed import NAME, Armed, ArmedError, carry_out
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root

ARGV: dict[str, Any] = {"type": "list", "elements": "str", "required": True}
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "apply": ARGV,
    "revert": ARGV,
    "confirm": ARGV,
    "seconds": {"type": "int", "default": 30},
    "needed": {"type": "bool", "default": True},
    "remedy": {"type": "str", "default": ""},
    "step": {"type": "str", "choices": ["begin", "confirm", "outcome", "all"], "default": "all"},
    "serial": {"type": "str", "default": ""},
}


def main() -> None:
    """Run the module."""
    os.umask(0o022)  # for the commands too, whatever the shell of the connection has
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    refuse_unless_root(module)
    options = module.params
    if not re.fullmatch(NAME, options["name"]):
        module.fail_json(msg=f"name is {options['name']!r}: use lower-case letters, digits, - and _")
    if not 10 <= options["seconds"] <= 300:
        module.fail_json(msg=f"seconds is {options['seconds']}: choose 10 to 300")
    try:
        armed = Armed(options["name"], re.sub(r"\W", "", options["serial"]) or "module")
        module.exit_json(**carry_out(options["step"], options, armed))
    except (ArmedError, OSError) as error:
        module.fail_json(msg=f"{options['name']}: {error}")


if __name__ == "__main__":
    main()
