# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the host, judged from what a look has read: a function for each kind, which yields findings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..common import clock
from ..common.text import line
from . import find_app
from .conditions import HOST, Found
from .facts import Facts, critical, level
from .records import Condition, Look
from .running import PROXIES, SHIPPERS, stopped_proxy

CRITICAL_DISK = 97.0  # percent: writes begin to fail soon
UNDELIVERED = re.compile(r"Not delivered since (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)Z: (.*)")  # of logs/ship.py
UNDELIVERED_SECONDS = 600.0  # as long as a receiver of alerts may fail before it is told
LEAST_MEMORY = 0.03  # of the memory that is still available: the kernel will end processes soon


def host(look: Look, facts: Facts) -> Iterator[Found]:
    """What is wrong with the host itself."""
    yield from proxy(facts)
    yield from units(look, facts)
    yield from disks(look, facts)
    yield from memory(look, facts)
    yield from connections(facts)
    yield from shipping(look, facts)
    machine = look.machine
    if machine.clock_synchronized is False:
        message = "Nothing keeps the clock right: certificates, cookies and logs will be wrong by and by."
        yield Found(
            Condition("clock", HOST, message=message, command="timedatectl; systemctl status systemd-timesyncd chrony")
        )
    if machine.reboot_pending:
        message = "A reboot is due: updates wait for it. Every app comes back by itself."
        yield Found(Condition("reboot", HOST, message=message, command="cat /run/reboot-required.pkgs"))
    if facts.outside.has_no_resolver:
        message = "No name can be looked up: the resolver does not answer."
        yield Found(Condition("dns", HOST, message=message, command="resolvectl status; cat /etc/resolv.conf"))
    for name in facts.saved.keys() - look.apps.keys():
        yield from find_app.backup(name, HOST, look, facts)
    for what, why in facts.unread.items():
        yield Found(
            Condition(
                "watch", HOST, what, f"The watch could not look at {what}: {why}", command="journalctl -t watch -n 20"
            )
        )


def proxy(facts: Facts) -> Iterator[Found]:
    """The web server in front does not run, or nothing listens."""
    if unit := stopped_proxy(facts.running.shown):
        state = facts.running.shown[unit].get("ActiveState", "")
        message = f"The web server {unit.partition('.')[0]} does not run ({state}): no site answers."
        command = f"systemctl restart {unit}; journalctl -u {unit} -n 20"
        # One that is only being restarted answers when it is asked again.
        yield Found(critical("proxy", HOST, message, command), certain=state == "failed" or facts.outside.is_refused)
        return
    if facts.outside.is_refused:
        error = min(answer.error for answer in facts.outside.here.values())
        message = f"No site answers on this host's own address: {error}."
        yield Found(critical("proxy", HOST, message, "ss -ltnp; systemctl status nginx apache2"), certain=True)


def units(look: Look, facts: Facts) -> Iterator[Found]:
    """Units of the host that have failed, and timers of ours that do not run."""
    told = {unit for app in facts.running.parts.values() for unit in app.names}
    for unit in sorted({*look.machine.failed_units, *facts.noted} - told - set(PROXIES)):
        result = facts.running.shown.get(unit, {}).get("Result", "")
        why = f" ({result})" if result not in ("", "success") else ""
        command = f"systemctl status {unit}; journalctl -u {unit} -n 20"
        yield Found(Condition("unit", HOST, unit, f"{unit} has failed{why}.", command=command), certain=True)
    for unit, shown in facts.running.shown.items():
        if unit.startswith("groundwork-") and unit.endswith(".timer") and shown.get("ActiveState") == "inactive":
            message = f"{unit} is stopped, so what it starts does not run."
            yield Found(Condition("unit", HOST, unit, message, command=f"systemctl start {unit}"))


def disks(look: Look, facts: Facts) -> Iterator[Found]:
    """File systems with little space or few inodes left."""
    for disk in look.machine.disks:
        mount = str(disk["mount"])
        for kind, total, free in (
            ("disk", disk["size"], disk["free"]),
            ("inodes", disk["inodes"], disk["inodes_free"]),
        ):
            used = 100.0 * (1 - free / total) if total else 0.0
            if used < facts.settings.disk_percent:
                continue
            left = f"{free / 2**30:.2f} GB" if kind == "disk" else str(free)
            what = "space" if kind == "disk" else "inodes"
            message = f"{mount} has used {used:.0f} % of its {what}; {left} left."
            command = f"du -x --max-depth=2 {mount} | sort -n | tail"
            severity = level(used >= CRITICAL_DISK)
            yield Found(Condition(kind, HOST, mount, message, command=command, severity=severity))


def memory(look: Look, facts: Facts) -> Iterator[Found]:
    """Little memory, or much of the swap in use."""
    machine, settings = look.machine, facts.settings
    if machine.memory and machine.memory_available is not None:
        share = machine.memory_available / machine.memory
        if share * 100 < settings.memory_percent:
            message = (
                f"{machine.memory_available / 2**20:.0f} of {machine.memory / 2**20:.0f} MB of memory are available."
            )
            severity = level(share < LEAST_MEMORY)
            command = "ps axo rss,unit,args --sort=-rss | head"
            yield Found(Condition("memory", HOST, "", message, command=command, severity=severity))
    if machine.swap and machine.swap_free is not None:
        used = 100 * (1 - machine.swap_free / machine.swap)
        if used > settings.swap_percent:
            message = f"{used:.0f} % of {machine.swap / 2**20:.0f} MB of swap are in use."
            yield Found(Condition("swap", HOST, "", message, command="ps axo rss,unit,args --sort=-rss | head"))


def connections(facts: Facts) -> Iterator[Found]:
    """Database servers with few connections left."""
    for server in facts.servers:
        if server.used * 100 >= server.most * facts.settings.connections_percent:
            apps = ", ".join(server.apps)
            message = f"{server.name} has {server.used} of {server.most} connections in use, by {apps} and others."
            command = f"{server.apps[0]} database" if server.apps else ""
            yield Found(Condition("connections", HOST, server.name, message, command=command))


def shipping(look: Look, facts: Facts) -> Iterator[Found]:
    """Journals whose lines the command of ``ship`` does not take; the journal removes the oldest at its cap."""
    for unit, shown in facts.running.shown.items():
        found = UNDELIVERED.match(shown.get("StatusText", "")) if unit.startswith(SHIPPERS) else None
        if found and look.time - clock.parse(f"{found[1]}T{found[2]}") >= UNDELIVERED_SECONDS:
            name = unit.removeprefix(SHIPPERS).removesuffix(".service")
            subject = name if name in look.apps else HOST
            message = (
                f"The journal of {name} has not been shipped since {found[1]} {found[2]} UTC: {line(found[3], 200)}"
            )
            command = f"systemctl status {unit}; journalctl -u {unit} -n 20"
            yield Found(Condition("ship", subject, "", message, command=command))
