# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What listens on the network: each program that does, against the ports that are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import listeners

from .expected import SITES, Expected
from .finding import Finding
from .look import Look
from .processes import name_of

SSHD = ("sshd", "sshd-session", "systemd")
# Programs that listen for a container: the kernel sends them what comes before any rule for the host's own ports.
OF_CONTAINERS = ("docker-proxy", "conmon", "rootlessport", "rootlesskit", "pasta", "slirp4netns")


def sockets(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether something listens on an address of the network that is not declared."""
    extra: dict[tuple[int, str, str], dict[str, Any]] = {}
    for one in listeners.from_elsewhere(look.root):
        if is_foreign(one, expected):
            extra.setdefault((one["port"], one["protocol"], one["name"]), one)
    for one in extra.values():
        yield described(one, expected, look)
    if not extra:
        yield Finding("sockets", "host", "ok", "Nothing listens on the network but what is declared.")


def is_foreign(one: Mapping[str, Any], expected: Expected) -> bool:
    """Whether nobody has declared a listener."""
    port, protocol = one["port"], one["protocol"]
    if any(declared.holds(port, protocol) for declared in expected.ports):
        return False
    if not expected.ports and (one["name"] in SSHD or (expected.proxy in SITES and port in (80, 443))):
        return False
    return not (protocol == "udp" and port == 443 and expected.proxy == "nginx")


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
