# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What failed in a run that went on."""

from __future__ import annotations

DOCUMENTATION = r"""
name: failures
short_description: What failed for single apps in a run that went on for the others
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description: Puts what the roles have registered into one message, app by app with step, reason and remedy.
positional: proxy, certificate, backup, provider
options:
  _input:
    description: What the role C(release) registered, with C(release_defer_failures).
    type: dict
    required: true
  proxy:
    description: What the role C(proxy) registered.
    type: dict
  certificate:
    description: What the role C(certificate) registered.
    type: dict
  backup:
    description: What the role C(backup) registered.
    type: dict
  provider:
    description: Name of the proxy.
    type: str
    default: the proxy
  outside:
    description: What M(groundwork.flask.verify_outside) returned.
    type: dict
"""

EXAMPLES = r"""
- ansible.builtin.assert:
    that: failures | length == 0
    fail_msg: "{{ failures }}"
  vars:
    failures: "{{ release_result | groundwork.flask.failures(proxy_result, certificate_result, backup_result) }}"
"""

RETURN = r"""
_value:
  description: The message; empty when nothing failed.
  type: str
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils.failures import message
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map


def failures(
    release: Any,
    proxy: Any = None,
    certificate: Any = None,
    backup: Any = None,
    provider: str = "the proxy",
    outside: Any = None,
) -> str:
    """See DOCUMENTATION."""
    return message(
        as_map(release, "failures: release"),
        as_map(proxy, "failures: proxy"),
        as_map(certificate, "failures: certificate"),
        as_map(backup, "failures: backup"),
        provider,
        as_map(outside, "failures: outside"),
    )


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"failures": failures}
