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
positional: release, certificate, backup
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
from ansible_collections.groundwork.flask.plugins.plugin_utils.summary import summarize


def summary(apps: Any, release: Any = None, certificate: Any = None, backup: Any = None) -> list[str]:
    """See DOCUMENTATION."""
    try:
        records = model.load(apps)
    except model.ModelError as error:
        raise AnsibleFilterError(str(error)) from error
    return summarize(records, *(model.plain(part or {}) for part in (release, certificate, backup)))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Any]:
        return {"summary": summary}
