# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the sources that lie on the controller, but only those that the host has no release of yet."""

from __future__ import annotations

import getpass
import os
import socket
import tempfile
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.groundwork.flask.plugins.plugin_utils.model import plain
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import Source, SourceError


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        del tmp
        arguments = plain(self._task.args)
        arguments.setdefault("by", whoami())
        sources: dict[str, Source] = {}
        for app in arguments.get("apps") or []:
            directory = app["source"].pop("directory", "")
            if directory:
                try:
                    sources[app["name"]] = source = Source.read(directory)
                    app["source"].update(directory=directory, tree=source.tree, description=source.description)
                except (SourceError, OSError) as error:
                    raise AnsibleActionFail(f"flask_apps.{app['name']}.source.directory: {error}") from error
        first = self._execute_module(module_args=arguments, task_vars=task_vars)
        wanted = {name for name, app in first.get("apps", {}).items() if app["needs_archive"]}
        if wanted:
            second = dict(arguments, apps=[app for app in arguments["apps"] if app["name"] in wanted], absent=[])
            for app in second["apps"]:
                app["archive"] = self.send(sources[app["name"]])
            sent = self._execute_module(module_args=second, task_vars=task_vars)
            first = merge(first, sent, [app["name"] for app in arguments["apps"]])
            self._remove_tmp_path(self._connection._shell.tmpdir)
        result.update(first)
        if failed := result.get("failed_apps"):
            words = [f"{name}, {said}" for name, said in failed.items()]
            words.append("What was live before serves on. Correct the cause and run again.")
            # The words stand in the message; a second copy of them would only bury it.
            result.update(failed=True, failed_apps=sorted(failed), msg="\n\n".join(words))
            result["apps"] = {name: app for name, app in result["apps"].items() if name not in failed}
        return result

    def send(self, source: Source) -> str:
        """Put the packed source on the host and return its path there."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        with tempfile.NamedTemporaryFile(suffix=".tar.gz") as packed:
            source.pack(packed.name)
            remote = self._connection._shell.join_path(self._connection._shell.tmpdir, os.path.basename(packed.name))
            return self._transfer_file(packed.name, remote)


def merge(first: dict[str, Any], second: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """One result of the two calls of the module."""
    if "apps" not in second:
        return second
    return {
        **second,
        "changed": bool(first.get("changed") or second.get("changed")),
        "apps": {**first["apps"], **second["apps"]},
        "failed_apps": {**first["failed_apps"], **second["failed_apps"]},
        "others": [name for name in second["others"] if name not in names],
    }


def whoami() -> str:
    """Who deploys, and from where."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
