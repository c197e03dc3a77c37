# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot work among the firewall's variables, such as rules that would shut out this connection."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ADDRESS = re.compile(r"[0-9a-fA-F.:]+(/[0-9]{1,3})?")
# The variables that are lists of addresses, and those that are limits, by their names here.
LISTS = ("ssh_from", "unlimited")
LIMITS = ("ssh_limit", "connection_limit")
MOST = 1_000_000  # of a limit


def problems(rules: Mapping[str, Any], connection: Sequence[str], port: int, enabled: bool) -> Iterator[str]:
    """Each problem, with its remedy.

    :param rules: ``services``, ``ssh_ports``, ``ssh_from``, ``unlimited``, ``ssh_limit`` and ``connection_limit``.
    :param connection: the words of ``SSH_CONNECTION``; the first is the address that the host sees. Empty, or
        ``UNKNOWN``, where the connection has none.
    :param port: of the host, on which this connection came in.
    :param enabled: whether the rules are to be in force.
    """
    if enabled:
        yield from shut_out(rules, connection, port)
    named = [source for service in rules["services"] for source in sources_of(service)]
    for what, sources in (
        ("`from` of a firewall service", named),
        *((f"list firewall_{name}", rules[name]) for name in LISTS),
    ):
        if names := [str(source) for source in sources if not ADDRESS.fullmatch(str(source))]:
            yield (
                f"The {what} takes addresses and networks, such as 192.0.2.7 or 2001:db8::/32. Names are refused: "
                f"{', '.join(names)}. At boot, before the network, nobody could resolve them."
            )
    for name in LIMITS:
        if not 0 <= int(rules[name]) <= MOST:
            yield f"firewall_{name} is {rules[name]}: choose 1 to {MOST:,}, or 0 for no limit."


def sources_of(service: Mapping[str, Any]) -> Sequence[Any]:
    """The addresses of ``from``: a list, or a single one as text, which the template takes too."""
    sources = service.get("from") or ()
    return (sources,) if isinstance(sources, str) else sources


def shut_out(rules: Mapping[str, Any], connection: Sequence[str], port: int) -> Iterator[str]:
    """Whether the rules would end the very connection of the play."""
    ports = [int(one) for one in rules["ssh_ports"]]
    if port not in ports:
        yield (
            f"firewall_ssh_ports is {ports}, but this connection came in on port {port}: it would be shut out. Add "
            f"{port} to firewall_ssh_ports, or connect by one of the listed ports. Nothing was changed."
        )
    sources, own = [str(source) for source in rules["ssh_from"]], address(connection[0] if connection else "")
    if sources and own and not any(contains(source, own) for source in sources):
        yield (
            f"firewall_ssh_from is {', '.join(sources)}, but this connection comes from {own}: it would be shut out. "
            f"Add {own}, or its network, to firewall_ssh_from, or connect from a listed address, such as that of a "
            "jump host (`ansible_ssh_common_args: -J user@host`). Nothing was changed."
        )


def address(word: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as the firewall sees it: without a zone, and IPv4 for one that is mapped into IPv6."""
    try:
        found = ipaddress.ip_address(word.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def contains(source: str, own: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address or a network has an address in it; what is neither, nft refuses later."""
    try:
        return own in ipaddress.ip_network(source, strict=False)
    except ValueError:
        return False
