# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apps and units that stand still while files are replaced."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

from ..common import programs
from ..common.files import make_parents, write
from ..common.locks import locked
from ..common.paused import PauseError, paused
from ..common.systemd import SYSTEMCTL
from .config import Config
from .errors import BackupError, TimeLimitError, limited

STOP_SECONDS = 600


@contextlib.contextmanager
def stopped(config: Config, name: str) -> Iterator[list[str]]:
    """Keep an app, or a unit, stopped for the time of the block; what the operator should know of it.

    :param name: of an app, which the release engine stops with all that runs for it; or of a unit, with its suffix, as
        ``shop.service``; "" for none.
    """
    try:
        with contextlib.ExitStack() as stack:
            notices: list[str] = []
            if "." in name:
                stack.enter_context(unit_stopped(config, name))
            elif name:
                notices = stack.enter_context(paused(name, "a restore"))
            yield notices
    except PauseError as error:
        raise BackupError(str(error)) from error


@contextlib.contextmanager
def unit_stopped(config: Config, unit: str, again: bool = False) -> Iterator[None]:
    """Keep a unit stopped; a start meanwhile waits, so that requests to its socket queue and none is refused.

    The unit waits for a lock that this process holds, so that it starts even if this process is killed.

    :param again: have it so wait at once; for a unit that no socket starts.
    """
    if not re.fullmatch(r"[A-Za-z0-9@._:-]+", unit) or unit.startswith((".", "-")):
        raise BackupError(f"{unit!r} is not the name of a unit")
    lock = config.runtime / f"restore-{unit}.lock"
    drop_in = Path(f"/run/systemd/system/{unit}.d/50-groundwork-restore.conf")
    try:
        with locked(lock):
            make_parents(drop_in)
            wait = f"ExecStartPre=+/usr/bin/flock {lock} /usr/bin/true"
            # The sandbox of a unit may hide the directory of the lock, also from what runs before its program.
            seen = f"BindReadOnlyPaths={lock}\n" if again else ""
            write(drop_in, f"[Service]\nTimeoutStartSec=infinity\n{seen}{wait}\n", 0o644)
            try:
                systemctl("daemon-reload")
                if again:
                    restart_waiting(unit)
                else:
                    stop(unit)
                yield
            finally:
                drop_in.unlink()
                with contextlib.suppress(OSError):
                    drop_in.parent.rmdir()
                systemctl("daemon-reload")
    finally:
        systemctl("start", unit)


def restart_waiting(unit: str) -> None:
    """Restart a unit that something in front of its program has wait, and return when that waits."""
    systemctl("restart", "--no-block", unit)
    with limited(STOP_SECONDS, f"stopping {unit}"):
        while programs.run((SYSTEMCTL, "show", "--value", "--property=SubState", unit)).stdout.strip() != "start-pre":
            time.sleep(0.05)


def stop(unit: str) -> None:
    """Stop a unit, and kill it if it has not stopped in time: a service can ask systemd for ever more of it."""
    try:
        with limited(STOP_SECONDS, f"stopping {unit}"):
            systemctl("stop", unit)
    except TimeLimitError:
        systemctl("kill", "--signal=KILL", unit)
        systemctl("stop", unit)


def systemctl(*arguments: str) -> None:
    """Run systemctl; raises BackupError with its output when it fails."""
    done = programs.run((SYSTEMCTL, *arguments))
    if done.returncode:
        raise BackupError(f"systemctl {' '.join(arguments)}: {programs.explanation(done)}")
