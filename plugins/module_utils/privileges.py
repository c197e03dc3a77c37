# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuse to act where a module does not run as root: what follows would fail half-way, or find nothing."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.groundwork.flask.plugins.module_utils.common import privileges


def refuse_unless_root(module: AnsibleModule) -> None:
    """End the module with what to do; in check mode too."""
    if not privileges.is_root():
        module.fail_json(msg=privileges.not_root())
