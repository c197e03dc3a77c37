#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that looks at a host; the work is done in module_utils/host_facts.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Look at a host once, for all that the roles need to know of it
version_added: 0.1.0
description:
  - Returns the few facts that the roles of this collection use, under the names that M(ansible.builtin.setup) gives
    them, in a fraction of its time. A play that gathers facts anyway does not need it.
  - Returns also what changes from one run to the next, and is therefore not kept as a fact; which packages are
    installed, which sites are served, and the SSH connection.
  - Fails where nothing can be set up. It needs root, systemd, and file systems that can be written; it warns of a clock
    that is wrong or that nothing keeps right.
author: The Groundwork authors (@groundwork)
options:
  apps:
    description:
      - Names of apps. RV(taken) tells which of them something else on the host has, RV(known_apps) which are apps of
        the host.
      - A warning names each app that runs as an account which was not made for it.
    type: list
    elements: str
    default: []
  schedules:
    description:
      - Schedules of jobs, as systemd's C(OnCalendar=) has them. RV(refused_schedules) tells which of them the host does
        not take.
    type: list
    elements: str
    default: []
  accounts:
    description: Names of accounts. RV(missing_accounts) tells which of them are not on the host.
    type: list
    elements: str
    default: []
  admins:
    description:
      - Accounts of people that administer the host, as M(groundwork.flask.admin_accounts) takes them. RV(admins) tells
        whom anything is to be done for.
      - If the SSH connection is refused to one of them (the account is not there yet, or not with this key), the task
        connects as C(root) once, makes the accounts by that module, and goes on as the connection was asked for. In
        check mode it makes none and fails. Once they are there this takes no time.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      keys:
        description: Public SSH keys.
        type: list
        elements: str
        required: true
attributes:
  check_mode:
    description: Only looks.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  facts:
    description: Returns facts.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: posix
seealso:
  - module: ansible.builtin.setup
  - module: groundwork.flask.admin_accounts
"""

EXAMPLES = r"""
- name: Gather facts about the host
  groundwork.flask.host_facts:
  register: my_host

- name: Install what is missing
  ansible.builtin.apt:
    name: "{{ my_packages }}"
  when: my_packages | difference(my_host.packages) | length > 0
"""

RETURN = r"""
ansible_facts:
  description:
    - C(distribution), C(distribution_version), C(distribution_major_version), C(distribution_release), C(os_family),
      C(python), C(python_version), C(all_ipv4_addresses), C(all_ipv6_addresses), C(processor_nproc),
      C(memtotal_mb).
  type: dict
  returned: success
  sample: {distribution: Debian, distribution_release: trixie, all_ipv6_addresses: ["2001:db8::7"]}
packages:
  description: Names of the installed Debian packages.
  type: list
  elements: str
  returned: success
  sample: [nginx, python3]
sites:
  description:
    - The sites that the role C(groundwork.flask.proxy) has written on this host, of whichever inventory. C(owner) is
      the site whose domains it shares, below C(prefix), else itself; C(addresses) are those of C(domains) that are IP
      addresses, C(lines) those of its files that name the domains.
  type: list
  elements: dict
  returned: success
  sample:
    - name: shop
      provider: nginx
      owner: shop
      prefix: ""
      domains: [www.example.org, example.org]
      addresses: []
      lines: ["server_name www.example.org;", "server_name example.org;"]
      certificate: /etc/ssl/groundwork/shop/current
foreign_services:
  description:
    - What has the place of an app's Redis (C(redis), C(redis-cache)) or pooler (C(pooler)) and was not made for the
      app, by the app's name.
  type: dict
  returned: success
  sample: {shop: {redis: [/etc/systemd/system/shop.redis.service (file of root)]}}
missing_accounts:
  description: Those of O(accounts) that are not on the host.
  type: list
  elements: str
  returned: success
  sample: [ada]
taken:
  description:
    - What on the host has the name of an app in O(apps) and was not made for it, such as an account, a group, a
      directory or a unit; by the app's name. Nothing of an app that is live. Also a person's account that has the name
      of one that the roles make for themselves, by that name.
  type: dict
  returned: success
  sample: {git: ["the account git (uid 1001, home /home/git, shell /bin/bash)", /srv/git (directory of root)]}
refused_schedules:
  description: What is wrong with those of O(schedules) that the host's systemd does not take.
  type: dict
  returned: success
  sample: {"daily at 3": "is no schedule: write it as systemd's OnCalendar= has it, such as `*-*-* 03:00`"}
known_apps:
  description: Those of O(apps) that are on the host, or of which it still has the account or the ledger.
  type: list
  elements: str
  returned: success
  sample: [shop]
