# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which apps of a host reach PostgreSQL through a pooler."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pooling
short_description: Which apps of a host reach PostgreSQL through a pooler
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Adds up the connections that the apps open during a deploy, and compares them with what PostgreSQL takes.
  - An app has a pooler if its C(pool) is true, or if C(pool) is not given and PostgreSQL could not take the
    connections of all apps.
positional: limit, facts, most, absent
options:
  _input:
    description: The list C(database_apps).
    type: list
    elements: dict
    required: true
  limit:
    description: Connections that PostgreSQL takes, its C(max_connections).
    type: int
    required: true
  facts:
    description:
      - C(ansible_facts) of the host, of which C(processor_nproc), C(memtotal_mb) and C(distribution_release) are read.
        An app without a number of workers has as many as its server would start there.
    type: dict
    required: true
  most:
    description: Connections to PostgreSQL that a pooler may hold.
    type: int
    default: 20
  absent:
    description: Names of apps that lose their pooler.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
__database_pooling: "{{ database_apps | groundwork.flask.pooling(100, ansible_facts) }}"
"""

RETURN = r"""
_value:
  description:
    - C(poolers), for the templates, is a dictionary for each app that has one, with C(name), C(socket), its directory,
      C(port), C(size), the connections to PostgreSQL that it may hold, C(clients), those that the app may open,
      C(prepared_statements), whether it knows them, C(automatic), whether it follows from the numbers, and C(reason).
    - C(records), by the app's name, has what a release is to know of its pooler.
    - C(units) and C(absent_units) are as M(groundwork.flask.file_set) takes them.
    - C(warnings) is a list of sentences, empty where PostgreSQL takes all connections.
  type: dict
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import pooling as planning
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_maps, as_names


def pooling(apps: Any, limit: Any, facts: Any, most: Any = planning.SIZE, absent: Any = None) -> dict[str, Any]:
    """See DOCUMENTATION."""
    found = as_map(facts, "pooling: facts")
    cores, memory = (int(found.get(name) or least) for name, least in (("processor_nproc", 1), ("memtotal_mb", 1024)))
    plan = planning.plan(as_maps(apps, "pooling"), int(limit), cores, memory, int(most))
    prepared = planning.prepares(str(found.get("distribution_release", "")))
    poolers = [{**pooler, "prepared_statements": prepared} for pooler in plan.poolers()]
    return {
        "poolers": poolers,
        "records": {pooler["name"]: planning.record(pooler, prepared) for pooler in poolers},
        "units": planning.units((pooler["name"] for pooler in poolers), "started"),
        "absent_units": planning.units(as_names(absent, "pooling: absent"), "stopped"),
        "warnings": plan.warnings(),
    }


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"pooling": pooling}
