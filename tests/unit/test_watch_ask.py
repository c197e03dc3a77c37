"""Requests to what may be slow, hostile or dead; and what is read from a certificate."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.watch import der
from ansible_collections.groundwork.flask.plugins.module_utils.watch.ask import LIMIT, Question, ask
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE

SECONDS = 0.6  # for what never answers
HANG = 600.0  # of the servers that do: longer than any test waits
Serve = Callable[[socket.socket], None]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def served(directory: Path, serve: Serve, name: str = "a") -> Question:
    """The question for a socket at which a function answers each connection."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(directory / name))
    listening.listen(200)

    def loop() -> None:
        while True:
            connection, _address = listening.accept()
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(4096)
                serve(connection)
            except OSError:  # the client has hung up
                return

    threading.Thread(target=loop, daemon=True).start()
    return Question("shop.example.org", "/health", str(directory / name))


sent_without_end: list[int] = []


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)
        sent_without_end.append(65536)


def drips(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n\r\n" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def silent(_connection: socket.socket) -> None:
    time.sleep(HANG)


def hangs_in_the_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    time.sleep(HANG)


@pytest.mark.parametrize(
    ("serve", "status", "error"),
    [
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\n\r\nwell"), 200, ""),
        (lambda c: c.sendall(b"HTTP/1.0 503 no\r\n\r\n"), 503, ""),
        (lambda c: c.sendall(b"SSH-2.0-OpenSSH\r\n"), None, "what came is no answer of HTTP"),
        (lambda c: c.sendall(b"HTTP/1.1 2000 OK\r\n\r\n"), None, "what came is no answer of HTTP"),
        (lambda _c: None, None, "the connection was closed without an answer"),
        (endless, 200, ""),
    ],
)
def test_what_comes_of_a_request(directory: Path, serve: Serve, status: int | None, error: str) -> None:
    answer = ask({"shop": served(directory, serve)}, PATIENCE)["shop"]
    assert (answer.status, answer.error) == (status, error)


@pytest.mark.parametrize("serve", [drips, silent, hangs_in_the_body])
def test_what_does_not_come_to_an_end_costs_a_bounded_time(directory: Path, serve: Serve) -> None:
    began = time.monotonic()
    answer = ask({"shop": served(directory, serve)}, SECONDS)["shop"]
    assert time.monotonic() - began < HANG / 2
    assert answer.status is None
    # By the thread that asks, which may have begun late, or by what waits for it.
    assert answer.error in ("no whole answer within 1 s", "no whole answer within 0 s", "no answer within 0.6 s")


def test_the_request_is_as_the_proxys(directory: Path) -> None:
    got: list[bytes] = []
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(directory / "a"))
    sock.listen()

    def serve() -> None:
        connection, _address = sock.accept()
        with connection:
            got.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    ask({"shop": Question("shop.example.org", "/health", str(directory / "a"))}, PATIENCE)
    thread.join()
    head = got[0].decode().split("\r\n")
    assert head[0] == "GET /health HTTP/1.1"
    assert {"Host: shop.example.org", "Connection: close", "X-Forwarded-Proto: https"} <= set(head)


def test_hostile_apps_hold_up_no_other(directory: Path) -> None:
    hostile = (endless, drips, silent, hangs_in_the_body)
    questions = {f"bad{n}": served(directory, hostile[n % 4], f"b{n}") for n in range(12)}
    questions["shop"] = served(directory, lambda c: c.sendall(b"HTTP/1.1 200 OK\r\n\r\n"), "shop")
    for seconds in (4.0, PATIENCE):  # the second on a machine that is too busy for the first
        sent_without_end.clear()
        began = time.monotonic()
        answers = ask(questions, seconds)
        assert time.monotonic() - began < HANG / 2
        if "within" not in answers["shop"].error:
            break
    assert answers["shop"].status == 200
    assert {answers[name].status for name in questions if name.startswith("bad")} <= {None, 200}
    # Of each of the three, what is read and what the socket holds.
    assert sum(sent_without_end) < 3 * (LIMIT + 2**21)


@pytest.mark.parametrize(
    ("address", "error"),
    [("/nonexistent/app.sock", "No such file or directory"), (("127.0.0.1", 1), "Connection refused")],
)
def test_nothing_that_listens(address: str | tuple[str, int], error: str) -> None:
    assert ask({"shop": Question("shop.test", "/", address)}, PATIENCE)["shop"].error == error


def test_a_name_without_an_address() -> None:
    answer = ask({"shop": Question("a.invalid", "/", ("a.invalid", 443))}, 5.0)["shop"]
    assert answer.status is None
    assert answer.unresolved or answer.is_resolver or "within" in answer.error  # as the resolver of this machine has it


@pytest.mark.parametrize("days", [30, 12000])  # the second ends after 2049, with four digits of the year
def test_when_a_certificate_is_valid(tmp_path: Path, days: int) -> None:
    file = tmp_path / "certificate.pem"
    options = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=shop.test")
    subprocess.run(
        ["openssl", "req", *options, "-days", str(days), "-keyout", os.devnull, "-out", str(file)],
        check=True,
        capture_output=True,
    )
    raw = ssl.PEM_cert_to_DER_cert(file.read_text())
    begins, ends = der.validity(raw)
    assert abs(begins - time.time()) < 300
    assert ends - begins in (days * 86400, days * 86400 + 1)  # openssl looks at the clock for each
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-startdate", "-enddate", "-in", str(file)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert [ssl.cert_time_to_seconds(row.partition("=")[2]) for row in shown.splitlines()] == [begins, ends]


@pytest.mark.parametrize(
    "raw", [b"", b"0", b"\x30\x82\xff\xff", b"\x30\x03\x30\x01\xa0", bytes(range(64)), b"\x30" * 200]
)
def test_what_is_no_certificate_is_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        der.validity(raw)
