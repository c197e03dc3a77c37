# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is expected of a host: what the controller hands over, and for the rest what the host's own records say."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.on_host import on_host
from ..release.layout import Layout, apps, undeployed_apps
from .look import Look

BACKUP_HOURS = 36.0  # as the role backup has them
DRILL_DAYS = 9.0  # the restore drill is weekly; two days for a host that was off
SITES = {"nginx": "proxy_nginx", "apache": "proxy_apache"}  # the file set of each provider


@dataclass(frozen=True)
class ExpectedApp:
    """What is expected of one app.

    :ivar domains: the names that its site answers to.
    :ivar processes: how many of each process run beside the server.
    :ivar jobs: the names of its jobs.
    :ivar workers: of its server; None for as many as the host computes.
    :ivar database: ``postgresql``, ``mariadb``, ``url`` or ``""``.
    :ivar redis: what it has Redis for.
    :ivar sandbox: directives that are looser, or stricter, than the default.
    :ivar certificate: ``acme``, ``self_signed``, ``files``, or ``""`` for a site without one.
    :ivar backup: whether its data is saved.
    """

    name: str
    domains: tuple[str, ...] = ()
    processes: Mapping[str, int] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    workers: int | None = None
    database: str = ""
    redis: tuple[str, ...] = ()
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    certificate: str = ""
    backup: bool = False

    @classmethod
    def declared(cls, name: str, raw: Mapping[str, Any]) -> ExpectedApp:
        """An app as the controller describes it."""
        return cls(
            name,
            tuple(map(str, raw.get("domains") or ())),
            {str(key): int(value) for key, value in (raw.get("processes") or {}).items()},
            tuple(map(str, raw.get("jobs") or ())),
            int(raw["workers"]) if raw.get("workers") else None,
            str(raw.get("database") or ""),
            tuple(map(str, raw.get("redis") or ())),
            dict(raw.get("sandbox") or {}),
            str(raw.get("certificate") or ""),
            bool(raw.get("backup")),
        )

    @classmethod
    def recorded(cls, name: str, look: Look) -> ExpectedApp:
        """An app as the host's records have it: its live release, its certificate, its backup set."""
        at = Layout(name, look.root)
        release = at.live() or ""
        facts = at.facts(release) if release else {}
        processes: dict[str, int] = {}
        for unit in facts.get("units", ()):
            if unit.get("kind") == "process":
                processes[unit.get("process", "")] = processes.get(unit.get("process", ""), 0) + 1
        configuration = on_host("configuration")
        request = look.json(f"{configuration}/certificates/{name}.json")
        return cls(
            name,
            tuple(map(str, request.get("domains", ()))),
            processes,
            tuple(facts.get("jobs") or ()),
            certificate=str(request.get("provider", "")),
            backup=look.path(f"{configuration}/backup.d/{name}.json").exists(),
        )


@dataclass(frozen=True)
class Port:
    """A port that others may reach.

    :ivar first: of a range; a single port is a range of one.
    :ivar sources: the addresses that may; empty for all.
    """

    first: int
    last: int
    protocol: str = "tcp"
    sources: tuple[str, ...] = ()

    @classmethod
    def declared(cls, raw: Mapping[str, Any]) -> Port:
        """A port as the controller describes it: a number, a name of /etc/services, or a range with a dash."""
        first, _dash, last = str(raw["port"]).partition("-")
        if not first.isdigit():
            first, last = (str(named(str(raw["port"]), str(raw.get("protocol") or "tcp"))), "")
        sources = raw.get("from") or ()
        sources = (sources,) if isinstance(sources, str) else sources
        return cls(int(first), int(last or first), str(raw.get("protocol") or "tcp"), tuple(map(str, sources)))

    def holds(self, port: int, protocol: str) -> bool:
        """Whether a port is meant."""
        return protocol == self.protocol and self.first <= port <= self.last


def named(name: str, protocol: str) -> int:
    """The number of a port with a name; 0, which nothing listens on, where the host does not know it."""
    try:
        return socket.getservbyname(name, protocol)
    except OSError:
        return 0


