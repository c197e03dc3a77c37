# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep several apps stopped while something is done to what they stand on, by the command of each."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..common.on_host import path
from ..common.programs import ENVIRONMENT
from ..common.text import line
from .errors import DatabaseError

SECONDS_TO_START = 600  # for an app to start again


class Standstill:
    """Nothing of the apps runs within the block. Each is started again when its command finds its stdin closed.

    :ivar notices: what the operator should know of the stop, by app.
    """

    def __init__(self, apps: Sequence[str], root: Path = Path("/")) -> None:
        self.apps = [app for app in apps if path("current", app, root).is_symlink()]
        self.command = str(path("programs", root=root) / "app")
        self.held: dict[str, subprocess.Popen[str]] = {}
        self.notices: list[str] = []

    def __enter__(self) -> Standstill:
        """Stop all of them at once, and wait until each is stopped."""
        try:
            for app in self.apps:
                self.held[app] = subprocess.Popen(
                    (self.command, app, "pause", "--json", "--by", "the upgrade of PostgreSQL"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=dict(ENVIRONMENT),
                )
            for app, process in self.held.items():
                self.notices += [f"{app}: {notice}" for notice in self.await_stop(app, process)]
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(self, *_error: Any) -> None:
        """Have all of them start again; a note on those that do not."""
        self.notices += self.release()

    def await_stop(self, app: str, process: subprocess.Popen[str]) -> list[str]:
        """Wait until an app is stopped; what its command has to say.

        :raises DatabaseError: it could not be stopped.
        """
        answer = process.stdout.readline(65536) if process.stdout else ""
        try:
            notices: list[str] = json.loads(answer)["notices"]
        except (ValueError, KeyError, TypeError):
            process.kill()
            _rest, why = process.communicate()
            raise DatabaseError(f"{app} could not be stopped: {line(why or answer, 500)}. Nothing was done") from None
        return notices

    def release(self) -> list[str]:
        """Let all of them go, and wait until they serve; a sentence for each that does not."""
        problems = []
        for process in self.held.values():
            if process.stdin:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        for app, process in self.held.items():
            process.stdin = None  # communicate() would flush it
            try:
                _rest, why = process.communicate(timeout=SECONDS_TO_START)
            except subprocess.TimeoutExpired:
                problems.append(f"{app}: it has not started again after {SECONDS_TO_START} s: look at `{app} status`")
                continue
            if process.returncode:
                problems.append(f"{app}: it did not start again: {line(why, 500)}")
        return problems
