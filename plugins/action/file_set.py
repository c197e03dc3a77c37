# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders the templates of a file set on the controller and hands all files to the module in one call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from glob import glob
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

NAMED = ("path", "dest", "owner", "group", "part")


class Variables(dict[str, Any]):
    """What a template may read. The lookup makes a deep copy for each file, which takes longer than to render it."""

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return dict(self)


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render the templates and call the module once; its result is the task's."""
        result = super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        arguments = dict(self._task.args)
        arguments["directories"] = [item for item, _element in multiplied(arguments.get("directories"), "directories")]
        arguments["files"] = [
            self.rendered(item, element, variables)
            for item, element in multiplied(matched(arguments.get("files")), "files")
        ]
        result.update(self._execute_module(module_args=arguments, task_vars=variables))
        return result

    def rendered(self, item: dict[str, Any], element: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """The file with its template's text as content."""
        template = item.pop("template", None)
        if (template is None) == (item.get("content") is None):
            raise AnsibleActionFail(f"file_set: {item.get('dest')} needs either template or content")
        if template is not None:
            lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
            try:
                item["content"] = lookup.run([template], variables=Variables(variables, item=element))[0]
            except AnsibleError as error:
                raise AnsibleActionFail(f"file_set: {item.get('dest')}: {error}") from error
        return item


def matched(items: Any) -> Iterator[Any]:
    """Each item, or one file with its content for each file on the controller that its `glob` matches."""
    for given in items or []:
        if not isinstance(given, Mapping) or "glob" not in given:
            yield given
            continue
        item = dict(given)
        pattern, dest = str(item.pop("glob")), str(item.pop("dest", ""))
        found = sorted(path for path in glob(pattern) if os.path.isfile(path))
        if not found:
            raise AnsibleActionFail(f"file_set: no file on the controller matches {pattern!r}")
        for path in found:
            with open(path, encoding="utf-8") as stream:
                yield {**item, "dest": f"{dest.rstrip('/')}/{os.path.basename(path)}", "content": stream.read()}


def multiplied(items: Any, option: str) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Each item, or one copy of it for each element of its `each`, together with that element."""
    for given in items or []:
        if not isinstance(given, Mapping):
            raise AnsibleActionFail(f"file_set: each of {option} must be a dictionary, not {given!r}")
        item = dict(given)
        if "each" not in item:
            yield item, {}
            continue
        for element in item.pop("each"):
            yield {key: named(value, element) if key in NAMED else value for key, value in item.items()}, element


def named(text: Any, element: Mapping[str, Any]) -> str:
    """``text`` with ``{key}`` replaced by the element's value."""
    try:
        return str(text).format(**element)
    except (KeyError, IndexError, ValueError) as error:
        raise AnsibleActionFail(f"file_set: {text!r} names {error}, which {dict(element)!r} lacks") from error
