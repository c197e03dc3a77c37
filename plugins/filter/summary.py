# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary at the end of a run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: summary
short_description: How each app stands at the end of a run
version_added: 0.1.0
author: The Groundwork authors (@groundwork)
description: Puts what the roles have registered into lines for a person, warnings with their remedies last.
positional: release, certificate, backup, only, version
options:
  _input:
    description: The map C(flask_apps).
    type: dict
    required: true
  release:
    description: What the role C(release) registered.
    type: dict
  certificate:
    description: What the role C(certificate) registered.
    type: dict
  backup:
    description: What the role C(backup) registered.
    type: dict
  only:
    description: The apps to speak of, as a list or a text with commas. All by default. The others of C(flask_apps) are
      known all the same.
    type: raw
    default: ""
  version:
    description: The version that was asked for on the command line.
    type: str
    default: ""
  outside:
    description: What M(groundwork.flask.verify_outside) returned.
    type: dict
  receivers:
    description: Names of those who are told when something breaks; left out where nothing watches the host.
    type: list
    elements: str
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ flask_apps | groundwork.flask.summary(release_result, certificate_result, backup_result) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from ansible_collections.groundwork.flask.plugins.plugin_utils.filters import as_map, as_names
from ansible_collections.groundwork.flask.plugins.plugin_utils.summary import summarize


def summary(
    apps: Any,
    release: Any = None,
    certificate: Any = None,
    backup: Any = None,
    only: Any = "",
    version: Any = "",
    outside: Any = None,
    receivers: Any = None,
) -> list[str]:
    """See DOCUMENTATION."""
    names = as_names(only, "summary: only")
    try:
        records = model.load(apps)
    except model.ModelError as error:
        raise AnsibleFilterError(str(error)) from error
    return summarize(
        [record for record in records if not names or record.name in names],
        as_map(release, "summary: release"),
        as_map(certificate, "summary: certificate"),
        as_map(backup, "summary: backup"),
        str(version),
        records,
        as_map(outside, "summary: outside"),
        None if receivers is None else as_names(receivers, "summary: receivers"),
    )


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        """The filter by the name under which Ansible offers it."""
        return {"summary": summary}
