# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the sources and wheels that lie on the controller, but only where the host has no release of them yet."""

from __future__ import annotations

import getpass
import re
import socket
import tempfile
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible.utils.display import Display
from ansible_collections.groundwork.flask.plugins.action.file_set import Variables
from ansible_collections.groundwork.flask.plugins.plugin_utils import first_host, setting_files
from ansible_collections.groundwork.flask.plugins.plugin_utils.failures import REMEDY, of_releases
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
        variables = task_vars or {}
        arguments = plain(self._task.args)
        arguments.setdefault("by", whoami())
        before = arguments.pop("continues", None) or {}
        defers = str(arguments.pop("defer_failures", False)).lower() in ("true", "yes", "1", "on")
        names = [app["name"] for app in arguments.get("apps") or []]
        elsewhere = []
        if not is_first(variables):
            elsewhere = releases_once(arguments.get("apps") or [], arguments.get("secrets") or {})
        # Apps that failed before, in an earlier step or on the host that goes first, are left as they are.
        failed = dict(before.get("failures") or {})
        left = left_by_first(elsewhere, variables)
        apps, parts = [], dict[str, Parts]()
        for app in arguments.get("apps") or []:
            name = app["name"]
            if name in failed or name in left:
                continue
            app.pop("release_command_hosts", None)
            app["run_release_command"] = name not in elsewhere
            if app.get("jobs"):
                app["run_jobs"] = first_host.runs_jobs(name, variables)
            try:
                parts[name] = self.prepare(app, variables)
            except AnsibleActionFail as error:
                if not defers:
                    raise
                left[name] = f"step fetch: {error}"
            else:
                apps.append(app)
        done = self.deploy({**arguments, "apps": apps}, parts, before, task_vars)
        result.update(done)
        if "apps" in done:
            result["others"] = [name for name in done["others"] if name not in names]
            result.update(merged_failures(before, done))
            failed = {**failed, **left, **done["failed_apps"]}
            failed = {name: failed[name] for name in sorted(failed, key=[*names, *failed].index)}
            not_tried = {*left, *(before.get("not_tried") or ()), *(arguments.get("absent") or ())}
            result.update(judged(result, failed, not_tried & failed.keys(), defers))
        return result

    def prepare(self, app: dict[str, Any], variables: dict[str, Any]) -> Parts:
        """Put into an app's options what the module needs of the controller; what of it may have to be sent."""
        parts = identify(app)
        if app.get("settings"):
            app["settings"] = self.settings(app, variables)
        return parts

    def deploy(
        self,
        arguments: dict[str, Any],
        parts: dict[str, Parts],
        before: Mapping[str, Any],
        task_vars: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Call the module as often as it takes; one result of all calls.

        :param parts: what may have to be sent, by app.
        :param before: the result that this call goes on from.
        """
        apps = arguments["apps"]
        if before.get("begun"):
            waiting = [app for app in apps if app["name"] in before["begun"]]
            rest = {**arguments, "apps": waiting, "absent": [], "continues": {"begun": before["begun"]}}
            earlier = {**before, "begun": {}, "failed_apps": {}}
            done = self.again(earlier, {**rest, "background": False}, apps, task_vars)
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
        return done

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


def left_by_first(elsewhere: Sequence[str], task_vars: Mapping[str, Any]) -> dict[str, str]:
    """Of the apps whose release command the first host runs, those that it could not deploy, with the reason.

    :param elsewhere: the apps whose release command another host runs.
    """
    if not elsewhere:
        return {}
    first = task_vars["ansible_play_hosts_all"][0]
    of_first = task_vars.get("hostvars", {}).get(first, {}).get("release_result") or {}
    is_out = first not in task_vars.get("ansible_play_hosts", [first])
    failed = elsewhere if is_out else [name for name in elsewhere if name in of_first.get("failed_apps", [])]
    reason = f"its release command runs on {first} first, and {{}} there: what was here is left as it is"
    how = "the play ended" if is_out else "its deploy failed"
    return {name: f"step command: {reason.format(how)}" for name in failed}


def judged(
    result: Mapping[str, Any], failed: Mapping[str, str], not_tried: Collection[str], defers: bool
) -> dict[str, Any]:
    """What the result says of the apps that failed.

    :param failed: the reason of each.
    :param not_tried: those of which it is not known whether anything is live.
    :param defers: they do not fail the task.
    """
    names: dict[str, Any] = {"failed_apps": sorted(failed), "not_tried": sorted(not_tried)}
    facts = {**result, **names}
    if defers:
        return {**names, "failures": failed, "message": of_releases(failed, facts)}
    if not failed:
        return names
    # The reasons stand in the message; a second copy of them would only bury it.
    kept = ("action", "release", "previous", "source")
    apps = {name: {key: app[key] for key in kept} for name, app in result["apps"].items()}
    return {**names, "failed": True, "msg": of_releases(failed, facts, remedy=REMEDY), "apps": apps}


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
        **merged_failures(first, second),
        "begun": {**first.get("begun", {}), **second.get("begun", {})},
        "others": [name for name in second["others"] if name not in names],
    }


def merged_failures(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """What the results of two calls know of the apps that failed, beside the reasons."""
    return {
        "references": {**(first.get("references") or {}), **(second.get("references") or {})},
        "not_live": list(dict.fromkeys([*(first.get("not_live") or ()), *(second.get("not_live") or ())])),
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
