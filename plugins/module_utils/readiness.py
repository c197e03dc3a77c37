# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is one that the roles can set up at all: its init, its file systems, its clock."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common import kernel
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

WRITTEN = ("/etc", "/usr/local", "/var", on_host("homes"))
TIME_ERROR = 5  # what adjtimex(2) returns while nothing keeps the clock right


def readiness(root: Path = Path("/")) -> dict[str, Any]:
    """What ``plugin_utils/readiness.py`` judges."""
    return {
        "systemd": (root / "run/systemd/system").is_dir(),
        "read_only": read_only(),
        "time": time.time(),
        # The clock of a container is that of its machine, and kept right there or nowhere.
        "synchronized": bool(kernel.container(root)) or is_synchronized(),
    }


def read_only() -> list[str]:
    """The directories that the roles write to and that are on a read-only file system."""
    found = []
    for place in WRITTEN:
        try:
            if os.statvfs(place).f_flag & os.ST_RDONLY:
                found.append(place)
        except OSError:
            continue
    return found


def is_synchronized() -> bool:
    """Whether something keeps the clock right, by what it told the kernel; true where the kernel does not say."""
    try:
        # struct timex, zeroed: a question that changes nothing.
        return bool(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024)) != TIME_ERROR)
    except (OSError, AttributeError):
        return True
