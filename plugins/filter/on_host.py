# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths and accounts that roles, programs and tests agree on, for Jinja."""

from __future__ import annotations

DOCUMENTATION = r"""
name: on_host
short_description: A path or account on the host, by its name
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Returns what C(plugins/module_utils/common/on_host.py) has under a name, so that a path stands in one place for
    roles, programs and tests.
positional: app
options:
  _input:
    description: >-
      Of an app V(home), V(releases), V(current), V(socket), V(undeployed), V(data), V(cache), V(redis_data),
      V(services), V(pooler), V(maintenance), V(journal), V(certificate), V(log_group), V(shipped); of the host
      V(configuration), V(outgoing), V(logs), V(state), V(watch), V(runtime), V(certificates), V(programs), V(packages),
      V(homes), V(datas), V(caches),
      V(build_caches), V(ca_bundle), V(acme_webroot), V(build_group), V(proxy_user),
      V(ship_user), V(alerts_account), V(sshd_settings), V(status), V(status_site), V(metrics).
    type: str
    required: true
  app:
    description: Name of the app, for what is an app's.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the modes of the shop's data directory
  ansible.builtin.command:
    argv: [stat, "{{ 'data' | groundwork.flask.on_host('shop') }}"]
"""

RETURN = r"""
_value:
  description: An absolute path, or the name of an account.
  type: str
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.module_utils.common import on_host as table


def on_host(name: Any, app: Any = "") -> str:
    """See DOCUMENTATION."""
    try:
        return table.on_host(str(name), str(app))
    except ValueError as error:
        raise AnsibleFilterError(f"on_host: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"on_host": on_host}
