"""Requests through the socket of a release."""

from __future__ import annotations

import contextlib
import http.client
import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE


class TestAsk:
    """Through an instance's own socket, as the proxy would."""

    @pytest.fixture
    def sock(self, tmp_path: Path) -> Iterator[Path]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status = int(self.path.strip("/") or 200)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "https://shop.example.org/login")
                self.end_headers()
                self.wfile.write("".join(f"{name}: {text}\n" for name, text in self.headers.items()).encode())

            def address_string(self) -> str:
                return ""

            def log_message(self, *_words: Any) -> None:
                pass

        path = tmp_path / "app.sock"
        with socketserver.UnixStreamServer(str(path), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield path
            server.shutdown()
            thread.join()

    def test_as_a_visitor_over_https(self, sock: Path) -> None:
        answer = System().ask(sock, "shop.example.org", "/", PATIENCE)
        assert answer.status == 200
        headers = dict(line.split(": ") for line in answer.body.splitlines())
        assert headers["Host"] == headers["X-Forwarded-Host"] == "shop.example.org"
        assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-For"]) == ("https", "127.0.0.1")

    def test_other_answers(self, sock: Path) -> None:
        unwell = System().ask(sock, "shop.example.org", "/503", PATIENCE)
        assert (unwell.status, unwell.location) == (503, "")
        redirect = System().ask(sock, "shop.example.org", "/302", PATIENCE)
        assert (redirect.status, redirect.location) == (302, "https://shop.example.org/login")

    @pytest.mark.parametrize(
        ("at_once", "drip"),
        [
            (b"HTTP/1.1 2", b"0"),
            (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x"),
            (b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
            (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ],
        ids=["status", "headers", "body", "body of 1.0", "body to the end", "chunk", "continue"],
    )
    def test_one_that_answers_a_byte_at_a_time_has_no_more_time(
        self, tmp_path: Path, at_once: bytes, drip: bytes
    ) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.request.sendall(at_once)
                    for _turn in range(int(4 * PATIENCE / 0.05)):
                        time.sleep(0.05)
                        self.request.sendall(drip)

        with socketserver.UnixStreamServer(str(tmp_path / "app.sock"), Handler) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            began = time.monotonic()
            with pytest.raises((OSError, http.client.HTTPException)):
                System().ask(tmp_path / "app.sock", "shop.example.org", "/", 0.2)
            assert time.monotonic() - began < PATIENCE
            thread.join()

    def test_what_it_says_is_fit_to_be_shown(self, tmp_path: Path) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(1000)
                self.request.sendall(b"HTTP/1.0 302 OK\r\nLocation: /\x1b[2J\r\n\r\n\x1b[2J" + b"x" * 100_000)

        with socketserver.UnixStreamServer(str(tmp_path / "app.sock"), Handler) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            answer = System().ask(tmp_path / "app.sock", "shop.example.org", "/", PATIENCE)
            thread.join()
        assert (answer.location, answer.body[:10]) == ("/\\x1b[2J", "\\x1b[2Jxxx")
        assert len(answer.body) < 20_010

    def test_nobody_listens(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            System().ask(tmp_path / "app.sock", "shop.example.org", "/", 5)
