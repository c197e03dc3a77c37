# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the variables of the role `host` may be, and what to do about a value that does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, meant

# As `host_skip_parts` names them.
PARTS = ("updates", "time", "journal", "swap", "sysctl", "core_dumps", "modules", "logins", "sshd", "admin")
MOST_SWAP_MB = 65536
TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
SIZE = re.compile(r"[1-9]\d*[KMGT]")
KEY = re.compile(r"[a-z0-9_]+([./][A-Za-z0-9_*@:-]+)+")
VALUE = re.compile(r"[^\n]{1,200}")
MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,55}")
LOGIN_DEF = re.compile(r"[A-Z][A-Z0-9_]*")
PLAIN = re.compile(r"[\x20-\x7e\n]*")


def problems(settings: Mapping[str, Any]) -> Problems:
    """What is wrong with the role's variables, given by their names; those that are not given are right."""
    found: Problems = []
    for name, judge in JUDGES.items():
        if name in settings:
            found += [f"{name}{text} Nothing was changed." for text in judge(settings[name])]
    return found


def skip_parts(value: Any) -> Iterator[str]:
    """Parts that there are."""
    if not isinstance(value, list):
        yield f" is {value!r}: it takes a list, such as [swap, logins]."
        return
    for part in value:
        if part not in PARTS:
            yield f" names {part!r}, which is no part: {meant(str(part), PARTS)}"


def reboot_time(value: Any) -> Iterator[str]:
    """A time of the day, or nothing. YAML reads 04:00 without quotes as a number."""
    if value and not (isinstance(value, str) and TIME.fullmatch(value)):
        yield f' is {value!r}: it takes a time of the day in quotes, such as "04:00", or "" for no reboots.'


def journal_max(value: Any) -> Iterator[str]:
    """A size as journald has it."""
    if not (isinstance(value, str) and SIZE.fullmatch(value)):
        yield f" is {value!r}: it takes a size such as 500M or 2G."


def swap_mb(value: Any) -> Iterator[str]:
    """A number of MB."""
    number = int(value) if str(value).isdigit() else -1
    if not 0 <= number <= MOST_SWAP_MB:
        yield f" is {value!r}: it takes a number of MB up to {MOST_SWAP_MB}, or 0 for no swap file."


def sysctl(value: Any) -> Iterator[str]:
    """Values of kernel parameters."""
    if not isinstance(value, Mapping):
        yield f" is {value!r}: it takes a map, such as {{net.core.somaxconn: 8192}}."
        return
    for key, wanted in value.items():
        if not KEY.fullmatch(str(key)):
            yield f" has the key {key!r}, which is no kernel parameter: write it as net.core.somaxconn."
        elif wanted is not None and (isinstance(wanted, (dict, list, bool)) or not VALUE.fullmatch(str(wanted))):
            yield f" has {wanted!r} for {key}: it takes a number, a text of one line, or null to leave it as it is."


def disabled_modules(value: Any) -> Iterator[str]:
    """Names of kernel modules."""
    if not isinstance(value, list):
        yield f" is {value!r}: it takes a list, such as [sctp, dccp]."
        return
    for name in value:
        if not MODULE.fullmatch(str(name)):
            yield f" names {name!r}, which is no kernel module: write it as firewire-ohci."


def login_defs(value: Any) -> Iterator[str]:
    """Values of login.defs."""
    if not isinstance(value, Mapping):
        yield f" is {value!r}: it takes a map, such as {{SHA_CRYPT_MIN_ROUNDS: 65536}}."
        return
    for name, wanted in value.items():
        if not LOGIN_DEF.fullmatch(str(name)) or isinstance(wanted, bool) or not re.fullmatch(r"\S+", str(wanted)):
            yield f" has {name}: {wanted!r}: it takes names of login.defs with one word each; put yes and no in quotes."


def issue(value: Any) -> Iterator[str]:
    """A text that getty, which expands a backslash, and sshd show alike."""
    if not isinstance(value, str) or not PLAIN.fullmatch(value) or "\\" in value:
        yield ' takes ASCII text without a backslash, which getty would expand, or "" to leave the files as they are.'


JUDGES = {
    "host_skip_parts": skip_parts,
    "host_reboot_time": reboot_time,
    "host_journal_max": journal_max,
    "host_swap_mb": swap_mb,
    "host_sysctl": sysctl,
    "host_disabled_modules": disabled_modules,
    "host_login_defs": login_defs,
    "host_issue": issue,
}
