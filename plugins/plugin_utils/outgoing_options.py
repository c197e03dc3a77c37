# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may stand below ``outgoing`` of an app: the destinations that it may connect to."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import option, options
from ansible_collections.groundwork.flask.plugins.module_utils.outgoing.metadata import METADATA
from ansible_collections.groundwork.flask.plugins.module_utils.outgoing.policies import ANY, LARGEST_PORT, port_ranges
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, Reader

PORT = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?")


@dataclass(frozen=True)
class Destination:
    """One entry of the list."""

    to: tuple[str, ...] = option(
        (),
        required="to: [192.0.2.7]",
        doc="Addresses and networks, IPv4 and IPv6 in any mixture, or `any`. No names: the rules are loaded before the "
        "network is up, when nobody can resolve them.",
        example=["192.0.2.0/24", "2001:db8::7"],
    )
    ports: tuple[str, ...] = option(
        (),
        doc='Ports, and ranges in quotes (`"8000-8010"`); by default all.',
        example=[443, "8000-8010"],
    )
    protocol: str = option("tcp", choices=("tcp", "udp"), doc="The transport protocol.", example="udp")


def read(app: Reader) -> tuple[dict[str, Any], ...] | None:
    """The only destinations of an app; None for all."""
    given = app.given.get("outgoing")
    if given is None:
        return None
    if not isinstance(given, list):
        app.problem(
            "outgoing",
            given,
            "is not a list: write `outgoing: [{to: [192.0.2.7], ports: [443]}]`, or `outgoing: []` for nothing but the "
            "host itself",
        )
        return None
    open_to_metadata = app.given.get("instance_metadata") is True
    return tuple(
        read_one(f"{app.field('outgoing')}[{number}]", entry, app.problems, open_to_metadata)
        for number, entry in enumerate(given)
    )


def read_one(where: str, entry: Any, problems: Problems, open_to_metadata: bool) -> dict[str, Any]:
    """One destination."""
    known = options(Destination)
    one = Reader(where, entry, problems, known)
    if isinstance(entry, Mapping) and not one.given.get("to"):
        problems.append(f"{one.field('to')} is missing: write `{known['to'].required}`, or `to: [{ANY}]`")
    return {
        "to": list(addresses(one, open_to_metadata)),
        "ports": list(ports(one)),
        "protocol": one.value("protocol", known["protocol"]),
    }


def addresses(one: Reader, open_to_metadata: bool) -> Iterator[str]:
    """The addresses and networks of a destination, each as a rule takes it."""
    for value in one.get("to", list, [], "a list: write `to: [192.0.2.7]`"):
        if value == ANY:
            yield ANY
            continue
        network = None
        with contextlib.suppress(ValueError):
            network = ipaddress.ip_network(value if isinstance(value, str) and "%" not in value else "", strict=False)
        if network is None:
            one.problem(
                "to",
                value,
                "is neither an address nor a network: write it as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32. A name "
                "cannot be a rule, for its addresses change: list those that its owner publishes, or `any` and ports",
            )
        elif problem := address_problem(str(value), network, open_to_metadata):
            one.problem("to", value, problem)
        else:
            yield str(network)


def address_problem(
    value: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network, open_to_metadata: bool
) -> str | None:
    """What is wrong with an address or a network that can be read."""
    single = network.num_addresses == 1
    address = network.network_address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return "is an IPv4 address written as an IPv6 one, which Linux sends by IPv4: write it as IPv4"
    if str(ipaddress.ip_address(value.partition("/")[0])) != str(address):
        return f"is an address within a network: write '{network}' for the network, or the address without /"
    if single and str(address) in METADATA and not open_to_metadata:
        return (
            f"is a metadata address ({METADATA[str(address)]}), which hands out the credentials of the server: it "
            "stays closed whatever this list says; write `instance_metadata: true` beside it to open it to this app"
        )
    return None


def ports(one: Reader) -> Iterator[str]:
    """The ports and ranges of a destination."""
    for value in one.get("ports", list, [], "a list: write `ports: [443]`"):
        text = str(value)
        if isinstance(value, bool) or not isinstance(value, int | str) or not is_port(text):
            one.problem(
                "ports",
                value,
                f'is no port: write a number from 1 to {LARGEST_PORT}, or a range in quotes, "8000-8010"',
            )
        else:
            yield text


def is_port(text: str) -> bool:
    """Whether a text is a port or a range of ports."""
    if not PORT.fullmatch(text):
        return False
    try:
        return bool(list(port_ranges([text])))
    except ValueError:
        return False
