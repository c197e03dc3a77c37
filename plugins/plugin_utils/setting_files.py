# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of an app's files of settings, as the controller has or makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ansible_collections.groundwork.flask.plugins.module_utils.release.setting_files import SettingFile
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import SourceError, existing_file

# They travel with each run, and belong to a release as its environment does.
LIMIT = 2**20


class Files(Protocol):
    """What reads the files of the controller: Ansible, which knows the passwords of vaults and the variables."""

    def render(self, path: str) -> str:
        """The text that a template makes."""

    def read(self, path: str) -> bytes:
        """The content of a file."""


def packed(app: str, settings: Mapping[str, Mapping[str, Any]], files: Files) -> dict[str, str]:
    """The files of an app as the module takes them.

    :raises SourceError: naming the file that cannot be read or is too large.
    """
    found = {}
    for path, setting in settings.items():
        where = f"flask_apps.{app}.settings.{path}"
        try:
            content = content_of(setting, files)
        except (SourceError, OSError) as error:
            raise SourceError(f"{where}: {error}") from error
        if len(content) > LIMIT:
            raise SourceError(
                f"{where} has {len(content)} bytes: {LIMIT} are allowed, so keep it in the source instead"
            )
        mode = int(str(setting.get("mode") or "0640"), 8)
        found[path] = SettingFile(content, mode, bool(setting.get("replace"))).packed()
    return found


def content_of(setting: Mapping[str, Any], files: Files) -> bytes:
    """The content of one file."""
    if template := setting.get("template"):
        return files.render(str(existing_file(template))).encode()
    if file := setting.get("file"):
        return files.read(str(existing_file(file)))
    return str(setting.get("content", "")).encode()


def missing(app: str, settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The templates and files that the controller does not have, one sentence each."""
    problems = []
    for path, setting in settings.items():
        for kind in ("template", "file"):
            try:
                if named := setting.get(kind):
                    existing_file(named)
            except (SourceError, OSError) as error:
                problems.append(f"flask_apps.{app}.settings.{path}.{kind}: {error}")
    return problems
