"""For what another process or a time limit decides: a busy machine is waited for, and only what never comes fails."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE = 60.0  # seconds after which a test that waits fails
# For what is cut off by a time limit of its own: the first is what a quiet machine needs, and costs little.
LIMITS = (0.5, 5.0, 50.0)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process or thread does."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not come about")


def has_ended(pid: int) -> bool:
    """Whether a process is gone; one that nobody waits for counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def written_by(file: Path, cut_off: Callable[[float], object]) -> str:
    """What a program writes to a file before it is cut off by a time limit.

    Where the machine was too busy for the program to come so far, it is run again with a longer limit.

    :param cut_off: runs it with a limit in seconds.
    """
    for seconds in LIMITS:
        file.unlink(missing_ok=True)
        cut_off(seconds)
        with contextlib.suppress(FileNotFoundError):
            if text := file.read_text().strip():
                return text
    pytest.fail(f"it had not come so far within {LIMITS[-1]:g} s")
