#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that writes a named set of files; the work is done in module_utils/file_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Write a named set of files in one call, tested as a whole
version_added: 0.1.0
description:
  - Renders templates on the controller, sends all files at once, and writes those that differ, each by a rename.
  - Tests the set with O(validate) when all files are in place. If the test fails, everything is put back, and the
    parts of the set are tried one by one, so that one broken part holds up no other.
  - Then brings O(units) into their states and runs O(commands), so that one call to the host does all that a role has
    to do there. A unit or a command that fails leaves the files, which have passed their test, in place; the next call
    goes on from there.
  - Remembers on the host what the set wrote. A file that an earlier call wrote and this one lacks is removed, a run
    that was killed half-way is undone by the next one, and O(apply) runs again until it has succeeded.
  - A file that was there before the set and differs is kept below C(/var/lib/groundwork/replaced).
author: The Groundwork authors (@groundwork)
options:
  name:
    description: Name of the set, unique on the host. Its manifest is C(/var/lib/groundwork/file_sets/<name>.json).
    type: str
    required: true
  state:
    description: V(absent) removes every file that the set has written; then O(files) and O(directories) must be empty.
    type: str
    choices: [present, absent]
    default: present
  apps:
    description:
      - Names of apps that this set makes accounts and directories for. If an account, a group, a directory or a unit on
        the host has such a name and was not made for the app, the task fails before anything is written, in check mode
        too.
      - An app that is live on the host already is not asked for any of it.
    type: list
    elements: str
    default: []
  directories:
    description: Directories to make, or to give this owner and mode, before the files. They are never removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path. With O(directories[].each), C({key}) stands for the element's value of that key.
        type: str
        required: true
      owner:
        description: User that owns it.
        type: str
        default: root
      group:
        description: Group that owns it.
        type: str
        default: root
      mode:
        description: Permissions, an octal number in quotes.
        type: str
        default: "0755"
      each:
        description: Make one directory for each of these dictionaries.
        type: list
        elements: dict
  files:
    description: The files of the set.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description:
          - Absolute path. Missing parent directories are made, owned by root, mode 0755.
          - With O(files[].each), C({key}) stands for the element's value of that key, here and in V(part), V(owner),
            V(group).
        type: str
        required: true
      template:
        description: Template on the controller, searched as by M(ansible.builtin.template). One of this,
          O(files[].content) and O(files[].glob).
        type: str
      content:
        description: The file's text.
        type: str
      glob:
        description: Pattern of paths on the controller, instead of V(template) and V(content). Each file that matches
          is written as it is, under its own name, into the directory O(files[].dest).
        type: str
      each:
        description: Make one file for each of these dictionaries; the template sees the element as C(item).
        type: list
        elements: dict
      owner:
        description: User that owns it.
        type: str
        default: root
      group:
        description: Group that owns it.
        type: str
        default: root
      mode:
        description: Permissions, an octal number in quotes.
        type: str
        default: "0644"
      secret:
        description: Never show the content, with C(--diff) neither.
        type: bool
        default: false
      part:
        description: Files of one part are kept or refused together. The default part is the empty string.
        type: str
        default: ""
  absent_parts:
    description: Parts of which every file is removed. Parts that a call does not name are left as they are.
    type: list
    elements: str
    default: []
  handovers:
    description:
      - What parts of this call take over from other parts of the set, or of a set that O(units[].replaces) names. What
        the other part loses belongs to the change of the part that takes over; both are kept or put back together.
    type: list
    elements: dict
    default: []
    suboptions:
      part:
        description: The part that takes over.
        type: str
        required: true
      former:
        description: The part that loses.
        type: str
        required: true
      lines:
        description: Lines in the files of O(handovers[].former), without indentation, and what stands in their
          place. By default all of its files are removed.
        type: dict
        default: {}
      socket:
        description: Unix socket that must accept connections. If it does not, O(handovers[].part) is left as it is and
          named in RV(refused), and O(handovers[].former) loses nothing. Not asked in check mode.
        type: str
        default: ""
  validate:
    description:
      - Command that tests the set when all of its files are in place, for example C(nginx -t). No shell is involved.
      - If it fails for the default part, the task fails; if it fails for another, that part is named in RV(refused).
    type: str
  apply:
    description:
      - Command to run after a change of files, before O(units). It runs again in the next call if it failed, or was
        never reached.
    type: str
