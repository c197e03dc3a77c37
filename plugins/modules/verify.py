#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that looks at a live host; the work is done in module_utils/verify."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Look at a live host, whether what was declared is in effect
version_added: 0.1.0
description:
  - Reads and never writes. It finds what a person has changed by hand, and what has broken by itself.
  - Asks the running programs rather than their files wherever it can, such as C(sshd -T), the kernel's packet filter
    and systemd.
  - A check that cannot look is a finding with the state V(unchecked), and keeps no other from looking.
author: The Groundwork authors (@groundwork)
options:
  expected:
    description:
      - What is expected of the host, as the filter P(groundwork.flask.verify_expected#filter) makes it of the
        inventory.
      - For what is missing, and without it for everything, the host's own records are what is expected.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Only looks.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
seealso:
  - module: groundwork.flask.host_facts
"""

EXAMPLES = r"""
- name: Look at the host
  groundwork.flask.verify:
  register: my_look

- name: Show what is to be done
  ansible.builtin.debug:
    msg: "{{ my_look.findings | selectattr('state', 'in', ['problem', 'warning']) }}"
"""

RETURN = r"""
findings:
  description: What was looked at, and what was found.
  type: list
  elements: dict
  returned: success
  contains:
    check:
      description: The name of the check.
      type: str
      sample: sshd
    subject:
      description: An app's name, or C(host).
      type: str
      sample: host
    state:
      description: V(ok), V(warning), V(problem), or V(unchecked) where it could not be looked at.
      type: str
      sample: problem
    message:
      description: What was found, in one sentence.
      type: str
      sample: sshd has passwordauthentication yes, from /etc/ssh/sshd_config.d/50-cloud-init.conf.
    remedy:
      description: What to do; empty where nothing is to be done.
      type: str
      sample: Remove the line from that file, and reload ssh.service.
facts:
  description: What a report shows beside the findings. Times are UTC, sizes are bytes; what is unknown is empty or 0.
  type: dict
  returned: success
  contains:
    host:
      description:
        - C(name), C(distribution), C(kernel), C(time), C(boot), C(uptime) in seconds, C(cores), C(load) of 1, 5 and 15
          minutes, C(memory) with C(total), C(available), C(swap_total), C(swap_free), and a list C(disks), each with
          C(path), C(total), C(free), C(inodes), C(inodes_free). C(addresses) are those at which others may reach it,
          C(listening) the TCP ports on which something listens for them.
      type: dict
    apps:
      description:
        - By the app's name, C(domains), C(release) with its C(version), C(since) when it is live and C(by) whom,
          C(state) of its server, C(started), C(restarts), C(workers), C(memory) of all its units, C(processes) with
          C(running) and C(wanted) of each, C(jobs) with C(last), C(result) and C(next) of each, C(certificate) with
          C(until), C(days) and C(issuer), C(backup) with C(last), C(drill) and C(drill_ok).
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root
from ansible_collections.groundwork.flask.plugins.module_utils.verify.checks import look_at
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected
from ansible_collections.groundwork.flask.plugins.module_utils.verify.facts import facts
from ansible_collections.groundwork.flask.plugins.module_utils.verify.look import Look


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"expected": {"type": "dict", "default": {}}}, supports_check_mode=True)
    refuse_unless_root(module)
    look = Look(seconds=30.0)  # a person waits for it, perhaps for a host that is busy: not so short as the watch's
    try:
        expected = Expected.of(module.params["expected"], look)
    except (KeyError, TypeError, ValueError) as error:
        module.fail_json(msg=f"expected: {type(error).__name__}: {error}")
    module.exit_json(
        changed=False,
        findings=[one.plain() for one in look_at(expected, look)],
        facts=facts(expected, look),
    )


if __name__ == "__main__":
    main()
