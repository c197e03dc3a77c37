# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report shows of a host beside the findings: what it is, what it has, and how each app stands."""

from __future__ import annotations

import os
from typing import Any

from ..common import clock
from ..common.text import line
from ..release.layout import Layout
from ..release.ledger import Ledger
from . import resources
from .expected import Expected, ExpectedApp
from .look import Look


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
    }


def app(one: ExpectedApp, look: Look) -> dict[str, Any]:
    """The live release of an app, since when, and what runs of it."""
    at = Layout(one.name, look.root)
    release = at.live() or ""
    event = Ledger(at).last("live", release) if release else {}
    return {
        "domains": list(one.domains),
        "release": release,
        "version": line(str(event.get("version", ""))),
        "since": str(event.get("time", "")),
        "by": line(str(event.get("by", ""))),
        "state": "",
        "started": "",
        "restarts": 0,
        "workers": 0,
        "memory": 0,
        "processes": {},
        "jobs": {},
        "certificate": {"until": "", "days": 0, "issuer": ""},
        "backup": {"last": "", "drill": "", "drill_ok": True},
    }
