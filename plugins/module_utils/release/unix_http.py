# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to an app through the socket of a release."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..common.text import printable


@dataclass(frozen=True)
class Response:
    """The answer of a server: the status, the beginning of the body, and the target of a redirect."""

    status: int
    body: str = ""
    location: str = ""


def ask(sock: Path, host: str, path: str, seconds: float) -> Response:
    """GET a path through a release's own socket as the proxy would, over HTTPS as far as the app can tell.

    :raises OSError: and HTTPException, when there is no whole answer within ``seconds``.
    """
    connection = UnixConnection(sock, seconds)
    forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host}
    # A timeout of the socket would begin anew with each byte.
    over = threading.Timer(seconds, connection.cut)
    over.daemon = True
    over.start()
    try:
        connection.request("GET", path, headers={"Host": host, "User-Agent": "groundwork-health", **forwarded})
        response = connection.getresponse()
        body = printable(response.read(20_000).decode(errors="replace"))
        if connection.is_cut:  # what was cut may look like the end of an answer
            raise TimeoutError(f"no whole answer within {seconds:g} s")
        return Response(response.status, body, printable(response.getheader("Location") or ""))
    finally:
        over.cancel()
        connection.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path
        self.is_cut = False
        # A connection lets go of its own once an answer says that it will be closed.
        self.kept: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = self.kept = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def cut(self) -> None:
        """End the conversation, whatever is awaited."""
        self.is_cut = True
        if self.kept:
            with suppress(OSError):
                self.kept.shutdown(socket.SHUT_RDWR)
