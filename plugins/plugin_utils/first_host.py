# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of an app's hosts runs the jobs that one host runs: the first in the inventory, under --limit too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GROUP = "flask_hosts"


def first_of(app: str, variables: Mapping[str, Any]) -> str:
    """The first host of the group of hosts that has the app in its ``flask_apps``; "" where none has.

    :param variables: those of any host's task.
    """
    group = str(variables.get("flask_hosts_group") or GROUP)
    hosts = (variables.get("groups") or {}).get(group) or variables.get("ansible_play_hosts_all") or ()
    hostvars = variables.get("hostvars") or {}
    for host in hosts:
        apps = hostvars[host].get("flask_apps") if host in hostvars else None
        if isinstance(apps, Mapping) and app in apps:
            return str(host)
    return ""


def runs_jobs(app: str, variables: Mapping[str, Any]) -> bool:
    """Whether the host of a task runs them. Where no host has ``flask_apps``, each is alone."""
    return first_of(app, variables) in ("", variables.get("inventory_hostname"))
