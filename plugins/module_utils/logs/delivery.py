# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands a batch to the command of the user: it is delivered if, and only if, the command exits with 0."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ..common import programs
from ..common.text import line

SECONDS = 60.0  # that the command may take for a batch
ERROR_LIMIT = 4000  # bytes at the end of what it prints that are kept


def deliver(command: str, payload: bytes, environment: Mapping[str, str]) -> str:
    """Run the command with a batch as its standard input; why it is not delivered, and nothing if it is."""
    try:
        with Path(os.devnull).open("wb") as nowhere:
            done = programs.run(
                ("/bin/sh", "-c", command),
                seconds=SECONDS,
                environment=environment,
                payload=payload,
                stdout=nowhere,
                limit=ERROR_LIMIT,
            )
    except subprocess.TimeoutExpired:
        return f"it took more than {SECONDS:.0f} s"
    except OSError as error:
        return f"it could not be started: {error.strerror}"
    if done.returncode == 0:
        return ""
    reason, printed = f"exit status {done.returncode}", line(done.stderr)
    return f"{reason}: {printed}" if printed else reason
