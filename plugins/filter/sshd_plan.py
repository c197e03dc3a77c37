# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role host would have sshd do, and whom that would shut out."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sshd_plan
short_description: How sshd of a host is to be set, and whether nobody is shut out
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Judges what the module M(groundwork.flask.host_facts) returns in C(sshd), for the role C(groundwork.flask.host).
positional: wish
options:
  _input:
    description: The value C(sshd). An empty one is a host on which no sshd runs.
    type: dict
    required: true
  wish:
    description:
      - C(enabled), C(root), C(tcp_forwarding), C(algorithms), C(rsa_key), C(allow_users), C(settings) as the role's
        variables have them, C(admins) as C(host_admins); C(arguments), those of ssh in the inventory, and C(names),
        what this host is called in them; C(apps), names of apps.
    type: dict
    required: true
"""

EXAMPLES = r"""
plan: "{{ my_host.sshd | groundwork.flask.sshd_plan({'enabled': true, 'root': 'no', 'admins': host_admins}) }}"
"""

RETURN = r"""
_value:
  description:
    - C(content), the drop-in, empty where there is to be none; C(pending), whether the host has another one.
    - C(problems) and C(warnings), one text for each; C(differences), what is not in effect though the drop-in says so.
  type: dict
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import admins, sshd_rules, sshd_settings
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_list, as_map, as_maps

CHOICES = {
    "root": ("", "prohibit-password", "no"),
    "tcp_forwarding": ("", "yes", "local", "remote", "no"),
    "algorithms": ("hardened", "compatible"),
}


def sshd_plan(found: Any, wish: Any) -> dict[str, Any]:
    """See DOCUMENTATION."""
    state, asked = as_map(found, "sshd_plan"), as_map(wish, "sshd_plan: wish")
    people = as_maps(asked.get("admins"), "host_admins")
    wanted = sshd_settings.Wish(
        enabled=bool(asked.get("enabled", True)),
        rsa_key=bool(asked.get("rsa_key", False)),
        allow_users=[str(user) for user in as_list(asked.get("allow_users"), "host_sshd_allow_users")],
        settings=as_map(asked.get("settings"), "host_sshd_settings"),
        admins=[str(one.get("name", "")) for one in people],
        **{name: str(asked.get(name) or choices[0]) for name, choices in CHOICES.items()},
    )
    wrong = admins.problems(people, [str(app) for app in as_list(asked.get("apps"), "sshd_plan: apps")])
    wrong += [
        f"host_sshd_{name} is {value!r}; one of {', '.join(filter(None, choices))} is right. Nothing was changed."
        for name, choices in CHOICES.items()
        if (value := getattr(wanted, name)) not in choices
    ]
    if wrong:
        return {"problems": wrong, "warnings": [], "differences": [], "content": "", "pending": False}
    names = tuple(str(name) for name in as_list(asked.get("names"), "sshd_plan: names"))
    content = sshd_settings.file(state, wanted)
    return {
        "problems": sshd_rules.problems(state, wanted, str(asked.get("arguments") or ""), names),
        "warnings": sshd_rules.warnings(state, wanted),
        "differences": sshd_rules.differences(state, wanted),
        "content": content,
        "pending": bool(state) and content != state["ours"],
    }


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"sshd_plan": sshd_plan}
