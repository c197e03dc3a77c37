# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps an app stopped: its web server, processes, jobs and pooler, for programs that exchange its data."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from .on_host import on_host, path
from .programs import ENVIRONMENT

PROGRAM = f"{on_host('programs')}/app"
INSTALL = "run groundwork.flask.site, or the role release with its tag release_program"
ANSWER_LIMIT = 2**20  # bytes


class PauseError(Exception):
    """The app could not be stopped, or not be started again; the message says why."""


@contextlib.contextmanager
def paused(app: str, by: str, root: Path = Path("/"), program: str = PROGRAM) -> Iterator[list[str]]:
    """Keep everything of an app stopped for the time of the block; its visitors wait.

    The engine does so, in the unit that is its lock: a deploy that is at work is waited for, and one that is asked for
    meanwhile waits. When this process is killed, the app is started again. Nothing is done for an app of which no
    release is live.

    :param by: who asks for it, as in ``a restore``.
    :returns: what the operator should know, such as the job that was ended for it.
    :raises PauseError: it could not be stopped, and the block does not run; or not be started again, after the block.
    """
    if not os.path.lexists(path("current", app, root)):
        yield []
        return
    if not os.access(program, os.X_OK):
        raise PauseError(f"the release engine is not on this host, so {app} cannot be stopped: {INSTALL}")
    with subprocess.Popen(
        (program, app, "pause", "--json", "--by", by), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=ENVIRONMENT, cwd="/", start_new_session=True,
    ) as process:  # fmt: skip
        stdin = cast(IO[bytes], process.stdin)
        answer = cast(IO[bytes], process.stdout).readline(ANSWER_LIMIT)
        try:
            if answer:
                yield list(json.loads(answer)["notices"])
        finally:
            stdin.close()
            message = cast(IO[bytes], process.stderr).read(ANSWER_LIMIT).decode(errors="replace")
            process.wait()
    if process.returncode or not answer:
        raise PauseError(message.strip() or f"{app} could not be stopped")