@dataclass(frozen=True)
class Expected:
    """What is expected of the host.

    :ivar is_declared: the controller has said it; else all of it is what the host's records say.
    :ivar proxy: ``nginx``, ``apache``, or ``""`` where neither is set up.
    :ivar firewall: whether the firewall is to be in effect.
    :ivar host_parts: the parts of the role host that are kept.
    :ivar backup_hours: how old the last backup may be.
    :ivar drill_days: how old the last restore drill may be.
    """

    apps: Mapping[str, ExpectedApp] = field(default_factory=dict)
    is_declared: bool = False
    proxy: str = ""
    firewall: bool = False
    ports: tuple[Port, ...] = ()
    host_parts: frozenset[str] = frozenset()
    backup_hours: float = BACKUP_HOURS
    drill_days: float = DRILL_DAYS

    @classmethod
    def of(cls, raw: Mapping[str, Any], look: Look) -> Expected:
        """What is declared, and what the host's records say of all else; an app of another inventory counts too.

        :param raw: what the filter ``verify_expected`` makes of the inventory; empty without one.
        """
        there = dict.fromkeys([*apps(look.root), *undeployed_apps(look.root)])
        wanted = {name: ExpectedApp.recorded(name, look) for name in there}
        wanted |= {name: ExpectedApp.declared(name, one) for name, one in (raw.get("apps") or {}).items()}
        firewall, backup = raw.get("firewall") or {}, raw.get("backup") or {}
        hours = look.json(f"{on_host('configuration')}/backup.json").get("max_age_hours", BACKUP_HOURS)
        return cls(
            dict(sorted(wanted.items())),
            bool(raw),
            str(raw.get("proxy") or recorded_proxy(look)),
            bool(firewall["enabled"]) if "enabled" in firewall else has_firewall(look),
            tuple(map(Port.declared, firewall["ports"])) if "ports" in firewall else recorded_ports(look),
            frozenset(raw["host_parts"]) if "host_parts" in raw else recorded_parts(look),
            float(backup.get("hours") or hours),
            float(backup.get("drill_days") or DRILL_DAYS),
        )


def file_set(name: str, look: Look) -> Mapping[str, Any]:
    """The manifest of a file set; empty where the host has none of this name."""
    return look.json(f"{on_host('state')}/file_sets/{name}.json")


def files_of(name: str, look: Look) -> Sequence[str]:
    """The files of a file set."""
    return [path for paths in file_set(name, look).get("parts", {}).values() for path in paths]


def recorded_proxy(look: Look) -> str:
    """The provider whose sites are on the host."""
    return next((provider for provider, name in SITES.items() if files_of(name, look)), "")


def has_firewall(look: Look) -> bool:
    """Whether the role firewall has left its rules, and a boot would load them."""
    wants = "etc/systemd/system/sysinit.target.wants/groundwork-firewall.service"
    return is_there(look, f"{on_host('configuration')}/firewall.nft") and is_there(look, wants)


def is_there(look: Look, path: str) -> bool:
    """Whether something has this path, be it a link that leads nowhere."""
    return look.path(path).is_symlink() or look.path(path).exists()


def recorded_ports(look: Look) -> tuple[Port, ...]:
    """The ports that the rules in the host's file open."""
    rules = look.read(f"{on_host('configuration')}/firewall.nft")
    found = []
    for row in rules.splitlines():
        if match := re.search(r"\b(tcp|udp) dport (\{[^}]*\}|[\d-]+).*\baccept\b", row):
            ranges = re.findall(r"(\d+)(?:-(\d+))?", match[2])
            found += [Port(int(first), int(last or first), match[1]) for first, last in ranges]
    return tuple(found)


def recorded_parts(look: Look) -> frozenset[str]:
    """The parts of the role host that have files here."""
    return frozenset(part for name in ("host", "host_sshd") for part in file_set(name, look).get("parts", {}) if part)
