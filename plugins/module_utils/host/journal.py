# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system's journal: journald runs with what its files say. Those of apps' namespaces have their own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ..common.systemd import SYSTEMCTL
from .machine import Machine

PART = "journal"
FILE = "etc/systemd/journald.conf.d/90-groundwork.conf"
UNIT = "systemd-journald.service"
JOURNALCTL = "/usr/bin/journalctl"


def keep(machine: Machine, _wanted: Mapping[str, Any]) -> None:
    """Restart journald when it has not loaded the file; it keeps the streams of all services meanwhile."""
    try:
        text = machine.path(FILE).read_bytes()
    except OSError:
        return
    loaded = {"loaded": hashlib.sha256(text).hexdigest()}
    if machine.before(PART) != loaded and reload(machine) and not machine.dry_run:
        machine.forget(PART)
        machine.remember(PART, loaded)


def put_back(machine: Machine) -> None:
    """Have journald load its files without the role's; what was logged stays."""
    if machine.before(PART) and reload(machine) and not machine.dry_run:
        machine.forget(PART)


def reload(machine: Machine) -> bool:
    """Have journald read its files again, and write what it has in memory to the disk if they say so."""
    if not machine.does("journald restarted with its new settings"):
        return True
    return machine.succeeds(SYSTEMCTL, "restart", UNIT) and machine.succeeds(JOURNALCTL, "--flush")
