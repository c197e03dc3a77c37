# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told about alerts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: alert_receivers
short_description: Who is told about alerts
version_added: 0.2.0
author: The Groundwork authors (@groundwork)
description:
  - Judges the variables of the role C(watch) that say who is told about alerts, and makes of them what is written on
    the host.
  - No message shows a URL, a password, a token, a header or a command.
positional: apps
options:
  _input:
    description: C(watch_receivers), C(watch_quiet_hours), C(watch_ping_url), C(watch_alerts_keep) and
      C(watch_alerts_per_hour), by their names.
    type: dict
    required: true
  apps:
    description: Names of the apps.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Validate the receivers
  groundwork.flask.check_problems:
    problems: "{{ (receivers | groundwork.flask.alert_receivers(['shop'])).problems }}"
"""

RETURN = r"""
_value:
  description: C(problems) and C(warnings), a sentence for each; and C(content), which is empty when there are problems.
  type: dict
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils.alert_receivers import problems, warnings, written
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_names
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


def alert_receivers(settings: Any, apps: Any = None) -> dict[str, Any]:
    """See DOCUMENTATION."""
    given = plain(as_map(settings, "alert_receivers"))
    found = problems(given)
    return {
        "problems": found,
        "warnings": [] if found else warnings(given, as_names(apps, "alert_receivers: apps")),
        "content": {} if found else written(given),
    }


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"alert_receivers": alert_receivers}
