"""A server that takes over systemd's socket, says that it is ready, and answers with what it can do in its sandbox."""

from __future__ import annotations

import getpass
import json
import mmap
import os
import socket
import socketserver
from http.server import BaseHTTPRequestHandler
from pathlib import Path


def possible(path: str) -> bool:
    """Whether a path can be listed, or written to when it ends with a star."""
    try:
        if path.endswith("*"):
            Path(path[:-1], "probe").write_text("x")
        else:
            os.listdir(path)
    except OSError:
        return False
    return True


def writes_and_executes() -> bool:
    """Whether memory can be written and executed at once."""
    try:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the facts."""

    def do_GET(self) -> None:
        paths = [
            "/home",
            "/srv/jit",
            "/srv/shop",
            "/var/lib/jit",
            "/var/lib/shop*",
            "/srv/shop/releases/r1/code*",
            "/tmp*",
        ]
        facts = {
            "user": getpass.getuser(),
            "colour": os.environ["COLOUR"],
            "possible": [path for path in paths if possible(path)],
            "writes_and_executes": writes_and_executes(),
            "pid": os.getpid(),
        }
        print("asked", self.path, flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(facts).encode())

    def address_string(self) -> str:
        return "socket"


class Server(socketserver.UnixStreamServer):
    """Serves on descriptor 3."""

    def __init__(self) -> None:
        super().__init__("", Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=3)


with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    server = Server()
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever()
