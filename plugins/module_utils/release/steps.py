# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that act for an app, or build it: each runs as the app's user in a transient unit with a sandbox."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ..common.systemd import Directives, TransientUnit, runtime_limit
from ..common.text import printable
from .layout import Layout

OUTPUT_LIMIT = 2**20  # bytes; the end of a step's output is kept


@dataclass(frozen=True)
class Step:
    """A command that acts for an app: it runs as the app's user, in a transient systemd unit with a sandbox.

    :ivar app: the app.
    :ivar name: what it does, in one word; part of the unit's name.
    :ivar argv: the command.
    :ivar sandbox: the unit's directives.
    :ivar environment: all of its environment.
    :ivar cwd: its working directory.
    :ivar seconds: after which it is killed with all that it started.
    :ivar stdin: what it reads; nothing by default.
    :ivar group: the group that it runs as; the app's by default, which it has beside another one.
    """

    app: str
    name: str
    argv: Sequence[str]
    sandbox: Directives
    environment: Mapping[str, str]
    cwd: str
    seconds: float
    stdin: IO[Any] | None = None
    group: str = ""

    def command(self, unit: str, *more: str) -> list[str]:
        """The command line that starts it; its environment is in a file, where no list of processes shows it."""
        properties = [
            ("User", self.app),
            ("Group", self.group or self.app),
            *([("SupplementaryGroups", self.app)] if self.group else []),
            ("WorkingDirectory", self.cwd),
            ("EnvironmentFile", str(environment_file(self.app, unit))),
            runtime_limit(self.seconds),
            *self.sandbox,
        ]
        return TransientUnit(unit, f"{self.name} of {self.app}", self.argv, properties).command(*more)


def environment_file(app: str, unit: str) -> Path:
    """Where the environment of a step stands while it runs; root's alone."""
    return Layout(app).run / f"{unit}.env"


def end_of(process: subprocess.Popen[bytes], heard: Callable[[bytes], None] | None = None) -> str:
    """Read what a process prints until it ends; the end of the output, as printable text.

    The end of the process counts, not that of the pipe: a process that it left behind may hold the pipe open.

    :param heard: called with each block as it comes, and with an empty one at the end.
    """
    stream = cast("IO[bytes]", process.stdout)
    os.set_blocking(stream.fileno(), False)
    # Not select(2), which takes no descriptor above 1023: the visitors of an exclusive deploy have many.
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    kept, over = b"", False
    while not over:
        over = process.poll() is not None
        poll.poll(0 if over else 100)
        block = stream.read(OUTPUT_LIMIT)
        if block == b"":
            process.wait()
            over = True
        kept = (kept + (block or b""))[-OUTPUT_LIMIT:]
        if heard and (block or over):
            heard(block or b"")
    return printable(kept.decode(errors="replace"))
