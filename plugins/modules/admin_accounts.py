#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that makes accounts of people that administer a host; the work is done in module_utils/admins.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: admin_accounts
short_description: Make accounts for people that administer the host
version_added: 0.1.0
description:
  - Each gets a shell, a home directory, a password that fits nothing, its public keys, and sudo without a password.
  - An account that is there is taken if it is a person's (uid 1000 or more, with a shell to log in to) and no app's.
    Keys that it has stay, and none is ever removed.
  - Installs C(sudo) where the host lacks it. The rules stand in C(/etc/sudoers.d/zz-groundwork-admins), which is
    written once C(visudo) has taken it. Fails if an account cannot use sudo in the end.
author: The Groundwork authors (@groundwork)
options:
  admins:
    description: The accounts.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      keys:
        description: Public SSH keys, each a line of a file that ends in C(.pub), or several.
        type: list
        elements: str
        required: true
attributes:
  check_mode:
    description: Says whose account would change.
    support: full
  diff_mode:
    description: Shows no differences.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
seealso:
  - module: ansible.builtin.user
"""

EXAMPLES = r"""
- name: Give Ada an account
  groundwork.flask.admin_accounts:
    admins:
      - {name: ada, keys: ["{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"]}
"""

RETURN = r"""
admins:
  description: Names of the accounts to which anything was done.
  type: list
  elements: str
  returned: success
  sample: [ada]
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import admins as accounts
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root
from ansible_collections.groundwork.flask.plugins.module_utils.quiet import QuietModule


def main() -> None:
    """Run the module."""
    module = QuietModule(argument_spec={"admins": accounts.OPTION}, supports_check_mode=True)
    refuse_unless_root(module)
    admins = module.params["admins"]
    # The arguments are not returned: keys say who somebody is.
    result: dict[str, Any] = {"invocation": {"module_args": {}}}
    try:
        for admin in admins:
            accounts.refuse_others(admin["name"])
        done = accounts.pending(admins) if module.check_mode else accounts.reconcile(admins)
    except (accounts.AdminError, OSError) as error:
        module.fail_json(msg=str(error), **result)
    module.exit_json(changed=bool(done), admins=done, **result)


if __name__ == "__main__":
    main()
