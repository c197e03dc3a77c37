# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What listens on the network: each program that does, against the ports that are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import listeners

from .expected import SITES, Expected, Port, recorded_ports
from .finding import Finding
from .look import Look
from .processes import name_of

MOST_PORTS = 8  # of one program that are named
SSHD = ("sshd", "sshd-session", "systemd")
# Programs that listen for a container: the kernel sends them what comes before any rule for the host's own ports.
OF_CONTAINERS = ("docker-proxy", "conmon", "rootlessport", "rootlesskit", "pasta", "slirp4netns")


def sockets(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether something listens on an address of the network that is not declared; a program is one finding."""
    let_in = recorded_ports(look)
    extra: dict[tuple[Any, ...], dict[tuple[int, str], Mapping[str, Any]]] = {}
    for one in listeners.from_elsewhere(look.root):
        if is_foreign(one, expected, let_in):
            # By what a program cannot choose: with its names or ports alone it would crowd out the others' findings.
            name = "" if one["uid"] else one["name"]
            key = (one["unit"], one["uid"], name, is_held_off(one, expected))
            extra.setdefault(key, {}).setdefault((one["port"], one["protocol"]), one)
    for ports in extra.values():
        yield described(list(ports.values()), expected, look)
    if not extra:
        yield Finding("sockets", "host", "ok", "Nothing listens on the network but what is declared.")


def is_foreign(one: Mapping[str, Any], expected: Expected, let_in: Sequence[Port]) -> bool:
    """Whether nobody has declared a listener.

    :param let_in: the ports in the host's own rules. Where the controller's way leads through a forwarded port, the
        inventory has that one's number, and the rules have the one that sshd listens on.
    """
    port, protocol = one["port"], one["protocol"]
    if one["name"] in SSHD and not one["uid"] and any(rule.holds(port, protocol) for rule in let_in):
        return False
    if any(declared.holds(port, protocol) for declared in expected.ports):
        return False
    if not expected.ports and (
        (one["name"] in SSHD and not one["uid"]) or (expected.proxy in SITES and port in (80, 443))
    ):
        return False
    return not (protocol == "udp" and port == 443 and expected.proxy == "nginx")


def is_held_off(one: Mapping[str, Any], expected: Expected) -> bool:
    """Whether the firewall lets nobody in there."""
    return expected.firewall and one["name"] not in OF_CONTAINERS


def described(ports: Sequence[Mapping[str, Any]], expected: Expected, look: Look) -> Finding:
    """An undeclared listener, with its process, unit and account; a problem where the firewall does not hold it off."""
    one, held_off = ports[0], is_held_off(ports[0], expected)
    account = name_of(one["uid"], look) if one["pid"] or one["uid"] else ""
    who = f"{listeners.in_words(one)}{f', as {account},' if account else ''}"
    numbers = ", ".join(f"{port['port']}/{port['protocol']}" for port in ports[:MOST_PORTS])
    more = f" and {len(ports) - MOST_PORTS} more" if len(ports) > MOST_PORTS else ""
    behind = "; the firewall lets nobody in there" if held_off else ""
    text = f"{who} listens on {one['address']} port {numbers}{more}, which is not declared{behind}."
    remedy = "Stop it, have it listen on 127.0.0.1, or declare the port in firewall_services."
    return Finding("sockets", "host", "warning" if held_off else "problem", text, remedy)
