# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deploy of an app at a time; whoever waits can read who is at work, since when, from where, and how far."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from .layout import ReleaseError, now

# A play that was killed leaves its module on the host running for a moment; the next one waits for it that long.
LOCK_SECONDS = 30.0


@dataclass
class Holder:
    """Who holds a lock."""

    app: str
    work: str
    by: str
    pid: int
    since: str
    step: str = ""

    def __str__(self) -> str:
        step = f", at step {self.step}" if self.step else ""
        return f"{self.work} by {self.by or 'root'} since {self.since} (process {self.pid}{step})"


class Lock:
    """An app's lock while it is held. It is the kernel's, so it goes with its holder, however he dies."""

    def __init__(self, stream: IO[str], holder: Holder) -> None:
        self.stream, self.holder = stream, holder
        self.write()

    def step(self, name: str) -> None:
        """Tell others how far the work is."""
        self.holder.step = name
        self.write()

    def write(self) -> None:
        self.stream.seek(0)
        self.stream.truncate()
        json.dump(asdict(self.holder), self.stream)
        self.stream.flush()


@contextmanager
def hold(path: Path, app: str, work: str, by: str, seconds: float | None = None) -> Iterator[Lock]:
    """Hold the lock of an app, waiting for it for a while; then raise ReleaseError naming the holder."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    until = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
    with open(path, "a+", encoding="utf-8") as stream:
        while not taken(stream):
            if time.monotonic() < until:
                time.sleep(0.2)
                continue
            raise ReleaseError(
                "lock",
                f"somebody else is at work: {read(path) or 'a program that does not say who it is'}. Wait for it; or, "
                f"if it is stuck, end it with `ansible-playbook groundwork.flask.unlock -e app={app}`, then run again",
            )
        yield Lock(stream, Holder(app, work, by, os.getpid(), now()))


def taken(stream: IO[str]) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read(path: Path) -> Holder | None:
    """Who wrote himself down as the holder last."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def holder(path: Path) -> Holder | None:
    """Who holds the lock now; None when it is free."""
    try:
        with open(path, "r+", encoding="utf-8") as stream:
            return None if taken(stream) else read(path)
    except FileNotFoundError:
        return None
