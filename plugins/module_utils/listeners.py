# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which programs listen on some ports of a host, with their units and packages, as /proc and systemd tell."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import re
import struct
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import SYSTEMCTL
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import escaped, line

SECONDS = 10.0  # that a program may take
PATH_LIMIT = 4096  # characters, as the kernel has it
# Descriptors that are looked at: of a process the lowest, and of all processes of a unit. An app with 500 processes of
# 20,000 each kept a look busy for minutes. What listens with another one is named without its process.
MOST_OPEN, MOST_OF_UNIT = 512, 10_000
LISTENING = {"tcp": "0A", "udp": "07"}  # states of a socket that takes what comes, in /proc/net
SOCKET = re.compile(r"socket:\[(\d+)\]")
UNIT = re.compile(r"[^/]+\.(?:service|scope)$")
ALL = range(65536)
# What a host listens on to get its own address, to tell the time, and for names on its link: not services.
OF_THE_HOST = {("udp", 68), ("udp", 546), ("udp", 123), ("udp", 5353), ("udp", 5355)}
PASSING = "proc/sys/net/ipv4/ip_local_port_range"  # the ports that the kernel gives to whoever names none


@dataclass(frozen=True)
class Listener:
    """A program that takes connections at a port.

    :param address: its address; ``0.0.0.0`` and ``::`` are all of a family.
    :param uid: the account that has opened the socket, as the kernel notes it.
    :param pid: the first of its processes; 0 where none can be seen.
    :param name: what the kernel calls it.
    :param program: the path of its executable.
    :param unit: its systemd unit; a ``.socket`` where systemd itself listens. Empty for none.
    :param package: the Debian package of the executable; empty for none.
    """

    port: int
    protocol: str
    address: str
    uid: int = 0
    pid: int = 0
    name: str = ""
    program: str = ""
    unit: str = ""
    package: str = ""


def listeners(ports: Collection[int], root: Path = Path("/")) -> list[dict[str, Any]]:
    """Who listens on these ports, each program once for each port and address."""
    found = dict(sockets(ports, root / "proc/net"))
    if not found:
        return []
    held = list(holders(found, root / "proc"))
    with_process = {inode for inode, _pid in held}
    every = [described(replace(found[inode], pid=pid), root) for inode, pid in held]
    every += [one for inode, one in found.items() if inode not in with_process]
    if any(one.pid == 1 for one in every):
        of_sockets = socket_units()
        every = [replace(one, unit=of_sockets.get(one.port, "")) if one.pid == 1 else one for one in every]
    packages = packages_of({one.program for one in every if one.program})
    every = [replace(one, package=packages.get(one.program, "")) for one in every]
    return [asdict(one) for one in sorted(every, key=lambda one: (one.port, one.protocol, one.address, one.pid))]


def from_elsewhere(root: Path = Path("/")) -> list[dict[str, Any]]:
    """Who listens where other machines come in; nothing of what a host takes for itself, and no answers."""
    try:
        first_passing = int((root / PASSING).read_text(encoding="ascii").split()[0])
    except (OSError, IndexError):
        first_passing = 32768
    return [one for one in listeners(ALL, root) if is_reached(one, first_passing)]


def is_reached(one: Mapping[str, Any], first_passing: int) -> bool:
    """Whether a listener is a service to other machines."""
    port, protocol = one["port"], one["protocol"]
    if ipaddress.ip_address(one["address"]).is_loopback or (protocol, port) in OF_THE_HOST:
        return False
    # A program that asks a question, of a name server say, takes the answer at one of the passing ports.
    return bool(protocol != "udp" or port < first_passing)


def sockets(ports: Collection[int], net: Path) -> Iterator[tuple[str, Listener]]:
    """The sockets that listen on these ports, by their inodes."""
    for protocol, state in LISTENING.items():
        for table in (protocol, f"{protocol}6"):
            try:
                rows = (net / table).read_text(encoding="ascii").splitlines()[1:]
            except OSError:
                continue
            for fields in map(str.split, rows):
                address, _colon, port = fields[1].rpartition(":")
                if fields[3] == state and int(port, 16) in ports:
                    yield fields[9], Listener(int(port, 16), protocol, readable(address), int(fields[7]))