services:
  description: What the roles C(database) and C(redis) have set up for apps on this host, as names of files below
    C(/etc/groundwork/services/<app>); by the app's name. Also of apps that are in no inventory any more.
  type: dict
  returned: success
  sample: {shop: [redis.conf, redis.json]}
machine:
  description:
    - What the role C(groundwork.flask.host) asks of the machine. C(container) is the kind of container that it is,
      empty for a machine of its own; C(virtual) whether it is one or a virtual machine; C(modules) are the names of the
      loaded kernel modules, none in a container.
    - C(settings), what others have set for updates, journal and logins, and C(journal_bytes), what is logged; of parts
      that the role has not set yet. The filter P(groundwork.flask.host_overruled#filter) takes them.
  type: dict
  returned: success
  sample: {container: "", virtual: true, modules: [nf_tables, virtio_net], settings: [], journal_bytes: 0}
readiness:
  description: Whether the host can be set up at all. Where it cannot, the action plugin fails and says what to do.
  type: dict
  returned: success
serving:
  description:
    - What serves the web on the host already, as the filters P(groundwork.flask.occupied_ports#filter) and
      P(groundwork.flask.other_firewalls#filter) take it.
    - C(listeners) at the ports 80 and 443, C(redirects) of these ports by the kernel and the C(containers) that publish
      them, the C(sites) of a web server that this collection did not set up, units that are C(ours), those that are
      C(armed), C(firewalls), and C(jails) of fail2ban with the files that they read.
    - C(reached), what listens where other machines come in; empty once the role C(groundwork.flask.firewall) has
      written its rules.
  type: dict
  returned: success
sshd:
  description:
    - How sshd is set, as the filter P(groundwork.flask.sshd_plan#filter) takes it. Empty where no sshd runs.
    - C(user) who has logged in for this play, C(login) by which C(method) and, of a key, which C(fingerprint);
      C(effective) settings for that user, and where each of the C(settings) stands; the C(accounts) of people with the
      fingerprints of their C(keys).
  type: dict
  returned: success
admins:
  description: Names of those of O(admins) that lack the account, a key, or sudo without a password.
  type: list
  elements: str
  returned: success
  sample: [ada]
ssh_connection:
  description:
    - The SSH connection over which the module runs, as sshd describes it in C(SSH_CONNECTION), under C(become) too. Its
      last word is the port of the host. Empty for another kind of connection.
  type: str
  returned: success
  sample: 192.0.2.7 51234 203.0.113.5 22
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import (
    admins,
    host_facts,
    host_sites,
    readiness,
    serving,
    sshd_state,
)
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import (
    Ownership,
    account_of,
    own_accounts_taken,
)
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import Systemd
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root
from ansible_collections.groundwork.flask.plugins.module_utils.quiet import QuietModule
from ansible_collections.groundwork.flask.plugins.module_utils.release import schedules

OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"type": "list", "elements": "str", "default": []} for name in ("apps", "schedules", "accounts")},
    "admins": admins.OPTION,
}
RENAME = "give the app another name in flask_apps, move its data, and take this one off by groundwork.flask.remove"


def main() -> None:
    """Run the module."""
    module = QuietModule(argument_spec=OPTIONS, supports_check_mode=True)
    refuse_unless_root(module)
    invocation = {"module_args": {name: module.params[name] for name in ("apps", "schedules")}}
    owners = [Ownership.of(app) for app in module.params["apps"]]
    try:
        for owner in owners:
            if owner.is_live:
                for account in owner.foreign_account():
                    module.warn(f"{owner.app}: the app runs as {account}, which was not made for it: {RENAME}")
        module.exit_json(
            changed=False,
            invocation=invocation,
            ansible_facts=host_facts.facts(),
            packages=host_facts.packages(),
            sites=host_sites.sites(),
            serving=serving.serving(),
            machine=host_facts.machine(),
            readiness=readiness.readiness(),
            ssh_connection=(connection := host_facts.ssh_connection()),
            sshd=sshd_state.state(connection, sshd_state.login_user()),
            admins=admins.pending(module.params["admins"]),
            missing_accounts=[name for name in module.params["accounts"] if account_of(name) is None],
            taken={
                **own_accounts_taken(),
                **{owner.app: found for owner in owners if (found := [*owner.conflicts(), *owner.foreign_readers()])},
            },
            services=host_facts.services(),
            foreign_services={owner.app: there for owner in owners if (there := owner.foreign_services())},
            refused_schedules=schedules.problems(module.params["schedules"], Systemd().run),
            known_apps=[owner.app for owner in owners if owner.is_known],
        )
    except (OSError, RuntimeError, ValueError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
