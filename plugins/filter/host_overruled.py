# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have set on a host, and the role `host` is about to overrule."""

from __future__ import annotations

DOCUMENTATION = r"""
name: host_overruled
short_description: What others have set on a host, and the role host is about to overrule
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Compares what the module M(groundwork.flask.host_facts) returns in C(machine) with what the role would set,
    so that it is named before anything on the host is changed. Of a part that is in force there is nothing to name.
positional: wanted
options:
  _input:
    description: The value C(machine).
    type: dict
    required: true
  wanted:
    description:
      - C(updates), C(journal) and C(logins), each with the values that the role states by their names. A part that is
        left out is missing.
    type: dict
    required: true
"""

EXAMPLES = r"""
overruled: "{{ my_host.machine | groundwork.flask.host_overruled({'journal': {'SystemMaxUse': '500M'}}) }}"
"""

RETURN = r"""
_value:
  description: One text for each setting, with its file and what to do to keep it.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import host_overruled as rules
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


def host_overruled(found: Any, wanted: Any) -> list[str]:
    """See DOCUMENTATION."""
    return list(rules.warnings(plain(as_map(found, "host_overruled")), plain(as_map(wanted, "host_overruled: wanted"))))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"host_overruled": host_overruled}
