# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter: whether the kernel has the host's rules and the policies of its apps, and a boot loads them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..common.on_host import on_host
from ..common.programs import explanation
from .expected import Expected
from .finding import Finding
from .look import Look, UncheckedError

NFT = "/usr/sbin/nft"
PROGRAM = f"{on_host('programs')}/firewall"
UNIT = "groundwork-firewall.service"
OUTGOING, OUTGOING_UNIT = f"{on_host('programs')}/outgoing", "groundwork-outgoing.service"
TABLE = "inet groundwork"
# What to do in each of the states that the program tells.
REMEDIES: Mapping[str, str] = {
    "unconfirmed": "Run the play again, unless one is under way.",
    "kept": "Compare firewall_ssh_ports and firewall_ssh_from with how this host is reached, and run the play again.",
    "changed": f"`nft list table {TABLE}` shows them; `systemctl reload {UNIT}` loads again what a boot loads.",
}


def firewall(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the rules are in effect; what a wrong state of the unit means is told here, for it is the next boot's."""
    if not look.has(NFT):
        if expected.firewall:
            remedy = "Run the play again, which installs it."
            yield Finding("firewall", "host", "problem", f"There is no firewall: {NFT} is not installed.", remedy)
        return
    there = f"table {TABLE}" in tables(look)
    if not expected.firewall:
        if there and expected.is_declared:
            text = f"The firewall is declared as off, and its table {TABLE} is in the kernel."
            yield Finding("firewall", "host", "warning", text, "Run the play again, which removes it.")
        return
    if not there:
        text = f"The firewall is off: the kernel has no table {TABLE}, so every port can be reached."
        yield Finding("firewall", "host", "problem", text, f"`systemctl restart {UNIT}`.")
        return
    found = compared(look)
    if differs := str(found.get("differs", "")):
        yield Finding("firewall", "host", "problem", differs, REMEDIES.get(str(found.get("state")), ""))
    else:
        yield Finding("firewall", "host", "ok", "The kernel has the rules that the plays have written.")


def compared(look: Look) -> Mapping[str, Any]:
    """What the program of the role says of the kernel's rules, the file's and the boot's."""
    asked = look.run(PROGRAM, "compare")
    try:
        found = json.loads(asked.stdout) if asked.returncode == 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UncheckedError(f"{PROGRAM} cannot compare the rules ({explanation(asked, 200)}): run site.yml")
    return found


def outgoing(_expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the kernel holds each app to its outgoing policy; nothing of a host that has none."""
    if not look.has(OUTGOING):
        return
    held = look.run(OUTGOING, "hold", "--dry-run")
    if held.returncode or held.stdout.strip():
        remedy = (
            f"`systemctl reload-or-restart {OUTGOING_UNIT}` loads them; `journalctl -u {OUTGOING_UNIT}` says why not."
        )
        yield Finding("outgoing", "host", "problem", explanation(held, 300), remedy)
    else:
        yield Finding("outgoing", "host", "ok", "The kernel holds each app to its outgoing policy.")


def tables(look: Look) -> list[str]:
    """The tables of the kernel."""
    listed = look.run(NFT, "list", "tables")
    if listed.returncode:
        raise UncheckedError(f"nft list tables says: {explanation(listed, 200)}")
    return listed.stdout.splitlines()
