# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the sites of a proxy, before a host is touched."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site_problems
short_description: What is wrong with the sites of a proxy
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Checks the sites as the role C(groundwork.flask.proxy) takes them, and with O(served) also whether another site of
    the host has their domains.
positional: provider, lacks, served, absent
options:
  _input:
    description: The list C(proxy_sites).
    type: list
    elements: dict
    required: true
  provider:
    description: Name of the proxy's software, for the messages.
    type: str
    default: nginx
  lacks:
    description: Options of a site or a path that this software does not have here.
    type: list
    elements: str
    default: []
  served:
    description: The sites that the host serves, as RV(groundwork.flask.host_facts#module:sites) has them.
    type: list
    elements: dict
    default: []
  absent:
    description: Names of sites that leave the host in this play.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
problems: "{{ proxy_sites | groundwork.flask.site_problems('apache', ['cache', 'limit_req']) }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem, with the site, the option, the value and the remedy.
  type: list
  elements: str
"""

from collections.abc import Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import handovers
from ansible_collections.groundwork.flask.plugins.plugin_utils import sites as reading
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_list, as_maps, as_names
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


def site_problems(
    given: Any, provider: str = "nginx", lacks: Sequence[str] = (), served: Any = None, absent: Any = None
) -> list[str]:
    """See DOCUMENTATION."""
    entries = plain(given) or []
    if not isinstance(entries, list):
        return [f"proxy_sites: {entries!r} is not a list: write each site as `- name: NAME` with its options"]
    sites, problems = reading.load(entries)
    options = [str(option) for option in as_list(lacks, "site_problems: lacks")]
    problems += reading.lacking(list(filter(is_readable, entries)), str(provider), options)
    on_host = handovers.read_served(as_maps(served, "site_problems: served"))
    leaving = as_names(absent, "site_problems: absent")
    return problems or list(handovers.problems(sites, on_host, leaving, str(provider)))


def is_readable(entry: Any) -> bool:
    """Whether a site has options of the right types; one that has not is a problem already."""
    if not isinstance(entry, dict):
        return False
    domains, paths = entry.get("domains") or [], entry.get("paths") or {}
    return (
        isinstance(domains, list)
        and isinstance(paths, dict)
        and all(settings is None or isinstance(settings, dict) for settings in paths.values())
    )


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"site_problems": site_problems}
