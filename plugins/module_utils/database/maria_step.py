# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acts for an app in the middle of what root does: a transient unit, as the app's user, that reaches a socket."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Sequence

from ..common import programs, systemd
from ..common.on_host import on_host
from ..common.systemd import Directives
from .errors import DatabaseError

Step = Callable[[str, Sequence[str], str], str]
SECONDS = 600.0
NUMBERS = itertools.count(1)
# It has the system to read, unix sockets to talk to, and nothing to write.
SANDBOX: Directives = [
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectControlGroups", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateNetwork", "yes"),
    ("PrivateUsers", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX"),
    ("RestrictNamespaces", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallErrorNumber", "EPERM"),
    ("TemporaryFileSystem", " ".join(f"{on_host(above)}:ro" for above in ("homes", "datas", "caches", "runtime"))),
    ("KillMode", "control-group"),
    ("LimitCORE", "0"),
    ("TasksMax", "64"),
    ("UMask", "0077"),
]


def in_unit(app: str, argv: Sequence[str], payload: str) -> str:
    """Run a command of ours as an app's user; what it prints, which is data.

    :param payload: its standard input.
    :raises DatabaseError: it fails.
    """
    name = f"groundwork-database-{os.getpid()}-{next(NUMBERS)}.service"
    properties = [("User", app), *SANDBOX, systemd.runtime_limit(SECONDS)]
    unit = systemd.TransientUnit(name, f"{app}: a step of its database", argv, properties)
    command = unit.command("--pipe", "--wait", "--collect")
    try:
        done = programs.run(command, seconds=SECONDS + 30, payload=payload.encode(), limit=programs.ANSWER_LIMIT)
    except subprocess.TimeoutExpired:
        raise DatabaseError(f"MariaDB: a step of {app} took more than {SECONDS:.0f} s") from None
    except BaseException:
        programs.run((systemd.SYSTEMCTL, "stop", name))
        raise
    if done.returncode:
        raise DatabaseError(f"MariaDB: {programs.explanation(done)}")
    return done.stdout
