# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have set on a host, and the role `host` is about to overrule: named before it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# What the operator can say instead, by the part and by how the setting begins.
REMEDIES = (
    ("updates", "Unattended-Upgrade::Automatic-Reboot", 'set host_reboot_time ("" for no reboots)'),
    ("journal", "SystemMaxUse", "set host_journal_max"),
    ("logins", "", "state it in host_login_defs"),
)
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def warnings(found: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Each setting of others that is about to be overruled, and what is about to be deleted.

    :param found: as the module ``host_facts`` returns it in ``machine``.
    :param wanted: for each part that is kept, what the role states.
    """
    for one in found.get("settings", []):
        ours = wanted.get(one["part"], {}).get(one["key"])
        if ours is not None and str(ours) != one["value"]:
            yield (
                f"{one['file']} of this host says {one['key']} is `{one['value']}`; from this run on `{ours}` is in "
                f"effect. To keep yours, {remedy(one['part'], one['key'])}."
            )
    limit = str(wanted.get("journal", {}).get("SystemMaxUse", ""))
    used = int(found.get("journal_bytes", 0))
    if limit and used > size(limit):
        yield (
            f"The journal of this host takes {used // 2**20} MB; from this run on its oldest entries above {limit} are "
            f"deleted. To keep them, {remedy('journal', 'SystemMaxUse')}."
        )


def remedy(part: str, key: str) -> str:
    """How to keep what is there."""
    first = [text for of_part, begin, text in REMEDIES if of_part == part and key.startswith(begin)]
    return ", or ".join([*first, f"put {part} into host_skip_parts"])


def size(text: str) -> int:
    """The bytes of a size as journald has it."""
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)
