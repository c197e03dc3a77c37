# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units that stand still while files are replaced."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from ..common import programs
from ..common.files import make_parents, write
from ..common.locks import locked
from ..common.systemd import SYSTEMCTL
from .config import Config
from .errors import BackupError, TimeLimitError, limited

STOP_SECONDS = 600


@contextlib.contextmanager
def stopped(config: Config, unit: str) -> Iterator[None]:
    """Keep a unit stopped; a start meanwhile waits, so that requests to its socket queue and none is refused.

    The unit waits for a lock that this process holds, so that it starts even if this process is killed.
    """
    if not unit:
        yield
        return
    if not re.fullmatch(r"[A-Za-z0-9@._:-]+", unit) or unit.startswith((".", "-")):
        raise BackupError(f"{unit!r} is not the name of a unit")
    lock = config.runtime / f"restore-{unit}.lock"
    drop_in = Path(f"/run/systemd/system/{unit}.d/50-groundwork-restore.conf")
    try:
        with locked(lock):
            make_parents(drop_in)
            wait = f"ExecStartPre=+/usr/bin/flock {lock} /usr/bin/true"
            write(drop_in, f"[Service]\nTimeoutStartSec=infinity\n{wait}\n", 0o644)
            try:
                systemctl("daemon-reload")
                stop(unit)
                yield
            finally:
                drop_in.unlink()
                with contextlib.suppress(OSError):
                    drop_in.parent.rmdir()
                systemctl("daemon-reload")
    finally:
        systemctl("start", unit)


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
