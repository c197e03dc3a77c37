# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table that holds apps to their policies.

A packet is judged by the account that opened its socket (``meta skuid``), each packet for itself, so that a policy
holds for connections that are open already. The hook comes before any rewriting of addresses (Docker's, a provider's):
what counts is the address that the app has asked for. Protocols stand by number, because minimal systems lack
/etc/protocols.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .metadata import of_version
from .policies import ANY, Destination, Policy, port_ranges

TABLE = "groundwork_apps"
LOGGED = "limit rate 6/minute burst 10 packets"  # of each app: enough to find what is refused, too few to fill a disk
NAME_SERVER_PORT = 53


def table(policies: Sequence[Policy], name_servers: Sequence[str], build_group: int | None) -> str:
    """The file for ``nft``: one transaction that puts the table in the place of the one that is there.

    :param name_servers: addresses at which an app with a list of destinations may look up names.
    :param build_group: the number of the group that builds run as, which reach everything but the metadata addresses.
    """
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for version in (4, 6):
        lines += [
            f"\tset metadata_ipv{version} {{",
            f"\t\ttype ipv{version}_addr",
            f"\t\telements = {{ {', '.join(of_version(version))} }}",
            "\t}",
        ]
    for policy in policies:
        lines += chains(policy, name_servers, build_group)
    lines += chain("output", ["type filter hook output priority mangle; policy accept;", *dispatch(policies)])
    return "\n".join([*lines, "}", ""])


def dispatch(policies: Sequence[Policy]) -> Iterator[str]:
    """The rule that leads each account to its chain: one look-up, however many apps there are."""
    if policies:
        yield f"meta skuid vmap {{ {', '.join(f'{one.uid} : goto app/{one.app}' for one in policies)} }}"


def chains(policy: Policy, name_servers: Sequence[str], build_group: int | None) -> list[str]:
    """The chains of one app."""
    app, accepted = policy.app, "accept" if policy.metadata else f"jump metadata/{policy.app}"
    rules = [
        # Over lo, any process can send from an IPv6 address that is not the host's (IPV6_FREEBIND). What it then sends
        # there would pass as an answer.
        f'fib saddr type != local goto refuse/{app} comment "not from an address of the host"',
        'ct direction reply accept comment "answers to what others have begun"',
        f"ip daddr @metadata_ipv4 {accepted}",
        f"ip6 daddr @metadata_ipv6 {accepted}",
    ]
    if policy.destinations is not None:
        if build_group is not None:
            rules.append(f'meta skgid {build_group} accept comment "builds"')
        rules += ['oif "lo" accept', *allowed(policy.destinations, name_servers), f"goto refuse/{app}"]
    lines = chain(
        f"refuse/{app}",
        [
            f'{LOGGED} log prefix "groundwork-outgoing {app}: " flags skuid',
            "meta l4proto 6 reject with tcp reset",
            "reject with icmpx admin-prohibited",
        ],
    )
    if not policy.metadata:
        names = f"meta l4proto {{ 6, 17 }} th dport {NAME_SERVER_PORT} return"
        lines += chain(f"metadata/{app}", [names, f"goto refuse/{app}"])
    return [*lines, *chain(f"app/{app}", rules)]


def chain(name: str, rules: Iterable[str]) -> list[str]:
    """A chain in a table."""
    return [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"]


def allowed(destinations: Sequence[Destination], name_servers: Sequence[str]) -> Iterator[str]:
    """The rules for the destinations of an app, and for the name servers of the host if there is any destination."""
    servers = tuple(name_servers if destinations else ())
    port = (str(NAME_SERVER_PORT),)
    names = [Destination(servers, port, protocol) for protocol in ("udp", "tcp")] if servers else []
    for one in (*names, *destinations):
        ports = merged(one.ports)
        to_port = f"{one.protocol} dport {{ {', '.join(ports)} }}" if ports else f"meta l4proto {protocol_number(one)}"
        if ANY in one.to:
            yield f"{to_port} accept"
            continue
        for family, networks in (("ip", networks_of(one.to, 4)), ("ip6", networks_of(one.to, 6))):
            if networks:
                yield f"{family} daddr {{ {', '.join(networks)} }} {to_port} accept"


def protocol_number(one: Destination) -> int:
    """The number of a destination's protocol."""
    return {"tcp": 6, "udp": 17}[one.protocol]


def networks_of(to: Iterable[str], version: int) -> list[str]:
    """The addresses and networks of IPv4 or IPv6, none inside another: nftables refuses a set that overlaps."""
    networks: list[Any] = [ipaddress.ip_network(one) for one in to]
    return [str(one) for one in ipaddress.collapse_addresses(one for one in networks if one.version == version)]


def merged(ports: Iterable[str]) -> list[str]:
    """Ports and ranges, none inside another."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(port_ranges(ports)):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]
