# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in the app's own environment, as its user: runs ``probe.py``, and ends an import that does not return.

The engine passes this file's text to the release's Python, with the seconds that the import may take and the text of
the probe. An import that becomes a server ends within seconds, with :data:`BLOCKED` and one JSON object as the last
line of output; any other that does not return ends when its time is up, with the tracebacks of all threads.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
import sysconfig
from _socket import SO_ACCEPTCONN, SOL_SOCKET
from _socket import socket as Socket  # noqa: N812 - Python's own, whatever an app patches
from _thread import get_ident, start_new_thread  # as they are before an app patches them
from collections.abc import Iterator
from time import monotonic, process_time, sleep
from types import FrameType
from typing import Any

BLOCKED = "groundwork-blocked:"
TIMED_OUT = "Timeout ("  # as faulthandler begins
# What serves and does not return, by module and function: it is ended before it listens.
SERVERS = frozenset(
    (
        ("aiohttp.web", "run_app"),
        ("flask.app", "run"),
        ("flask_socketio", "run"),
        ("gevent.baseserver", "serve_forever"),
        ("uvicorn.main", "run"),
        ("uvicorn.server", "run"),
        ("waitress", "serve"),
        ("werkzeug.serving", "run_simple"),
    )
)
# Once something listens, any other call that lasts for so many seconds, with Python all but idle, waits for requests
# and will not return.
PATIENCE, IDLE_SHARE = 5.0, 0.1
# How functions are called that wait for a connection.
WAITING = frozenset(("serve_forever", "handle_request", "accept"))
STANDARD_LIBRARY = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib"))


def main() -> None:
    """Run the probe under watch."""
    seconds, program = float(sys.argv.pop(1)), sys.argv.pop(1)
    # In a C thread, because an extension module may never let Python go on.
    faulthandler.dump_traceback_later(seconds, exit=True)
    Watch(os.environ.get("WSGI_APP", ""))
    exec(program, {"__name__": "__main__"})  # noqa: S102 - it is the engine's own


class Watch:
    """Ends an import that becomes a server: the thread that imports listens, in a call that does not return.

    What another thread listens for is the app's business, and so is a call that listens and returns, as an exporter of
    metrics does.

    :param wsgi_app: what is imported; its package may be an installed one.
    """

    def __init__(self, wsgi_app: str) -> None:
        self.package = wsgi_app.partition(":")[0].partition(".")[0]
        self.thread, self.process = get_ident(), os.getpid()
        self.bound: list[tuple[FrameType, int, Any, int]] = []
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at a stream socket that is about to be bound, with the code of the app that wants it."""
        if event != "socket.bind" or get_ident() != self.thread or os.getpid() != self.process:
            return
        frames = list(callers(sys._getframe(1)))
        call = next((frame for frame in frames if self.is_of_app(frame)), None)
        if call is None or getattr(arguments[0], "type", None) != 1:  # SOCK_STREAM; the module may be a patched one
            return
        if SERVERS & {(frame.f_globals.get("__name__"), frame.f_code.co_name) for frame in frames}:
            end(call)
        greenlets = sys.modules.get("greenlet")
        self.bound.append((call, call.f_lineno, greenlets and greenlets.getcurrent(), arguments[0].fileno()))
        if len(self.bound) == 1:
            start_new_thread(self.wait, ())

    def wait(self) -> None:
        """End the import if it stays in a call that listens and waits there, until Python ends."""
        before, began, used = None, 0.0, 0.0
        while True:
            call = self.waiting_call()
            if call is None or call is not before or process_time() - used > PATIENCE * IDLE_SHARE:
                before, began, used = call, monotonic(), process_time()
            elif monotonic() - began > PATIENCE:
                end(call)
            sleep(0.2)

    def waiting_call(self) -> FrameType | None:
        """The code of the app that listens and has not gone on since, or waits for a connection now."""
        # Not each that is bound listens: urllib3, when it is imported, sees by one whether the host has IPv6.
        listening = [found for found in self.bound if listens(found[3])]
        call, line, greenlet, _number = (listening or self.bound)[-1]
        # The greenlet that imports may wait while another one has the thread.
        frames = [*callers(sys._current_frames().get(self.thread)), *callers(greenlet and greenlet.gr_frame)]
        if listening and call.f_lineno == line and call in frames:  # one that has returned keeps its line
            return call
        names = {frame.f_code.co_name for frame in frames}
        if WAITING & names or ("run_forever" in names and "run_until_complete" not in names):
            return next((frame for frame in frames if self.is_of_app(frame)), None)
        return None

    def is_of_app(self, frame: FrameType) -> bool:
        """Whether a frame is the app's: no other package's, nor Python's own, nor the entry's."""
        path, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] == self.package:
            return True
        installed = "/site-packages/" in path or "/dist-packages/" in path or path.startswith((*STANDARD_LIBRARY, "<"))
        return not installed and module != "groundwork_wsgi"


def listens(number: int) -> bool:
    """Whether a file descriptor is a socket that listens."""
    try:
        found = Socket(fileno=os.dup(number))
        answer = found.getsockopt(SOL_SOCKET, SO_ACCEPTCONN)
        found.close()
    except OSError:
        return False
    return bool(answer)


def end(call: FrameType) -> None:
    """Name a call, and end Python."""
    found = {"file": call.f_code.co_filename, "line": call.f_lineno}
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os.write(1, f"\n{BLOCKED}{json.dumps(found)}\n".encode())
    os._exit(1)


def callers(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame, and those that have called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


if __name__ == "__main__":
    main()
