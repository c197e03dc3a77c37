# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which apps stand on more than one host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: shared_apps
short_description: Which apps stand on more than one host
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Takes names of hosts and returns the names of the apps that stand in C(flask_apps) of at least two of them.
  - Such apps need one C(SECRET_KEY) on all of their hosts, because a visitor may reach any of these.
positional: hostvars
options:
  _input:
    description: Names of hosts, such as C(ansible_play_hosts_all).
    type: list
    elements: str
    required: true
  hostvars:
    description: Variables of the hosts, by the name of the host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which apps stand on more than one host
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | groundwork.flask.shared_apps(hostvars) }}"
"""

RETURN = r"""
_value:
  description: Names of apps, in alphabetical order.
  type: list
  elements: str
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any


def shared_apps(hosts: Any, hostvars: Any) -> list[str]:
    """See DOCUMENTATION."""
    apps: Counter[str] = Counter()
    for host in hosts or []:
        of_host = hostvars[host].get("flask_apps") if host in hostvars else None
        if isinstance(of_host, Mapping):  # anything else is refused elsewhere, with its remedy
            apps.update(str(name) for name in of_host)
    return sorted(name for name, count in apps.items() if count > 1)


class FilterModule:
    """Offer the filter of this file."""

    def filters(self) -> dict[str, Any]:
        """Return the filter by its name."""
        return {"shared_apps": shared_apps}
