"""Receivers of alerts on the loopback of a host: HTTP on one port, SMTP on the next. What arrives is a line of JSON.

Usage: receivers.py PORT FILE
"""

from __future__ import annotations

import http.server
import json
import socketserver
import sys
import threading
from pathlib import Path

PORT, FILE = int(sys.argv[1]), Path(sys.argv[2])


def keep(**arrived: object) -> None:
    """Append what has arrived."""
    with FILE.open("a") as stream:
        stream.write(json.dumps(arrived) + "\n")


class Http(http.server.BaseHTTPRequestHandler):
    """Takes whatever comes, but for what goes to /gone."""

    def do_POST(self) -> None:
        """Keep and answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        keep(method=self.command, path=self.path, body=body)
        self.send_response(404 if self.path.startswith("/gone") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Smtp(socketserver.StreamRequestHandler):
    """As much of SMTP as one mail needs."""

    def handle(self) -> None:
        """Keep each mail."""
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline().decode().strip().upper():
            if line == "DATA":
                self.wfile.write(b"354 go on\r\n")
                mail = b"".join(iter(self.rfile.readline, b".\r\n"))
                keep(method="MAIL", path="", body=mail.decode())
            self.wfile.write(b"221 bye\r\n" if line == "QUIT" else b"250 ok\r\n")


socketserver.ThreadingTCPServer.allow_reuse_address = True
threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Http).serve_forever).start()
socketserver.ThreadingTCPServer(("127.0.0.1", PORT + 1), Smtp).serve_forever()