attributes:
  check_mode:
    description:
      - Says what would change. O(validate) and O(apply) do not run; of O(commands), V(check_argv) runs.
      - A unit that follows this set counts as due for its reload or restart when the set would change.
    support: full
  diff_mode:
    description: Shows every file's change, secrets masked. What is done to units is in RV(units).
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: posix
extends_documentation_fragment: [groundwork.flask.follow_up]
seealso:
  - module: groundwork.flask.unit_set
"""

EXAMPLES = r"""
- name: Write the sites and have nginx serve them
  groundwork.flask.file_set:
    name: sites
    files:
      - dest: /etc/nginx/conf.d/log.conf
        content: "log_not_found off;\n"
      - template: site.conf.j2
        each: "{{ my_sites }}"
        dest: "/etc/nginx/sites-enabled/{name}.conf"
        part: "{name}"
    validate: nginx -t
    units:
      - {name: nginx.service, enabled: true, follows: [sites], on_change: reloaded}
  register: my_files

- name: Run a worker, and bring its queues up to date
  groundwork.flask.file_set:
    name: worker
    files:
      - {dest: /etc/worker.toml, template: worker.toml.j2}
      - {dest: /etc/systemd/system/worker.service, template: worker.service.j2}
    apply: systemctl daemon-reload
    units:
      - {name: worker.service, enabled: true, follows: [worker]}
    commands:
      - name: queues # prints {"changed": ["mail"], "queues": ["mail", "default"]}
        argv: [/usr/local/bin/worker, create-queues, --json]
        check_argv: [/usr/local/bin/worker, create-queues, --json, --dry-run]
  register: my_worker

- name: Show its queues
  ansible.builtin.debug:
    msg: "{{ my_worker.outputs.queues.queues }}"
"""

RETURN = r"""
changed_files:
  description: Paths that were written, removed, or given another owner or mode.
  type: list
  elements: str
  returned: success
  sample: [/etc/nginx/conf.d/log.conf]
refused:
  description: What O(validate) printed, by part, about the parts that were left as they were; or why one could not take
    over.
  type: dict
  returned: success
  sample: {shop: "nginx: [emerg] unknown directive"}
units:
  description: What was done to each of O(units) that needed anything.
  type: dict
  returned: success
  sample: {nginx.service: [reload]}
replaced:
  description: Units of O(units[].replaces) whose set is still on the host, and that do not run any more.
  type: list
  elements: str
  returned: success
  sample: [apache2.service]
kept:
  description: Units of O(units[].replaces) that go on, with the parts that would be lost.
  type: dict
  returned: success
  sample: {apache2.service: [shop]}
pause:
  description: For how many seconds neither ran.
  type: float
  returned: when a running unit was replaced
  sample: 0.4
outputs:
  description: What each of O(commands) printed, by its name; an object where its output is JSON.
  type: dict
  returned: success
  sample: {queues: {changed: [mail], queues: [mail, default]}}
