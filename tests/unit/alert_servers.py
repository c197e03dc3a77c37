"""Receivers for tests: small servers on the loopback that answer as told, and keep what they were sent."""

from __future__ import annotations

import contextlib
import email
import email.policy
import http.server
import json
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.watch.message import Message, compose
from ansible_collections.groundwork.flask.plugins.module_utils.watch.records import Change, Condition

CANARY = "canary-f3b1"
HOSTILE = (
    "a\r\nBcc: x@example.org\r\n\r\n.\r\n`\x1b[2J\u202e</x><!channel> @everyone ```![x](http://evil.example/x) \x00end"
)


def a_message(text: str = "It answers 500.", severity: str = "critical") -> Message:
    """A message of one alert, with this as its sentence and its log line."""
    condition = Condition("health", "shop", message=text, line=text, command="shop logs", severity=severity, since=990)  # type: ignore[arg-type]
    found = compose([Change("alert", condition, "web1", 1000)])
    assert found
    return found


class Answering(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Keeps what it was sent, and answers as told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.drip, self.hang = 200, b"ok", False, 0.0
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.scheme = "http"

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing of one who has hung up: the output may be that of the next test by now."""

    @property
    def url(self) -> str:
        """A URL of it, with a secret."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}/services/{CANARY}"

    @property
    def last(self) -> dict[str, Any]:
        """The last JSON that it was sent."""
        found: dict[str, Any] = json.loads(self.asked[-1][3])
        return found


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: Answering
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Keep it, and answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        time.sleep(self.server.hang)
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "1000000" if self.server.drip else str(len(self.server.body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            while self.server.drip:
                self.wfile.write(b".")
                time.sleep(0.1)
            self.wfile.write(self.server.body)

    do_GET = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def http_server(certificate: Path | None = None) -> Iterator[Answering]:
    """A server, with TLS if it has a certificate."""
    server = Answering()
    if certificate:
        server.scheme = "https"
        server.socket = server_context(certificate).wrap_socket(server.socket, server_side=True)
    with running(server):
        yield server


def server_context(certificate: Path) -> ssl.SSLContext:
    """TLS with a file that holds certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def self_signed(directory: Path) -> Path:
    """A certificate of 127.0.0.1, with its key, that nobody trusts."""
    file = directory / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(file), "-out", str(directory / "only.pem")),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + (directory / "only.pem").read_text())
    return file


@contextlib.contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """A server in a thread, until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Mailing(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A mail server; `refused` are recipients that it does not take."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.certificate, self.password = certificate, ""
        self.refused: tuple[str, ...] = ()
        self.mails: list[tuple[list[str], bytes]] = []

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing of one who has hung up: the output may be that of the next test by now."""

    @property
    def smtp(self) -> dict[str, Any]:
        """How it is reached."""
        return {"host": "127.0.0.1", "port": self.server_address[1], "tls": "none"}

    @property
    def last(self) -> EmailMessage:
        """The last mail."""
        found = email.message_from_bytes(self.mails[-1][1], policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        return found


class Session(socketserver.StreamRequestHandler):
    """One connection: as much of RFC 5321 as smtplib says."""

    server: Mailing

    def handle(self) -> None:
        """Answer each command."""
        to: list[str] = []
        self.say("220 ready")
        while raw := self.rfile.readline():
            word, _blank, rest = raw.decode().strip().partition(" ")
            if word.upper() == "EHLO":
                offers = (["STARTTLS"] if self.server.certificate else []) + (
                    ["AUTH PLAIN"] if self.server.password else []
                )
                lines = ["here", *offers]
                self.say("\r\n".join(f"250{'-' if one is not lines[-1] else ' '}{one}" for one in lines))
            elif word.upper() == "STARTTLS" and self.server.certificate:
                self.say("220 go")
                self.connection = server_context(self.server.certificate).wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            elif word.upper() == "AUTH":
                self.say(f"535 {CANARY} is not the password")
            elif word.upper() == "RCPT":
                address = rest.partition("<")[2].partition(">")[0]
                taken = address not in self.server.refused
                to += [address] if taken else []
                self.say("250 ok" if taken else "550 no such user")
            elif word.upper() == "DATA":
                self.say("354 go on")
                text = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    text += line.removeprefix(b".") if line.startswith(b"..") else line
                self.server.mails.append((to, text))
                self.say("250 kept")
            elif word.upper() == "QUIT":
                return self.say("221 bye")
            else:
                self.say("250 ok")
        return None

    def say(self, text: str) -> None:
        """One answer."""
        self.wfile.write(f"{text}\r\n".encode())


@contextlib.contextmanager
def mail_server(certificate: Path | None = None) -> Iterator[Mailing]:
    """A mail server, with STARTTLS if it has a certificate."""
    server = Mailing(certificate)
    with running(server):
        yield server
