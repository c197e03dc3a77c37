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
  - Remembers on the host what the set wrote. A file that an earlier call wrote and this one lacks is removed, a run
    that was killed half-way is undone by the next one, and O(apply) runs again until it has succeeded.
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
  validate:
    description:
      - Command that tests the set when all of its files are in place, for example C(nginx -t). No shell is involved.
      - If it fails for the default part, the task fails; if it fails for another, that part is named in RV(refused).
    type: str
  apply:
    description: Command to run after a change. It runs again in the next call if it failed, or was never reached.
    type: str
attributes:
  check_mode:
    description: Says what would change. O(validate) and O(apply) do not run.
    support: full
  diff_mode:
    description: Shows every file's change, secrets masked.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: posix
extends_documentation_fragment: []
seealso:
  - module: groundwork.flask.unit_set
"""

EXAMPLES = r"""
- name: Write the sites
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
  register: my_files

- name: Give nginx the sites
  groundwork.flask.unit_set:
    units:
      - {name: nginx.service, follows: [sites], on_change: reloaded}
"""

RETURN = r"""
changed_files:
  description: Paths that were written, removed, or given another owner or mode.
  type: list
  elements: str
  returned: success
  sample: [/etc/nginx/conf.d/log.conf]
refused:
  description: What O(validate) said, by part, of the parts that were left as they were.
  type: dict
  returned: success
  sample: {shop: "nginx: [emerg] unknown directive"}
"""

from ansible_collections.groundwork.flask.plugins.module_utils.file_set import Entry, FileSet, FileSetError
from ansible_collections.groundwork.flask.plugins.module_utils.quiet import QuietModule

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


def main() -> None:
    """Run the module; its action plugin has rendered the templates and multiplied what has `each`."""
    # The arguments stay out of the host's log; the result shows only what is listed below.
    module = QuietModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "directories": {"type": "list", "elements": "dict", "default": [], "options": DIRECTORY},
            "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
            "absent_parts": {"type": "list", "elements": "str", "default": []},
            "validate": {"type": "str"},
            "apply": {"type": "str"},
        },
        supports_check_mode=True,
    )
    params = module.params
    shown = {"invocation": {"module_args": {"name": params["name"]}}}
    entries = [
        Entry(item["path"], None, item["owner"], item["group"], int(item["mode"], 8)) for item in params["directories"]
    ] + [
        Entry(
            item["dest"],
            item["content"].encode(),
            item["owner"],
            item["group"],
            int(item["mode"], 8),
            item["secret"],
            item["part"],
        )
        for item in params["files"]
    ]
    file_set, absent_parts = FileSet(params["name"]), params["absent_parts"]
    try:
        if params["state"] == "absent":
            if entries:
                raise FileSetError("it cannot be absent and have files")
            absent_parts = file_set.parts()
        outcome = file_set.update(entries, absent_parts, params["validate"], params["apply"], module.check_mode)
    except (FileSetError, OSError) as error:
        module.fail_json(msg=f"file set {params['name']}: {error}", **shown)
    module.exit_json(
        changed=outcome.changed,
        changed_files=[change.path for change in outcome.changes],
        refused=outcome.refused,
        diff=outcome.diff,
        **shown,
    )


if __name__ == "__main__":
    main()
