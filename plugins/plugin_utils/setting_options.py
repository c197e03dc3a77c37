# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may stand below ``settings`` of an app: files that it gets beside its code. No value is ever shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import option, options
from ansible_collections.groundwork.flask.plugins.plugin_utils import sections
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, Reader

# Below the code's directory: no name that is "." or "..", and nothing that a shell would read as something else.
PATH = re.compile(r"(?:(?!\.{1,2}(?:/|$)|[~-])[^/\\$\x00-\x1f\x7f]{1,255}(?:/(?=.)|$))+")
KINDS = ("template", "file", "content")


@dataclass(frozen=True)
class Setting:
    """One file; the path that it gets is its key."""

    template: str = option(
        "",
        doc="Path of a Jinja template on the controller, which is rendered with the variables of the play.",
        example="templates/shop_config.py.j2",
    )
    file: str = option(
        "",
        doc="Path of a file on the controller, vaulted or not, which is taken as it is.",
        example="files/shop.cfg",
    )
    content: str = option("", doc="The text of the file.", example="THEME = 'dark'\n")
    mode: str = option(
        "0640",
        choices=("0640", "0440", "0750", "0550"),
        doc="Permissions; the file is root's, and the app reads it as its group.",
        example="0750",
    )
    replace: bool = option(
        False, doc="Whether it takes the place of a file that the source has; without, that is refused.", example=True
    )


def read(app: Reader) -> dict[str, dict[str, Any]]:
    """The files by path, each with what says its content, its mode and whether it replaces another."""
    given, found = app.given.get("settings"), {}
    if given is not None and not isinstance(given, Mapping):
        app.problems.append(
            f"{app.field('settings')} is {sections.kind_of(given)}: write each file as `path: {{template: …}}`"
        )
        given = None
    for path, entry in (given or {}).items():
        where = f"{app.field('settings')}.{path}"
        app.problems += path_problems(where, path, list(given or ()))
        if not isinstance(entry, Mapping):
            app.problems.append(
                f"{where} is {sections.kind_of(entry)}: write `{path}: {{template: …}}`, or file, or content"
            )
            continue
        found[path] = read_one(where, entry, app.problems)
    return found


def path_problems(where: str, path: str, paths: Sequence[str]) -> Iterator[str]:
    """What is wrong with the path of a file."""
    if not PATH.fullmatch(path) or path.endswith("/"):
        yield f"{where} is not the path of a file below the code's directory: write it as instance/config.py"
    for above in map(str, PurePosixPath(path).parents):
        if above in paths:
            yield f"{where} cannot be: {above} is a file of settings too"


def read_one(where: str, entry: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """One file."""
    known = options(Setting)
    read = Reader(where, entry, problems, known)
    kinds = [kind for kind in KINDS if kind in read.given]
    if len(kinds) != 1:
        problems.append(f"{where} needs exactly one of {', '.join(KINDS)}")
        return {}
    (kind,) = kinds
    value = read.given[kind]
    if not isinstance(value, str):
        problems.append(f"{read.field(kind)} is {sections.kind_of(value)}: write a text, in quotes or after |")
        return {}
    return {kind: value, "mode": read.value("mode", known["mode"]), "replace": read.value("replace", known["replace"])}
