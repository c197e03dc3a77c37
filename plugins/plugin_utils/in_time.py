# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several calls at the same time, none of which is waited for beyond a deadline."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")

WORKERS = 64


def in_time(calls: Mapping[Key, Callable[[], Result]], seconds: float) -> dict[Key, Result]:
    """The results of those calls that end in time; a call that raises has none.

    Name resolution takes no timeout, so a call that is late is left behind in a thread that the process does not wait
    for at its end: the threads of ``concurrent.futures`` are waited for.

    :param seconds: for all of them together; calls that have not begun by then never do.
    """
    waiting: queue.SimpleQueue[tuple[Key, Callable[[], Result]]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Key, Result] | None] = queue.SimpleQueue()
    deadline = time.monotonic() + seconds
    for one in calls.items():
        waiting.put(one)

    def work() -> None:
        while time.monotonic() < deadline:
            try:
                key, call = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((key, call()))
            except Exception:  # whatever a server's answer makes a parser raise: the others are still asked
                done.put(None)

    for _number in range(min(WORKERS, len(calls))):
        threading.Thread(target=work, daemon=True).start()
    found: dict[Key, Result] = {}
    for _call in calls:
        try:
            result = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if result:
            found[result[0]] = result[1]
    return found
