# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What listens on the network: each program that does, against the ports that are declared."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import listeners

from .expected import SITES, Expected
from .finding import Finding
from .look import Look
from .processes import name_of

ALL = range(65536)
# What a host listens on to get its own address, and to tell the time: not services.
OF_THE_HOST = {("udp", 68), ("udp", 546), ("udp", 123), ("udp", 5353), ("udp", 5355)}
SSHD = ("sshd", "sshd-session", "systemd")
# Programs that listen for a container: the kernel sends them what comes before any rule for the host's own ports.
OF_CONTAINERS = ("docker-proxy", "conmon", "rootlessport", "rootlesskit", "pasta", "slirp4netns")


def sockets(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether something listens on an address of the network that is not declared."""
    extra: dict[tuple[int, str, str], dict[str, Any]] = {}
    for one in listeners.listeners(ALL, look.root):
        if is_foreign(one, expected, look):
            extra.setdefault((one["port"], one["protocol"], one["name"]), one)
    for one in extra.values():
        yield described(one, expected, look)
    if not extra:
        yield Finding("sockets", "host", "ok", "Nothing listens on the network but what is declared.")


def is_foreign(one: Mapping[str, Any], expected: Expected, look: Look) -> bool:
    """Whether a listener can be reached from elsewhere and nobody has declared it."""
    port, protocol = one["port"], one["protocol"]
    if is_local(one["address"]) or (protocol, port) in OF_THE_HOST:
        return False
    # A program that asks a question, of a name server say, takes the answer at a port of these.
    if protocol == "udp" and port >= first_passing_port(look):
        return False
    if any(declared.holds(port, protocol) for declared in expected.ports):
        return False
    if not expected.ports and (one["name"] in SSHD or (expected.proxy in SITES and port in (80, 443))):
        return False
    return not (protocol == "udp" and port == 443 and expected.proxy == "nginx")


def is_local(address: str) -> bool:
    """Whether an address is reached from the host itself alone."""
    return ipaddress.ip_address(address).is_loopback


def first_passing_port(look: Look) -> int:
    """The first of the ports that the kernel gives to whoever names none."""
    words = look.read("/proc/sys/net/ipv4/ip_local_port_range").split()
    return int(words[0]) if words else 32768


def described(one: Mapping[str, Any], expected: Expected, look: Look) -> Finding:
    """An undeclared listener, with its process, unit and account; a problem where the firewall does not hold it off."""
    account = owner(one["pid"], look)
    who = f"{listeners.in_words(one)}{f', as {account}' if account else ''}"
    is_held_off = expected.firewall and one["name"] not in OF_CONTAINERS
    behind = "; the firewall lets nobody in there" if is_held_off else ""
    text = f"{who} listens on {one['address']} port {one['port']}/{one['protocol']}, which is not declared{behind}."
    remedy = "Stop it, have it listen on 127.0.0.1, or declare the port in firewall_services."
    return Finding("sockets", "host", "warning" if is_held_off else "problem", text, remedy)


def owner(pid: int, look: Look) -> str:
    """The account that a process runs as; "" of one that cannot be seen."""
    try:
        return name_of(look.path(f"/proc/{pid}").stat().st_uid, look) if pid else ""
    except OSError:
        return ""
