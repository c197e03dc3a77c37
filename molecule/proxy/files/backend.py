"""A small application on a unix socket, for the tests of the proxy: it tells what reached it.

Usage: backend.py SOCKET
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from urllib.parse import parse_qsl

OWN_HEADERS = {
    "Strict-Transport-Security": "max-age=1",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Retry-After": "77",
    "X-Powered-By": "a secret",
    "Server": "backend/1.2.3",
}


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked, as JSON; some paths do something else."""

    protocol_version = "HTTP/1.1"
    tries = kept = 0
    next_event = threading.Semaphore(0)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/slow"):
            time.sleep(8)
        if path == "/die":
            self.close_connection = True
        elif path == "/fourth-try":
            Handler.tries += 1
            if Handler.tries % 4:
                self.close_connection = True
            else:
                self.answer(200, "the fourth try")
        elif path.endswith("/drip"):
            self.drip()
        elif path == "/next-event":
            Handler.next_event.release()
            self.answer(200, "")
        elif path.startswith("/kept"):
            Handler.kept += 1
            text = f"answer {Handler.kept} to {self.headers.get('Cookie', 'nobody')}"
            self.answer(200, text, dict(parse_qsl(self.path.partition("?")[2])))
        elif path == "/echo":
            self.echo()
        elif path == "/missing":
            self.answer(404, "the app's own 404")
        elif path == "/error":
            self.answer(500, "the app's own 500")
        elif path == "/own-headers":
            self.answer(503, "the app's own 503", OWN_HEADERS)
        elif path == "/frames":
            self.answer(200, "framed by all", {"Content-Security-Policy": "frame-ancestors *"})
        elif path == "/long":
            self.answer(200, "words " * 1000, {"Set-Cookie": "x=" + "y" * 6000})
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer(
                200,
                json.dumps(
                    {
                        "method": self.command,
                        "path": self.path,
                        "headers": [[name.lower(), value] for name, value in self.headers.items()],
                        "body_bytes": len(body),
                        "socket": sys.argv[1],
                    }
                ),
            )

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def drip(self) -> None:
        """Send events as server-sent events come: each but the first when a visitor has asked for the next one."""
        self.send_response_only(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number in range(4):
            self.wfile.write(f"data: {number}\n\n".encode())
            Handler.next_event.acquire(timeout=60)
        self.close_connection = True

    def echo(self) -> None:
        """Say back what is said, as a WebSocket might."""
        self.send_response_only(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        while said := self.connection.recv(1000):
            self.wfile.write(said)
        self.close_connection = True

    def answer(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        """Send the text, always with its length."""
        body = text.encode()
        self.send_response_only(status)
        for name, value in {"Content-Type": "text/html", "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Stay silent; the peer of a unix socket has no address."""


class Server(ThreadingUnixStreamServer):
    request_queue_size = 1024
    daemon_threads = True


if __name__ == "__main__":
    socket = Path(sys.argv[1])
    socket.unlink(missing_ok=True)
    with Server(str(socket), Handler) as server:
        server.serve_forever()
