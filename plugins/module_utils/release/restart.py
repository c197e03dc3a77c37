# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts one process of the live release, or its server."""

from __future__ import annotations

import time

from . import checks
from .errors import ReleaseError
from .process_command import WEB
from .supervisor import Supervisor
from .units import ReleaseUnits

# A process that has just finished its job gets so many looks, so many seconds apart, to be up again.
LOOKS, PAUSE = 40, 0.25


def restart(supervisor: Supervisor, release: str | None, process: str) -> None:
    """Restart a process, which finishes its job first, or the server, whose visitors wait in its socket meanwhile.

    :param process: its name; ``web`` for the server.
    :raises ReleaseError: there is no such process, or it does not run afterwards.
    """
    found = ReleaseUnits.of(supervisor.at, release) if release else ReleaseUnits(())
    names = [unit.name for unit in found.units if process == (WEB if unit.kind == WEB else unit.process)]
    if not release or not process or not names:
        have = dict.fromkeys([WEB, *(unit.process for unit in found.units if unit.process)]) if release else ()
        raise ReleaseError(
            "choose", f"{process!r} is no process of {supervisor.at.app}; it has {', '.join(have) or 'none'}"
        )
    began = time.time()
    if process == WEB:
        restart_server(supervisor, release, names[0], began)
    else:
        restart_processes(supervisor, release, names, began)


def restart_server(supervisor: Supervisor, release: str, server: str, began: float) -> None:
    """Restart the server, and wait until it answers."""
    limit = supervisor.system.time_limit(server, "Stop") + supervisor.system.time_limit(server, "Start")
    supervisor.system.systemctl("restart", server, seconds=limit)
    health = {"host": "localhost", "path": "/", "timeout": 60, **supervisor.health(release)}
    sock = supervisor.at.release(release) / "app.sock"
    supervisor.raise_if(supervisor.wait_until_healthy(server, sock, health), began)


def restart_processes(supervisor: Supervisor, release: str, names: list[str], began: float) -> None:
    """Have processes start anew, each when it has finished its job, and see that those that have do stay up."""
    supervisor.process_units.load(release)
    supervisor.system.systemctl("restart", "--no-block", *names)
    supervisor.system.sleep(checks.STABLE_SECONDS)
    ending = supervisor.ending(names)
    begun = {name: 0 for name in names if name not in ending}
    failure = supervisor.not_up(begun)
    for _look in range(LOOKS):
        if not failure or any(supervisor.system.restarts(name) for name in begun):
            break
        supervisor.system.sleep(PAUSE)
        failure = supervisor.not_up(begun)
    supervisor.raise_if(failure, began)
