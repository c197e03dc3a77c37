# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose arguments stay out of the host's log."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule


class QuietModule(AnsibleModule):
    """An AnsibleModule that does not write its arguments to syslog.

    Ansible offers ``no_log`` for single options, which also masks their values, such as a mode or a name, wherever they
    stand in the result; and for the whole module, where the task's own setting replaces it.
    """

    def _log_invocation(self) -> None:
        """Log nothing: the arguments hold whole files, secrets among them."""
