# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes one report of what was found on all hosts of a play, on the controller alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.groundwork.flask.plugins.plugin_utils import verify_page, verify_report
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

LIST = {"type": "list", "required": True}
OPTIONS: dict[str, dict[str, Any]] = {
    "hosts": {**LIST, "elements": "str"},
    "looks": {**LIST, "elements": "dict"},
    "visits": {**LIST, "elements": "dict"},
    "only": {"type": "list", "elements": "str", "default": []},
    "report": {"type": "str", "default": ""},
    "json": {"type": "str", "default": ""},
    "strict": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the files that are asked for; the table and the data become part of the result."""
        result = super().run(tmp, task_vars)
        del tmp
        _validation, arguments = self.validate_argument_spec(OPTIONS)
        given = plain(arguments)
        now = datetime.now(UTC)
        hosts = [
            verify_report.read(name, looked, visited, given["only"])
            for name, looked, visited in zip(given["hosts"], given["looks"], given["visits"], strict=True)
        ]
        if message := verify_report.unknown(given["only"], given["looks"], given["visits"]):
            return {**result, "failed": True, "msg": message}
        data = verify_report.as_data(hosts, f"{now:%Y-%m-%dT%H:%M:%SZ}")
        written = json.dumps(data, indent=2, sort_keys=True)
        files = {given["report"]: verify_page.page(hosts, f"{now:%Y-%m-%d %H:%M} UTC"), given["json"]: written + "\n"}
        try:
            for path, text in files.items():
                if path:
                    Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            return {**result, "failed": True, "msg": f"The report cannot be written: {error}"}
        result.update(
            lines=[*verify_report.lines(hosts), *(f"Written: {Path(path).absolute()}" for path in files if path)],
            json=written,
            failures={host.name: host.fails(given["strict"]) for host in hosts},
        )
        return result
