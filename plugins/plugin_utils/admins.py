# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of people that administer a host: what is wrong with ``host_admins``. No key is ever shown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.public_keys import read_line

NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")  # NAME_REGEX of Debian's adduser, without capitals
READ_ONE = "\"{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}\""


def problems(admins: Iterable[Mapping[str, Any]], apps: Collection[str] = ()) -> list[str]:
    """What cannot work, one text for each, with the remedy."""
    found, seen = [], set()
    for admin in admins:
        name = str(admin.get("name", ""))
        shown = name if NAME.fullmatch(name) else "an account"
        if shown != name:
            found.append(
                f"host_admins: the name {name[:40]!r} is none of an account: write lower-case letters, digits, - and _."
            )
        elif name == "root":
            found.append("host_admins: root is there already: name the account that you will use in its place.")
        elif name in apps:
            found.append(f"host_admins: {name} is the name of an app in flask_apps: give the account another name.")
        elif name in seen:
            found.append(f"host_admins: {name} stands twice: write its keys in one list.")
        seen.add(name)
        found += key_problems(shown, admin.get("keys"))
    return [f"{text} Nothing was changed." for text in found]


def key_problems(name: str, keys: Any) -> list[str]:
    """What is wrong with the keys of one account; they are counted, not shown."""
    if not isinstance(keys, list) or not keys:
        return [f"host_admins: {name} has no keys: give the public ones as a list, such as `keys: [{READ_ONE}]`."]
    found = []
    for number, entry in enumerate(keys, 1):
        if "PRIVATE KEY" in str(entry):
            found.append(
                f"host_admins: key {number} of {name} is a private key. It stays with its owner: take it out of the "
                "inventory, give the file that ends in .pub, and replace the key if others could read it here."
            )
            continue
        for line in split(entry):
            key = read_line(line)
            if key is None:
                found.append(
                    f"host_admins: key {number} of {name} is no public key: give a line of a file that ends in .pub."
                )
            elif key.objection:
                found.append(
                    f"host_admins: key {number} of {name} would be refused by sshd ({key.objection}): give another."
                )
    return found


def split(entry: Any) -> list[str]:
    """The lines of one entry: a file of keys, such as https://github.com/NAME.keys, may have several."""
    lines = [line.strip() for line in str(entry).splitlines()]
    return [line for line in lines if line and not line.startswith("#")] or [""]
