# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the names that certificates are wanted for, before a host is touched."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_problems
short_description: What is wrong with the names that certificates are wanted for
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Checks the names as the role C(groundwork.flask.certificate) takes them, and whether its other variables fit them.
    Wildcards and IP addresses are refused by the same rules as in C(flask_apps).
positional: absent, variables
options:
  _input:
    description: The list C(certificate_names).
    type: list
    elements: dict
    required: true
  absent:
    description: The list C(certificate_absent).
    type: list
    elements: str
    default: []
  variables:
    description:
      - Other variables of the role by their names without C(certificate_), those of C(acme_directory), C(acme_staging),
        C(acme_eab_kid), C(acme_eab_hmac_key), C(certbot), C(certbot_plugins), C(dns_plugin) and C(dns_auth_hook) that
        are set. C(production) is the directory of Let's Encrypt, C(known_plugins) the DNS plugins that the
        distributions package, as C(distribution), and that certbot's own project releases, as C(certbot).
    type: dict
    default: {}
"""

EXAMPLES = r"""
problems: "{{ certificate_names | groundwork.flask.certificate_problems([], {'certbot': certificate_certbot}) }}"
"""

RETURN = r"""
_value:
  description: One sentence for each problem, with the name, the option, the value and the remedy.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import certificate_rules
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_list, as_map, as_maps


def certificate_problems(names: Any, absent: Any = None, variables: Any = None) -> list[str]:
    """See DOCUMENTATION."""
    return list(
        certificate_rules.problems(
            as_maps(names, "certificate_problems: names"),
            as_list(absent, "certificate_problems: absent"),
            as_map(variables, "certificate_problems: variables"),
        )
    )


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"certificate_problems": certificate_problems}
