"""Whether a name leads to this host."""

from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import reachability
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.reachability import ReachabilityFile
from ansible_collections.groundwork.flask.tests.unit.certificate_host import Hostile
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE


@pytest.fixture
def port() -> Iterator[int]:
    """A server that knows the token under the name here.test, and redirects under moved.test."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = str(self.headers["Host"]).partition(":")[0]
            self.send_response({"moved.test": 302, "here.test": 200, "parked.test": 200}.get(host, 404))
            if host == "moved.test":
                self.send_header("Location", f"http://localhost:{self.connection.getsockname()[1]}{self.path}")
            self.end_headers()
            self.wfile.write({"here.test": b"token", "parked.test": b"Buy me!"}.get(host, b""))

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(
    ("domain", "addresses", "words"),
    [
        ("here.test", ["127.0.0.1"], ""),
        ("parked.test", ["127.0.0.1"], "another server answers at 127.0.0.1 (Buy me!)"),
        ("unknown.test", ["127.0.0.1"], "another server answers at 127.0.0.1 (status 404)"),
        ("moved.test", ["127.0.0.1"], "another server answers at 127.0.0.1 (status 404 at http://localhost"),
        ("here.test", ["127.0.0.9"], "does not answer at 127.0.0.9 (Connection refused)"),
        ("here.test", ["127.0.0.1", "127.0.0.9"], ""),
        ("here.test", [], "it has no address"),
    ],
)
def test_the_reachability_check_says_where_a_domain_leads(
    port: int, monkeypatch: pytest.MonkeyPatch, domain: str, addresses: list[str], words: str
) -> None:
    resolve = socket.getaddrinfo

    def resolved(name: str, *arguments: Any, **options: Any) -> Any:
        if domain != name:
            return resolve(name, *arguments, **options)
        if not addresses:
            raise OSError(-2, "Name or service not known")
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    said = reachability.check_domains([domain], "token", port)[domain]
    assert words in said
    assert bool(said) is bool(words)


@pytest.mark.parametrize(
    ("answer", "more", "pause", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n\x1b[2J\nhello", b"", 0, r"answers at 127.0.0.1 (\x1b[2J hello)"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 2**16, 0, f"({'x' * 64})"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000, 0, "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05, "does not answer at 127.0.0.1 (timed out)"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05, "does not answer at 127.0.0.1 (timed out)"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0, "no HTTP"),
    ],
)
def test_a_hostile_web_server_holds_up_a_run_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, more: bytes, pause: float, words: str
) -> None:
    monkeypatch.setattr(reachability, "ANSWER_TIME", 1 if pause else PATIENCE)
    began = time.monotonic()
    with Hostile(answer, more, pause) as server:
        found = [(2, 1, 6, "", ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found)
        said = reachability.check_domains(["evil.test"], "token", server.port)["evil.test"]
    assert words in said
    assert time.monotonic() - began < PATIENCE
    assert server.sent < 10 * 2**20


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_a_redirect_leads_to_no_file_of_this_host(tmp_path: Path, scheme: str) -> None:
    """Where the token lies, so that any name would seem to lead here."""
    reachability_file = ReachabilityFile(tmp_path)
    token = reachability_file.token()
    location = (
        f"{scheme}://{reachability_file.path}"
        if scheme != "data"
        else f"data:,/{reachability.CHALLENGE_PATH}/{reachability.FILE_NAME}"
    )
    with Hostile(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n".encode()) as server:
        said = reachability.fetch_token("evil.test", "127.0.0.1", server.port)
    assert said == f"status 302 at {location}"
    assert said != token


def test_redirects_end(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/{reachability.CHALLENGE_PATH}/{reachability.FILE_NAME}"
    with Hostile(f"HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\n\r\n".encode()) as server:
        connect = socket.create_connection
        monkeypatch.setattr(
            socket, "create_connection", lambda _address, timeout: connect(("127.0.0.1", server.port), timeout)
        )
        said = reachability.fetch_token("evil.test", "127.0.0.1", 80)
    assert said == f"status 302 at http://evil.test{path}"


@pytest.mark.parametrize("planted", ["link", "fifo", "text"])
def test_the_token_is_one_of_this_program(tmp_path: Path, planted: str) -> None:
    """Whoever could write to the webroot would have root read a file of its choice to the controller, or wait."""
    reachability_file = ReachabilityFile(tmp_path)
    reachability_file.path.parent.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("root:$y$j9T$secret")
    if planted == "link":
        reachability_file.path.symlink_to(secret)
    elif planted == "fifo":
        os.mkfifo(reachability_file.path)
    else:
        reachability_file.path.write_text(secret.read_text())
    token = reachability_file.token()
    assert reachability.TOKEN.fullmatch(token)
    assert reachability_file.path.read_text() == token
    assert reachability_file.token() == token
    assert secret.read_text() == "root:$y$j9T$secret"


def test_an_aaaa_record_that_leads_elsewhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(10, 1, 6, "", ("2001:db8::1", 80, 0, 0)), (2, 1, 6, "", ("192.0.2.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: found)
    answers = {"2001:db8::1": "status 404", "192.0.2.1": "token"}
    monkeypatch.setattr(reachability, "fetch_token", lambda _domain, address, _port: answers[address])
    said = reachability.check_domain("here.test", "token")
    assert said.startswith(
        "its AAAA record leads to another server: another server answers at 2001:db8::1 (status 404)"
    )
