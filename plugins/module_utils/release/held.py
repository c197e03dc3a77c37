# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the engine that go on for as long as whoever asked for them: the pause of an app.

The order comes in the first line on the engine's stdin. That stays open; its end, be it that the caller was killed,
ends the pause. As with every run, another one waits until it is over.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import IO, cast

from ..common.programs import ENVIRONMENT
from ..common.text import printable
from . import work
from .errors import ReleaseError
from .layout import Layout
from .system import System
from .work import Order

ANSWER_LIMIT = 2**20  # bytes


@contextlib.contextmanager
def held(
    order: Order,
    system: System | None = None,
    program: Sequence[str] = work.PROGRAM,
    wait: float = work.WAIT_SECONDS,
) -> Iterator[list[str]]:
    """Have the engine pause an app for the time of the block; what the operator should know of it.

    :param wait: seconds that another run may go on before this one gives up.
    :raises ReleaseError: it could not be stopped, or not be started again.
    """
    system, at = system or System(), Layout(order.app)
    with begun(order, at, system, program, wait) as notices:
        yield notices
    finish(order, at, system)


@contextlib.contextmanager
def begun(order: Order, at: Layout, system: System, program: Sequence[str], wait: float) -> Iterator[list[str]]:
    """Begin when no other run is at work, and end with the block; what the run says once it has stopped everything."""
    until = time.monotonic() + wait
    while True:
        waited = work.await_other(at, system, until)
        with tempfile.TemporaryFile() as errors, subprocess.Popen(
            work.command(order, program), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=errors, env=ENVIRONMENT, cwd="/", start_new_session=True,
        ) as process:  # fmt: skip
            stdin, stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
            with contextlib.suppress(BrokenPipeError):
                stdin.write(json.dumps(asdict(order)).encode() + b"\n")
                stdin.flush()
            if answer := stdout.readline(ANSWER_LIMIT):
                try:
                    yield [*waited, *json.loads(answer)["notices"]]
                finally:
                    stdin.close()
                    process.wait()
                return
            with contextlib.suppress(BrokenPipeError):
                stdin.close()
            process.wait()
            errors.seek(0)
            output = errors.read(ANSWER_LIMIT).decode(errors="replace")
        if work.result_of(at, order):
            finish(order, at, system)
        if not (work.is_taken(output) and work.active_run(order.app, system)):
            work.make_room(order, printable(output), system, until)


def finish(order: Order, at: Layout, system: System) -> None:
    """Raise what the engine raised; start the app again if the engine was ended before it could."""
    ended = work.result_of(at, order)
    if error := ended.get("error"):
        raise ReleaseError(error["step"], error["message"], error["log"])
    if not ended:
        raise ReleaseError(
            "engine", f"{order.description} was ended before it was over; {work.aftermath(order, system)}"
        )
