# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report shows of a host beside the findings: what it is, what it has, and how each app stands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..common import clock
from ..common.text import line
from ..release.layout import Layout
from ..release.ledger import Ledger
from . import apps, backups, certificates, network, resources
from .expected import Expected, ExpectedApp
from .look import Look, UncheckedError, number, seconds
from .parts import ReleaseParts


def facts(expected: Expected, look: Look) -> dict[str, Any]:
    """``host`` and, by name, ``apps``: times in UTC, sizes in bytes, and "" and 0 for what is unknown."""
    return {"host": host(look), "apps": {name: app(one, look) for name, one in expected.apps.items()}}


def host(look: Look) -> dict[str, Any]:
    """Distribution, kernel, cores, load, memory, disks, and since when it has been up."""
    release = dict(row.split("=", 1) for row in look.read("/etc/os-release").splitlines() if "=" in row)
    memory = resources.meminfo(look)
    return {
        "name": look.read("/proc/sys/kernel/hostname").strip(),
        "distribution": release.get("PRETTY_NAME", "").strip('"'),
        "kernel": look.read("/proc/sys/kernel/osrelease").strip(),
        "time": clock.timestamp(look.now),
        "boot": clock.timestamp(look.boot) if look.boot else "",
        "uptime": int(look.now - look.boot) if look.boot else 0,
        "cores": len(os.sched_getaffinity(0)),
        "load": [float(word) for word in look.read("/proc/loadavg").split()[:3]],
        "memory": {
            "total": memory.get("MemTotal", 0),
            "available": memory.get("MemAvailable", 0),
            "swap_total": memory.get("SwapTotal", 0),
            "swap_free": memory.get("SwapFree", 0),
        },
        "disks": [{"path": path, **one} for path, one in resources.file_systems(look).items()],
        "addresses": network.addresses(look),
        "listening": network.listening(look),
    }


def app(one: ExpectedApp, look: Look) -> dict[str, Any]:
    """The live release of an app, since when, and what runs of it."""
    at, parts = Layout(one.name, look.root), ReleaseParts.of(one.name, look)
    event = Ledger(at).last("live", parts.release) if parts.release else {}
    shown = units_of(parts, look)
    server = shown.get(parts.server, {})
    return {
        "domains": list(one.domains),
        "release": parts.release,
        "version": line(str(event.get("version", ""))),
        "since": str(event.get("time", "")),
        "by": line(str(event.get("by", ""))),
        "state": server.get("ActiveState", ""),
        "started": moment(server, "ActiveEnterTimestamp"),
        "restarts": number(server, "NRestarts"),
        "workers": workers(server, one.name, parts.release, look),
        "memory": sum(number(shown.get(unit, {}), "MemoryCurrent") for unit in parts.units),
        "processes": {
            name: {
                "running": sum(shown.get(unit, {}).get("ActiveState") == "active" for unit in units),
                "wanted": one.processes.get(name, len(units)),
            }
            for name, units in parts.processes.items()
        },
        "jobs": {
            name: job(shown.get(f"{one.name}.{name}.service", {}), shown.get(f"{one.name}.{name}.timer", {}))
            for name in parts.jobs
        },
        "certificate": certificate(one, look),
        "backup": backup(one, look),
    }


def units_of(parts: ReleaseParts, look: Look) -> dict[str, dict[str, str]]:
    """What systemd says of the units of an app; nothing where it does not answer."""
    try:
        return look.units(parts.names)
    except UncheckedError:
        return {}


def moment(shown: Mapping[str, str], name: str) -> str:
    """A time that systemd shows; "" for none."""
    at = seconds(shown.get(name, ""))
    return clock.timestamp(at) if at else ""


def workers(server: Mapping[str, str], name: str, release: str, look: Look) -> int:
    """How many workers the server has; 0 where that cannot be counted from outside."""
    main = number(server, "MainPID")
    is_counted = main and apps.server_settings(name, release, look).get("provider") in apps.COUNTED
    return apps.count({name: main}, look)[name] if is_counted else 0


def job(service: Mapping[str, str], timer: Mapping[str, str]) -> dict[str, str]:
    """When a job ran last and how that ended, and when it runs next."""
    last = moment(service, "ExecMainStartTimestamp") or moment(timer, "LastTriggerUSec")
    result = service.get("Result", "") if last else ""
    return {"last": last, "result": result, "next": moment(timer, "NextElapseUSecRealtime")}


def certificate(one: ExpectedApp, look: Look) -> dict[str, Any]:
    """Until when an app's certificate is valid, and whose it is."""
    try:
        there = certificates.read(one.name, look)
    except (UncheckedError, KeyError, ValueError):
        return {"until": "", "days": 0, "issuer": ""}
    days = int((there.ends - look.now) // clock.DAY)
    return {"until": clock.timestamp(there.ends), "days": days, "issuer": there.issuer}


def backup(one: ExpectedApp, look: Look) -> dict[str, Any]:
    """When an app was saved last, and when that was last restored for a drill."""
    try:
        found = backups.report(look).get("sets", {}).get(one.name) or {}
    except UncheckedError:
        found = {}
    drill = found.get("drill") or {}
    return {
        "last": str(found.get("last") or ""),
        "drill": str(drill.get("time", "")),
        "drill_ok": bool(drill.get("ok", True)),
    }
