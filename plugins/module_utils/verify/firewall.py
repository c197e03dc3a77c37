# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet filter: whether the kernel has the rules of the host's file, and a boot would load them."""

from __future__ import annotations

from collections.abc import Iterator

from ..common.on_host import on_host
from ..common.programs import explanation
from .expected import Expected
from .finding import Finding
from .look import Look, UncheckedError

NFT = "/usr/sbin/nft"
PROGRAM = f"{on_host('programs')}/firewall"
UNIT = "groundwork-firewall.service"
TABLE = "inet groundwork"


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
    differs = look.run(PROGRAM, "hold", "--dry-run")
    if differs.returncode or differs.stdout.strip():
        text = f"The kernel's rules are not those that the plays have written: {explanation(differs, 200)}"
        remedy = f"`nft list table {TABLE}` shows them; `systemctl reload {UNIT}` loads the file again."
        yield Finding("firewall", "host", "problem", text, remedy)
    else:
        yield Finding("firewall", "host", "ok", "The kernel has the rules that the plays have written.")


def tables(look: Look) -> list[str]:
    """The tables of the kernel."""
    listed = look.run(NFT, "list", "tables")
    if listed.returncode:
        raise UncheckedError(f"nft list tables says: {explanation(listed, 200)}")
    return listed.stdout.splitlines()