"""

import os
from collections.abc import Collection
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import follow_up
from ansible_collections.groundwork.flask.plugins.module_utils.commands import CommandError
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import Ownership, refusal
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import FileSet
from ansible_collections.groundwork.flask.plugins.module_utils.handover import OPTIONS as HANDOVER
from ansible_collections.groundwork.flask.plugins.module_utils.handover import Handover
from ansible_collections.groundwork.flask.plugins.module_utils.placement import Entry, FileSetError
from ansible_collections.groundwork.flask.plugins.module_utils.privileges import refuse_unless_root
from ansible_collections.groundwork.flask.plugins.module_utils.quiet import QuietModule
from ansible_collections.groundwork.flask.plugins.module_utils.unit_options import states
from ansible_collections.groundwork.flask.plugins.module_utils.unit_set import UnitSetError

DIRECTORY = {
    "path": {"type": "str", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0755"},
    "each": {"type": "list", "elements": "dict"},
}
FILE = {
    "dest": {"type": "str", "required": True},
    "template": {"type": "str"},
    "content": {"type": "str"},
    "glob": {"type": "str"},
    "each": {"type": "list", "elements": "dict"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "secret": {"type": "bool", "default": False},
    "part": {"type": "str", "default": ""},
}


OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "apps": {"type": "list", "elements": "str", "default": []},
    "directories": {"type": "list", "elements": "dict", "default": [], "options": DIRECTORY},
    "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
    "absent_parts": {"type": "list", "elements": "str", "default": []},
    "handovers": {"type": "list", "elements": "dict", "default": [], "options": HANDOVER},
    "validate": {"type": "str"},
    "apply": {"type": "str"},
    **follow_up.OPTIONS,
}


def main() -> None:
    """Run the module; its action plugin has rendered the templates and multiplied what has `each`."""
    # The arguments stay out of the host's log; the result shows only the set's name and what came of it.
    os.umask(0o022)  # for the commands too, whatever the shell of the connection has
    module = QuietModule(argument_spec=OPTIONS, supports_check_mode=True)
    refuse_unless_root(module)
    params = module.params
    result: dict[str, Any] = {"invocation": {"module_args": {"name": params["name"]}}}
    try:
        refuse_taken(params["apps"])
        write(params, result, module.check_mode)
        changing = frozenset([params["name"]] if module.check_mode and result["changed_files"] else [])
        follow_up.follow_up(params, result, module.check_mode, changing)
    except (FileSetError, OSError) as error:
        module.fail_json(msg=f"file set {params['name']}: {error}", **result)
    except (UnitSetError, CommandError) as error:
        module.fail_json(msg=str(error), **result)
    module.exit_json(**result)


def refuse_taken(apps: list[str]) -> None:
    """Refuse names that something else on the host has."""
    owners = {app: Ownership.of(app) for app in apps}
    found = {app: [*owner.conflicts(), *owner.foreign_readers()] for app, owner in owners.items()}
    if refused := [refusal(app, conflicts) for app, conflicts in found.items() if conflicts]:
        raise FileSetError("\n".join(refused))


def write(params: dict[str, Any], result: dict[str, Any], check_mode: bool) -> None:
    """Write the files, or in check mode say what would change, and add that to the result."""
    file_set, absent_parts, wanted = FileSet(params["name"]), params["absent_parts"], entries(params)
    if params["state"] == "absent":
        if wanted:
            raise FileSetError("it cannot be absent and have files")
        absent_parts = file_set.parts()
    handovers = [Handover(**one) for one in params["handovers"]]
    outcome = file_set.update(
        wanted, absent_parts, params["validate"], params["apply"], check_mode, handovers, states(params["units"])
    )
    allow_absent(params["units"], [one.former for one in handovers if one.is_whole and one.part not in outcome.refused])
    if check_mode:  # what this set would have is not on the host
        allow_absent(params["units"], {entry.part for entry in wanted})
    result.update(
        changed=outcome.changed,
        changed_files=[change.path for change in outcome.changes],
        refused=outcome.refused,
        diff=outcome.diff,
    )


def allow_absent(units: list[dict[str, Any]], parts: Collection[str]) -> None:
    """Let the units that replace others lack parts of them."""
    for old in (old for unit in units for old in unit["replaces"]):
        old["absent_parts"] = [*old["absent_parts"], *parts]


def entries(params: dict[str, Any]) -> list[Entry]:
    """The directories and files of a set as the module is given them."""
    directories = [
        Entry(item["path"], None, item["owner"], item["group"], permissions(item["mode"], item["path"]))
        for item in params["directories"]
    ]
    files = [
        Entry(
            item["dest"],
            content(item),
            item["owner"],
            item["group"],
            permissions(item["mode"], item["dest"]),
            item["secret"],
            item["part"],
        )
        for item in params["files"]
    ]
    return directories + files


def content(item: dict[str, Any]) -> bytes:
    """The content of a file; the action plugin has made it of a template or a file on the controller."""
    if item["content"] is None:
        raise FileSetError(f"{item['dest']} has no content")
    return str(item["content"]).encode()


def permissions(mode: str, path: str) -> int:
    """The bits of an octal mode."""
    try:
        return int(mode, 8)
    except ValueError as error:
        raise FileSetError(f"{path}: the mode {mode!r} is not octal: write it as '0644'") from error


if __name__ == "__main__":
    main()
