# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files of Prometheus, Alertmanager and blackbox-exporter."""

from __future__ import annotations

DOCUMENTATION = r"""
name: metrics_plan
short_description: Configuration of Prometheus, its rules, Alertmanager and blackbox-exporter
version_added: 0.2.0
author: The Groundwork authors (@groundwork)
description:
  - Makes the configuration files of the role C(groundwork.flask.metrics) of its variables.
options:
  _input:
    description:
      - The role's variables without their prefix. C(hosts) as the filter P(groundwork.flask.metrics_hosts#filter)
        returns them; C(alertmanager_port), C(blackbox_port), C(private_ca), C(receivers), C(route) and
        C(alertmanager_settings).
    type: dict
    required: true
"""

EXAMPLES = r"""
__metrics_plan: "{{ my_metrics | groundwork.flask.metrics_plan }}"
"""

RETURN = r"""
_value:
  description: The content of C(prometheus.yml), C(rules.yml), C(alertmanager.yml) and C(blackbox.yml) by these names.
  type: dict
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import metrics_plan as plans
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_maps


def metrics_plan(variables: Any) -> dict[str, dict[str, Any]]:
    """See DOCUMENTATION."""
    given = as_map(variables, "metrics_plan")
    return {
        "prometheus.yml": plans.prometheus(
            as_maps(given["hosts"], "metrics_plan: hosts"),
            f"127.0.0.1:{given['alertmanager_port']}",
            f"127.0.0.1:{given['blackbox_port']}",
        ),
        "rules.yml": plans.rules(),
        "alertmanager.yml": plans.alertmanager(
            as_maps(given["receivers"], "metrics_plan: receivers"),
            as_map(given["route"], "metrics_plan: route"),
            as_map(given["alertmanager_settings"], "metrics_plan: alertmanager_settings"),
        ),
        "blackbox.yml": plans.probes(str(given["private_ca"])),
    }


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"metrics_plan": metrics_plan}
