# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies what can cut off SSH under a timer of the host, and confirms it by a connection opened after that."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

DISPLAY = Display()
PAUSE = 1.0  # seconds between two attempts to connect
OUTCOME_SECONDS = 15  # how long a host that has had its time is asked what came of it
# The first of two equal options counts for ssh, but -S stands above all of them, and there the last one counts. A
# connection that the change has cut ends within ten seconds.
FRESH = "-o ControlMaster=no -o ControlPath=none -o ServerAliveInterval=5 -o ServerAliveCountMax=2"
FRESH_LAST = "-S none"


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Arm and apply, connect anew, confirm; or say what the host has reverted, and why."""
        result = super().run(tmp, task_vars)
        del tmp
        options = plain(self._task.args)
        if not boolean(options.get("needed", True), strict=False):
            return {**result, "changed": False}
        if self._task.check_mode:
            return {**result, "changed": True}
        options["serial"] = uuid.uuid4().hex[:12]
        if self._connection.transport != "ssh":
            self.warn_of(self._connection.transport)
            return {**result, **self._execute_module(module_args={**options, "step": "all"}, task_vars=task_vars)}
        used, self._connection = self._connection, fresh(self._connection, int(options.get("seconds", 30)))
        try:
            return {**result, **self.change(options, task_vars)}
        finally:
            self._connection = used

    def change(self, options: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """The change over connections of its own."""
        seconds = int(options.get("seconds", 30))
        begun, problem = self.attempt({**options, "step": "begin"}, task_vars)
        if begun.get("failed"):
            return begun
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            confirmed, failure = self.attempt({**options, "step": "confirm"}, task_vars)
            if confirmed.get("failed") or confirmed.get("state") == "confirmed":
                return confirmed
            if confirmed.get("state") == "absent":
                return failed(options, f"no new SSH connection could be opened: {problem}. Nothing was changed.")
            if confirmed:
                break
            problem = failure
            time.sleep(PAUSE)
        return failed(
            options,
            f"the change was applied, and then no new SSH connection could be opened within {seconds} s: "
            f"{problem or 'it came too late'}. {self.outcome(options, task_vars)}",
        )

    def outcome(self, options: dict[str, Any], task_vars: dict[str, Any] | None) -> str:
        """What the host says came of the change."""
        deadline = time.monotonic() + OUTCOME_SECONDS
        while True:
            arguments = {**options, "step": "outcome", "seconds": OUTCOME_SECONDS}
            found, problem = self.attempt(arguments, task_vars)
            if "outcome" in found:
                return str(found["outcome"])
            if time.monotonic() > deadline:
                return (
                    f"The host was to put back what stood before, and cannot be asked whether it has: {problem}. "
                    "If it stays unreachable, use the console of its provider; a reboot puts it back too."
                )
            time.sleep(PAUSE)

    def attempt(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
        """Call the module by a new connection; its result, which is empty if it could not be called, and the reason."""
        try:
            found = self._execute_module(module_args=arguments, task_vars=task_vars)
        except AnsibleError as error:
            # The temporary directory of this attempt may be there or not; the next one makes its own.
            self._connection._shell.tmpdir = None
            return {}, line(str(error), 300)
        if found.get("unreachable") or not found.keys() & {"state", "outcome", "failed"}:
            return {}, line(str(found.get("msg") or found), 300)
        if found.get("failed") and "module_stdout" in found:  # not the module: a shell or sudo that refused
            return {}, line(str(found.get("module_stderr") or found.get("msg")), 300)
        return found, ""

    def warn_of(self, transport: str) -> None:
        """Say so where the connection is SSH, but not one that can be opened a second time."""
        if "paramiko" in transport or "libssh" in transport:
            DISPLAY.warning(
                f"A change that can cut off SSH is applied without a test by a new connection, because the connection "
                f"plugin is {transport}. Use `ansible_connection: ssh`."
            )


def fresh(connection: Any, seconds: int) -> Any:
    """The same connection, which shares no open one: each call by it opens its own, within a third of the seconds."""
    other = copy.copy(connection)
    other._options, other._origins = dict(connection._options), dict(connection._origins)
    other.set_option("ssh_args", f"{FRESH} {connection.get_option('ssh_args') or ''}".strip())
    other.set_option("ssh_extra_args", f"{connection.get_option('ssh_extra_args') or ''} {FRESH_LAST}".strip())
    other.set_option("timeout", min(int(connection.get_option("timeout")), max(5, seconds // 3)))
    other.set_option("reconnection_retries", 0)
    return other


def failed(options: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The result of a change that did not come to stay."""
    remedy = str(options.get("remedy") or "")
    return {"failed": True, "changed": False, "msg": f"{options['name']}: {what} {remedy}".strip()}
