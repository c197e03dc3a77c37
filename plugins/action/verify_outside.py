# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the sites of a host from the controller, as a visitor would; the host itself is not called."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.groundwork.flask.plugins.plugin_utils import outside, outside_findings, outside_summary, wire
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

TEXTS = {"type": "list", "elements": "str", "default": []}
OPTIONS: dict[str, dict[str, Any]] = {
    "expected": {"type": "dict", "required": True},
    "only": TEXTS,
    "address": {"type": "str", "default": ""},
    "addresses": TEXTS,
    "fronts": TEXTS,
    "reached": {"type": "bool"},
    "listening": {"type": "list", "elements": "int"},
    "firewalls": TEXTS,
    "private_ca": {"type": "bool", "default": False},
    "ca_bundle": {"type": "str", "default": ""},
    "setting_up": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask for all sites at the same time; the findings become part of the result."""
        result = super().run(tmp, task_vars)
        del tmp
        _validation, arguments = self.validate_argument_spec(OPTIONS)
        given = plain(arguments)
        bundle = given["ca_bundle"] and str(Path(given["ca_bundle"]).expanduser().absolute())
        try:
            trusted = wire.trust(bundle)
        except (OSError, ssl.SSLError) as error:
            message = f"verify_ca_bundle: {bundle} is no file of certificates in PEM: {error}"
            return {**result, "failed": True, "msg": message}
        sites = outside.read_sites(given["expected"].get("apps") or {}, given["only"])
        host = self.host(given, task_vars or {})
        seen = outside.look(sites, host, trusted)
        found = outside_findings.judge(sites, seen, given["setting_up"])
        result.update(
            findings=[one.plain() for one in found],
            declared=outside_summary.declared(given["expected"]),
            **outside_summary.summarize(sites, seen, found),
        )
        return result

    def host(self, given: Mapping[str, Any], variables: Mapping[str, Any]) -> outside.Host:
        """What is known of the host, from the options and the inventory."""
        name = str(variables.get("inventory_hostname") or "")
        return outside.Host(
            name=name,
            address=given["address"] or self.address_of(name, variables),
            addresses=tuple(given["addresses"]),
            others=tuple(
                self.address_of(other, variables)
                for other in variables.get("ansible_play_hosts_all") or ()
                if str(other) != name
            ),
            fronts=tuple(given["fronts"]),
            reached=given["reached"],
            listening=None if given["listening"] is None else frozenset(given["listening"]),
            firewalls=tuple(given["firewalls"]),
            private_ca=given["private_ca"],
            proxy=str(given["expected"].get("proxy") or ""),
        )

    def address_of(self, name: str, variables: Mapping[str, Any]) -> str:
        """Where Ansible reaches a host: a name or an address."""
        known = variables.get("hostvars") or {}
        address = known[name].get("ansible_host") if name in known else ""
        return str(self._templar.template(address) or name)
