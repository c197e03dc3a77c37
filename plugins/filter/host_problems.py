# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the variables of the role `host`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: host_problems
short_description: What is wrong with the variables of the role host
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description:
  - Judges the values before anything on the host is changed, and says what to write.
options:
  _input:
    description: The variables by their names. One that is missing is not judged.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Validate the settings
  groundwork.flask.check_problems:
    problems: "{{ {'host_reboot_time': host_reboot_time} | groundwork.flask.host_problems }}"
"""

RETURN = r"""
_value:
  description: One text for each problem.
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import host_settings
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain


def host_problems(settings: Any) -> list[str]:
    """See DOCUMENTATION."""
    return host_settings.problems(plain(as_map(settings, "host_problems")))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"host_problems": host_problems}
