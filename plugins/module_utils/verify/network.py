# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the look from outside needs to know of a host: its addresses, and on which ports it listens for everybody."""

from __future__ import annotations

import ipaddress
import json

from .look import Look, UncheckedError

IP = "/usr/sbin/ip"
LISTENING = "0A"  # TCP_LISTEN, as include/net/tcp_states.h numbers it
MOST = 50


def addresses(look: Look) -> list[str]:
    """The addresses at which others may reach the host, in their order; empty where the program `ip` is missing."""
    try:
        interfaces = json.loads(look.run(IP, "-json", "address", "show", "scope", "global").stdout or "[]")
        found = [entry.get("local", "") for one in interfaces for entry in one.get("addr_info", [])]
    except (UncheckedError, ValueError, AttributeError):
        return []
    return [str(address) for address in found if address][:MOST]


def listening(look: Look) -> list[int]:
    """The TCP ports on which something listens for more than the machine itself."""
    rows = [row.split() for table in ("tcp", "tcp6") for row in look.read(f"/proc/net/{table}").splitlines()[1:]]
    ends = [row[1].partition(":") for row in rows if len(row) > 3 and row[3] == LISTENING]
    return sorted({int(port, 16) for address, _colon, port in ends if not is_loopback(address)})[:MOST]


def is_loopback(shown: str) -> bool:
    """Whether an address of /proc/net/tcp (words of 32 bits in the order of x86 and ARM) is the machine's own."""
    words = [bytes.fromhex(shown[at : at + 8])[::-1] for at in range(0, len(shown), 8)]
    return ipaddress.ip_address(b"".join(words)).is_loopback
