"""An error tracker for tests: takes envelopes of the Sentry SDK on loopback and appends each event to a file, as JSON.

`python3 error_tracker.py PORT FILE` runs one on a host; its standard library is enough.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def items(envelope: bytes) -> Iterator[dict[str, Any]]:
    """The items of an envelope, each with its type as ``item``."""
    lines = envelope.split(b"\n")
    for header, payload in zip(lines[1::2], lines[2::2], strict=False):
        yield {"item": json.loads(header)["type"], **json.loads(payload)}


class Tracker(ThreadingHTTPServer):
    """Answers each envelope with a status, and keeps it.

    :ivar seconds: how long it takes for each.
    :ivar raw: all that was sent, unpacked.
    """

    daemon_threads = True

    def __init__(self, port: int = 0, file: Path | None = None, status: int = 200) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.file, self.status = file, status
        self.seconds = 0.0
        self.raw: list[bytes] = []
        self.lock = threading.Lock()

    @property
    def dsn(self) -> str:
        """Where an app sends its errors."""
        return f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{self.server_address[1]}/1"

    def keep(self, raw: bytes) -> None:
        """Note an envelope."""
        with self.lock:
            self.raw.append(raw)
            if self.file:
                with self.file.open("a") as file:
                    file.writelines(json.dumps(item) + "\n" for item in items(raw))

    def events(self) -> list[dict[str, Any]]:
        """The events so far."""
        return [item for raw in self.raw for item in items(raw) if item["item"] == "event"]


class Handler(BaseHTTPRequestHandler):
    """One envelope."""

    server: Tracker

    def do_POST(self) -> None:
        """Take it."""
        time.sleep(self.server.seconds)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        raw = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.server.keep(b'{}\n{"type": "event"}\n' + raw if self.path.endswith("/store/") else raw)  # of SDK 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_arguments: Any) -> None:
        """Not to the terminal."""


if __name__ == "__main__":
    Tracker(int(sys.argv[1]), Path(sys.argv[2])).serve_forever()
