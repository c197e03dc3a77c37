# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which apps of a host reach PostgreSQL through a pooler."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pooling
short_description: Which apps of a host reach PostgreSQL through a pooler
version_added: 0.2.0
author: The Groundwork authors (@groundwork)
description:
  - Adds up the connections that the apps open during a deploy, and compares them with what PostgreSQL takes.
  - An app has a pooler if its C(pool) is true, or if C(pool) is not given and PostgreSQL could not take the
    connections of all apps.
positional: limit, facts, most
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
      - C(ansible_facts) of the host, of which C(processor_nproc) and C(memtotal_mb) are read. An app without a number
        of workers has as many as its server would start there.
    type: dict
    required: true
  most:
    description: Connections to PostgreSQL that a pooler may hold.
    type: int
    default: 20
"""

EXAMPLES = r"""
poolers: "{{ (database_apps | groundwork.flask.pooling(100, ansible_facts)).poolers }}"
"""

RETURN = r"""
_value:
  description:
    - C(poolers), by the app's name, has for each C(name), C(socket), its directory, C(port), C(size), the connections
      to PostgreSQL that it may hold, C(clients), those that the app may open, C(automatic), whether it follows from
      the numbers, and C(reason).
    - C(warnings) is a list of sentences, empty where PostgreSQL takes all connections.
  type: dict
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import pooling as reading
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_maps


def pooling(apps: Any, limit: Any, facts: Any, most: Any = reading.SIZE) -> dict[str, Any]:
    """See DOCUMENTATION."""
    found = as_map(facts, "pooling: facts")
    cores, memory = (int(found.get(name) or least) for name, least in (("processor_nproc", 1), ("memtotal_mb", 1024)))
    plan = reading.plan(as_maps(apps, "pooling"), int(limit), cores, memory, int(most))
    return {"poolers": plan.poolers(), "warnings": plan.warnings()}


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"pooling": pooling}
