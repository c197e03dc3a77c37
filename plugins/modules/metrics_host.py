#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that looks whether exporters can be set up; the work is done in module_utils/metrics_host.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: metrics_host
short_description: Look whether Prometheus and its exporters can be set up on a host
version_added: 0.2.0
description:
  - Refuses a host on which others have set up Prometheus, Alertmanager, node-exporter or blackbox-exporter, or where
    another program has the port, and names what it found. It changes nothing.
author: The Groundwork authors (@groundwork)
options:
  ports:
    description: The port of each Debian package that is to be set up.
    type: dict
    required: true
  scrapers:
    description: Addresses and networks that are to reach node-exporter.
    type: list
    elements: str
    default: []
  take_over:
    description: Whether Debian's unit may be given other arguments although it runs already, or was configured.
    type: bool
    default: false
attributes:
  check_mode:
    description: It changes nothing.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
  platform:
    description: Where it runs.
    support: full
    platforms: posix
"""

EXAMPLES = r"""
- name: Check that nothing has the exporter's place
  groundwork.flask.metrics_host:
    ports: {prometheus-node-exporter: 9100}
    scrapers: [192.0.2.7]
  register: my_host
"""

RETURN = r"""
addresses:
  description: The host's own addresses by which O(scrapers) reach it.
  type: list
  elements: str
  returned: success
  sample: [192.0.2.10]
"""

from ansible_collections.groundwork.flask.plugins.module_utils import metrics_host
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root
from ansible_collections.groundwork.flask.plugins.module_utils.quiet import QuietModule


def main() -> None:
    """Run the module."""
    module = QuietModule(
        argument_spec={
            "ports": {"type": "dict", "required": True},
            "scrapers": {"type": "list", "elements": "str", "default": []},
            "take_over": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    refuse_unless_root(module)
    params = module.params
    try:
        addresses, unreached = metrics_host.own_addresses(params["scrapers"])
    except ValueError as error:
        module.fail_json(msg=f"metrics_scrapers: {error}: write addresses, or networks as 192.0.2.0/24")
    for scraper in unreached:
        module.warn(f"metrics_scrapers: this host has no route to {scraper}, so node-exporter does not listen for it.")
    ports = {package: int(port) for package, port in params["ports"].items()}
    if problems := metrics_host.conflicts(ports, params["take_over"]):
        module.fail_json(msg="\n".join(problems))
    module.exit_json(addresses=addresses)


if __name__ == "__main__":
    main()
