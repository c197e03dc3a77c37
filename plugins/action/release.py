# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the sources and wheels that lie on the controller, but only where the host has no release of them yet."""

from __future__ import annotations

import getpass
import re
import socket
import tempfile
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible.utils.display import Display
from ansible_collections.groundwork.flask.plugins.action.file_set import Variables
from ansible_collections.groundwork.flask.plugins.plugin_utils import setting_files
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain
from ansible_collections.groundwork.flask.plugins.plugin_utils.role_inputs import releases_once
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import Archive, Source, SourceError
from ansible_collections.groundwork.flask.plugins.plugin_utils.source_options import URL

DISPLAY = Display()
Parts = dict[str, Source | Archive]


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sent: set[str] = set()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the module, send it the sources that it lacks, and return one result of all calls."""
        result = super().run(tmp, task_vars)
        del tmp
        arguments = plain(self._task.args)
        arguments.setdefault("by", whoami())
        apps = arguments.get("apps") or []
        before = arguments.pop("continues", None) or {}
        elsewhere = [] if is_first(task_vars or {}) else releases_once(apps, arguments.get("secrets") or {})
        parts: dict[str, Parts] = {}
        for app in apps:
            app.pop("release_command_hosts", None)
            app["run_release_command"] = app["name"] not in elsewhere
            parts[app["name"]] = identify(app)
            if app.get("settings"):
                app["settings"] = self.settings(app, task_vars or {})
        if before.get("begun"):
            waiting = [app for app in apps if app["name"] in before["begun"]]
            rest = {**arguments, "apps": waiting, "absent": [], "continues": {"begun": before["begun"]}}
            done = self.again({**before, "begun": {}}, {**rest, "background": False}, apps, task_vars)
        else:
            done = self._execute_module(module_args={**arguments, "wait": 0}, task_vars=task_vars)
        # What another run is at work on is waited for in a call of its own: one knows why it takes time.
        if at_work := done.get("at_work"):
            for name, holder in at_work.items():
                DISPLAY.display(f"{name}: waiting for {holder}", color="bright yellow")
            waiting = [app for app in apps if app["name"] in at_work]
            absent = [name for name in arguments.get("absent") or [] if name in at_work]
            done = self.again(done, {**arguments, "apps": waiting, "absent": absent}, apps, task_vars)
        wanted = [app for app in apps if done.get("apps", {}).get(app["name"], {}).get("needs_archive")]
        if wanted:
            for app in wanted:
                app.update({option: self.send(part) for option, part in parts[app["name"]].items()})
            rest = {**arguments, "apps": wanted, "absent": [], "rotate_secret_key": False}
            done = self.again(done, rest, apps, task_vars)
            self._remove_tmp_path(self._connection._shell.tmpdir)
        done.pop("at_work", None)
        result.update(done)
        if failed := result.get("failed_apps"):
            lines = [f"{name}, {reason}" for name, reason in failed.items()]
            serves = "" if failed.keys() <= set(arguments.get("absent") or []) else "What was live before serves on. "
            lines.append(f"{serves}Correct the cause and run again.")
            # The reasons stand in the message; a second copy of them would only bury it.
            result.update(failed=True, failed_apps=sorted(failed), msg="\n\n".join(lines))
            kept = ("action", "release", "previous", "source")
            result["apps"] = {name: {key: app[key] for key in kept} for name, app in result["apps"].items()}
        return result

    def settings(self, app: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, str]:
        """The app's files of settings, as the module takes them."""
        files = Files(self._loader, self._templar, variables)
        try:
            return setting_files.packed(app["name"], app["settings"], files)
        except SourceError as error:
            raise AnsibleActionFail(str(error)) from error

    def again(
        self, done: dict[str, Any], rest: dict[str, Any], apps: list[dict[str, Any]], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Call the module for the rest of the apps; one result of this call and what was done before."""
        more = self._execute_module(module_args=rest, task_vars=task_vars)
        return merge(done, more, [app["name"] for app in apps])

    def send(self, source: Source | Archive) -> str:
        """Put the packed source on the host, unless an app before had the same, and return its path there."""
        shell = self._connection._shell
        directory = shell.tmpdir or self._make_tmp_path()
        name = re.sub(r"[^\w.-]", "_", source.path.name) if isinstance(source, Archive) else "source.tar.gz"
        remote = shell.join_path(directory, f"{source.tree[:16]}-{name}")
        if remote not in self.sent:
            if isinstance(source, Archive):
                self._transfer_file(str(source.path), remote)
            else:
                with tempfile.NamedTemporaryFile(suffix=".tar.gz") as packed:
                    source.pack(packed.name)
                    self._transfer_file(packed.name, remote)
            self.sent.add(remote)
        return remote


class Files:
    """The files of the controller, read and rendered by Ansible; see :class:`setting_files.Files`."""

    def __init__(self, loader: Any, templar: Any, variables: dict[str, Any]) -> None:
        self.loader, self.templar, self.variables = loader, templar, variables

    def render(self, path: str) -> str:
        """The text that a template makes of the play's variables."""
        lookup = lookup_loader.get("ansible.builtin.template", loader=self.loader, templar=self.templar)
        try:
            return str(lookup.run([path], variables=Variables(self.variables))[0])
        except AnsibleError as error:
            raise SourceError(f"the template {path!r} cannot be rendered: {error}") from error

    def read(self, path: str) -> bytes:
        """The content of a file; of a vault, what is in it."""
        try:
            clear = self.loader.get_real_file(path)
        except AnsibleError as error:
            raise SourceError(f"the file {path!r} cannot be read: {error}") from error
        try:
            with open(clear, "rb") as stream:
                return stream.read()
        finally:
            self.loader.cleanup_tmp_file(clear)


def is_first(task_vars: Mapping[str, Any]) -> bool:
    """Whether the host is the first of the play's hosts."""
    hosts = task_vars.get("ansible_play_hosts_all") or []
    return not hosts or task_vars.get("inventory_hostname") == hosts[0]


def identify(app: dict[str, Any]) -> Parts:
    """Say in an app's options what the controller has of it, and return that by the option for its path on the host.

    A git repository, an archive with a URL and a package are fetched by the host.
    """
    parts: Parts = {}
    source, wheels = app["source"], app.pop("wheels", "")
    directory, archive = source.get("directory"), source.get("archive")
    field = "source.directory" if directory else "source.archive"
    try:
        if directory:
            parts["archive"] = Source.read(directory)
        elif archive and not URL.match(archive):
            parts["archive"] = Archive.read(archive, source.get("checksum", ""))
        if code := parts.get("archive"):
            source.update(tree=code.tree, description=code.description)
        field = "wheels"
        if wheels:
            parts["wheels_archive"] = Source.wheels(wheels)
        app["wheels_tree"] = parts["wheels_archive"].tree if wheels else ""
    except (SourceError, OSError) as error:
        raise AnsibleActionFail(f"flask_apps.{app['name']}.{field}: {error}") from error
    return parts


def merge(first: dict[str, Any], second: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """One result of the two calls of the module."""
    if "apps" not in second:
        return second
    both = [key for key in ("diff", "warnings") if key in first or key in second]
    return {
        **second,
        **{key: together(first.get(key), second.get(key)) for key in both},
        "changed": bool(first.get("changed") or second.get("changed")),
        "apps": {**first["apps"], **second["apps"]},
        "failed_apps": {**first["failed_apps"], **second["failed_apps"]},
        "begun": {**first.get("begun", {}), **second.get("begun", {})},
        "others": [name for name in second["others"] if name not in names],
    }


def together(first: Any, second: Any) -> list[Any]:
    """The entries of both calls, in order and once; a single entry may stand without its list."""
    entries: list[Any] = []
    for part in (first, second):
        entries += [entry for entry in (part if isinstance(part, list) else [part]) if entry and entry not in entries]
    return entries


def whoami() -> str:
    """Who deploys, and from where."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