def readable(address: str) -> str:
    """An address as /proc/net writes it: words of the host's byte order, in hexadecimal."""
    words = [int(address[place : place + 8], 16) for place in range(0, len(address), 8)]
    found = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def holders(inodes: Collection[str], proc: Path) -> Iterator[tuple[str, int]]:
    """The first process of each unit that has one of these sockets open: a server's workers share its socket."""
    seen: set[tuple[str, str]] = set()
    looked = Counter[str]()
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        owner = unit_of(proc / str(pid) / "cgroup")
        if looked[owner] >= MOST_OF_UNIT:
            continue
        found = open_files(proc / str(pid) / "fd")
        looked[owner] += len(found)
        for inode in {match[1] for one in found if (match := SOCKET.fullmatch(one))} & set(inodes):
            if (inode, owner) not in seen:
                seen.add((inode, owner))
                yield inode, pid


def open_files(directory: Path) -> list[str]:
    """What a process has open; nothing of one that has ended."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in itertools.islice(entries, MOST_OPEN):
                with contextlib.suppress(FileNotFoundError):
                    found.append(os.readlink(entry.path))
    except OSError:
        return []
    return found


def described(one: Listener, root: Path) -> Listener:
    """A listener with the name, the executable and the unit of its process."""
    process = root / "proc" / str(one.pid)
    try:
        name = name_of(process)
        program = escaped(os.readlink(process / "exe").removesuffix(" (deleted)"), PATH_LIMIT)
    except OSError:
        return one
    return replace(one, name=name, program=program, unit=unit_of(process / "cgroup"))


def name_of(process: Path) -> str:
    """What the kernel calls a process; ``process`` is its directory below /proc."""
    return line((process / "comm").read_text(encoding="utf-8", errors="replace").strip(), 64)


def unit_of(cgroup: Path) -> str:
    """The unit that a control group belongs to; that of the user's manager for all that users run."""
    try:
        lines = cgroup.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for _number, controllers, path in (entry.split(":", 2) for entry in lines if entry.count(":") >= 2):
        if controllers not in ("", "name=systemd"):
            continue
        parts = path.split("/")
        units = [part for part in parts if part.startswith("user@")] or list(filter(UNIT.match, parts))
        if units:
            return line(units[-1])
    return ""


def socket_units() -> dict[int, str]:
    """The socket units that listen, by their ports."""
    shown = output(SYSTEMCTL, "show", "--type=socket", "--state=active", "--property=Id,Listen", "--", "*.socket")
    found = {}
    for block in shown.split("\n\n"):
        unit = re.search(r"^Id=(.+)$", block, re.MULTILINE)
        for port in re.findall(r"^Listen=\S*?:?(\d+) \(", block, re.MULTILINE):
            found[int(port)] = unit[1] if unit else ""
    return found


def packages_of(paths: Collection[str]) -> dict[str, str]:
    """The packages that files are of, by their paths."""
    found = {}
    for answer in output("/usr/bin/dpkg-query", "--search", "--", *sorted(paths)).splitlines() if paths else []:
        package, _colon, path = answer.partition(": ")
        found[path] = package.split(",")[0].split(":")[0]
    return found


def output(*argv: str) -> str:
    """What a program prints, whatever its exit status; empty where there is none, or it takes too long."""
    try:
        return programs.run(argv, seconds=SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def in_words(one: Mapping[str, Any]) -> str:
    """A listener for a message: its name, and where to find it."""
    details = [f"pid {one['pid']}"] if one["pid"] else []
    details += [f"unit {one['unit']}"] if one["unit"] else []
    details += [f"package {one['package']}"] if one["package"] else []
    name = one["name"] or "a program that cannot be seen from here"
    return f"{name} ({', '.join(details)})" if details else str(name)


def port_holders(text: str, root: Path = Path("/")) -> Sequence[str]:
    """Who holds the ports that a server's own words say it could not bind; empty for other words."""
    ports = {
        int(port)
        for row in text.splitlines()
        if re.search(r"\bbind\b|in use", row)
        for port in re.findall(r"(?:\d\.\d+|\]|\*):(\d{1,5})\b", row)
        if int(port) < 65536
    }
    holding: dict[str, list[int]] = {}
    for one in listeners(ports, root) if ports else []:
        holding.setdefault(in_words(one), []).append(one["port"])
    return [f"port {', '.join(map(str, sorted(set(of_one))))} is held by {who}" for who, of_one in holding.items()]
