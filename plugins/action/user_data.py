# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the user data of a new server, on the controller alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.groundwork.flask.plugins.plugin_utils import user_data
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain

COLLECTION = Path(__file__).parents[2]


class ActionModule(ActionBase):
    """See the module of the same name for the options."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check what is asked for, render the files, and write the user data."""
        result = super().run(tmp, task_vars)
        del tmp
        texts = {"type": "list", "elements": "str", "default": []}
        _validation, arguments = self.validate_argument_spec(
            {
                "dest": {"type": "path", "required": True},
                "user": {"required": True},
                "authorized_keys": texts,
                "pull": {"type": "dict", "default": {}},
                "files": {**texts, "elements": "dict"},
                "packages": texts,
                "commands": {**texts, "elements": "list"},
                "message": {"default": ""},
                "port": {"type": "int", "default": 22},
            }
        )
        given = plain(arguments)
        pull = user_data.Pull(**given["pull"])
        keys = given["authorized_keys"] or public_keys(Path.home() / ".ssh")
        if problems := user_data.problems(given["user"], keys, pull):
            return {"failed": True, "msg": "\n".join([*problems, "Nothing was written."])}
        variables = {**(task_vars or {}), "collection_version": version()}
        files = [self.rendered(file, variables) for file in given["files"]]
        text = user_data.UserData(
            given["user"], keys, files, given["packages"], given["commands"], given["message"]
        ).text()
        size = len(text.encode())
        result.update(dest=given["dest"], size=size, changed=self.write(Path(given["dest"]), text))
        if warnings := user_data.warnings(size, given["port"]):
            result["warnings"] = warnings
        return result

    def rendered(self, file: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
        """A file as cloud-init takes it, of one as ``file_set`` does, with the role whose template it is."""
        template = COLLECTION / "roles" / file["role"] / "templates" / file["template"]
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        content = lookup.run([str(template)], variables=dict(variables))[0]
        return {"path": file["dest"], "permissions": str(file.get("mode", "0644")), "content": str(content)}

    def write(self, path: Path, text: str) -> bool:
        """Write the text, unless the file has it; say whether it had not."""
        try:
            if path.exists() and path.read_text(encoding="utf-8") == text:
                return False
            if not self._task.check_mode:
                path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise AnsibleActionFail(f"user_data: {path} cannot be written: {error.strerror}") from error
        return True


def public_keys(directory: Path) -> list[str]:
    """The public keys of the operator."""
    found = [path.read_text(encoding="utf-8").strip() for path in sorted(directory.glob("id_*.pub"))]
    return [key for key in found if key]


def version() -> str:
    """The version of this collection, of which the new server is to install the same."""
    manifest = COLLECTION / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    return str(yaml.safe_load((COLLECTION / "galaxy.yml").read_text(encoding="utf-8"))["version"])
