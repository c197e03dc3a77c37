"""Visitors who wait at a socket while no server runs, over real sockets."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.hold import Hold
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE, wait_until

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"


class Server:
    """Answers each POST with its own body, until it is closed."""

    def __init__(self, sock: Path) -> None:
        self.seen: list[bytes] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.unlink(missing_ok=True)  # as systemd does
        self.listener.bind(str(sock))
        self.listener.listen(100)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            with connection:
                body = read_request(connection)
                self.seen.append(body)
                connection.sendall(ANSWER % (len(body), body))

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(PATIENCE)


def read_request(connection: socket.socket) -> bytes:
    head, _end, body = b"", b"", b""
    while b"\r\n\r\n" not in head:
        block = connection.recv(65536)
        if not block:
            return b""
        head += block
    head, _end, body = head.partition(b"\r\n\r\n")
    length = int(head.rpartition(b"Content-Length: ")[2].split()[0])
    while len(body) < length and (block := connection.recv(65536)):
        body += block
    return body


def post(sock: Path, body: bytes) -> bytes:
    """Send it as a proxy would; the whole answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(sock))
        connection.sendall(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        answer = b""
        while block := connection.recv(65536):
            answer += block
        return answer


@pytest.fixture
def sock(tmp_path: Path) -> Path:
    return tmp_path / "app.sock"


@pytest.fixture
def ask() -> Iterator[Callable[[Path, bytes], Future[bytes]]]:
    with ThreadPoolExecutor(1100) as pool:
        yield lambda sock, body: pool.submit(post, sock, body)


def wait_for(hold: Hold, number: int) -> None:
    wait_until(lambda: len(hold.visitors) >= number)
    assert len(hold.visitors) == number


def test_they_get_the_answers_of_the_next_server(sock: Path, tmp_path: Path, ask: Callable[..., Future[bytes]]) -> None:
    """Every one its own, a large POST too."""
    old = Server(sock)
    os.chmod(sock, 0o660)
    hold = Hold(sock)
    hold.begin()
    assert sock.stat().st_mode & 0o777 == 0o660
    old.close()
    bodies = [b"%d" % number for number in range(50)] + [os.urandom(3_000_000)]
    asked = [ask(sock, body) for body in bodies]
    wait_for(hold, len(bodies))
    new = Server(tmp_path / "new.sock")
    hold.hand_over(tmp_path / "new.sock")
    late = ask(sock, b"late")
    answers = [one.result(PATIENCE).partition(b"\r\n\r\n")[2] for one in [*asked, late]]
    assert answers == [*bodies, b"late"]
    assert sorted(new.seen) == sorted([*bodies, b"late"]), "each once"
    hold.end()
    assert list(tmp_path.iterdir()) == [tmp_path / "new.sock"]
    new.close()


def test_more_than_the_next_server_has_room_for_in_its_queue(sock: Path, ask: Callable[..., Future[bytes]]) -> None:
    Server(sock).close()
    hold = Hold(sock)
    hold.begin()
    bodies = [b"%d" % number for number in range(300)]
    asked = [ask(sock, body) for body in bodies]
    wait_for(hold, 300)
    new = Server(sock.with_name("new.sock"))
    hold.hand_over(sock.with_name("new.sock"))
    assert [one.result(PATIENCE).partition(b"\r\n\r\n")[2] for one in asked] == bodies
    hold.end()
    new.close()


def test_the_old_one_may_take_its_place_again(sock: Path, ask: Callable[..., Future[bytes]]) -> None:
    """As when a deploy has failed: systemd binds the same path."""
    Server(sock).close()
    hold = Hold(sock)
    hold.begin()
    asked = ask(sock, b"patient")
    wait_for(hold, 1)
    old = Server(sock)
    hold.hand_over(sock)
    assert asked.result(PATIENCE).endswith(b"patient")
    hold.end()
    assert ask(sock, b"next").result(PATIENCE).endswith(b"next"), "what is not ours is not removed"
    old.close()


def test_a_unit_may_remove_the_file(sock: Path, ask: Callable[..., Future[bytes]]) -> None:
    """The units of other roles may say RemoveOnStop=yes."""
    Server(sock).close()
    hold = Hold(sock, seconds=0.1)
    hold.begin()
    sock.unlink()
    hold.take_place()
    hold.take_place()
    assert ask(sock, b"x").result(PATIENCE).startswith(b"HTTP/1.1 503 ")
    hold.end()
    assert not sock.exists()


@pytest.mark.parametrize("size", [0, 2_000_000])
def test_after_the_time_they_are_told_to_come_again(sock: Path, size: int, ask: Callable[..., Future[bytes]]) -> None:
    """Those who wait and those who come; the answer arrives although nobody reads what they send."""
    Server(sock).close()
    hold = Hold(sock, seconds=0.3)
    began = time.monotonic()
    hold.begin()
    first = ask(sock, b"x" * size).result(PATIENCE)
    assert 0.3 <= time.monotonic() - began < PATIENCE
    second = ask(sock, b"x" * size).result(PATIENCE)
    for answer in (first, second):
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\n")
    hold.end()


def test_a_server_that_does_not_listen_is_a_503(sock: Path, ask: Callable[..., Future[bytes]]) -> None:
    Server(sock).close()
    hold = Hold(sock)
    hold.begin()
    hold.hand_over(sock.with_name("nobody.sock"))
    assert ask(sock, b"x").result(PATIENCE).startswith(b"HTTP/1.1 503 ")
    hold.end()


def test_who_has_left_is_not_served(sock: Path) -> None:
    """A POST whose sender has given up and may send it again would be done twice."""
    Server(sock).close()
    hold = Hold(sock)
    hold.begin()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(sock))
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
        wait_for(hold, 1)
    new = Server(sock.with_name("new.sock"))
    hold.hand_over(sock.with_name("new.sock"))
    hold.end()
    assert new.seen == []
    new.close()


def test_a_request_without_an_end_does_not_hold_up_the_run(sock: Path) -> None:
    Server(sock).close()
    hold = Hold(sock)
    hold.begin()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(sock))
        wait_for(hold, 1)
        silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        silent.bind(str(sock.with_name("silent.sock")))
        silent.listen(5)
        hold.hand_over(sock.with_name("silent.sock"))
        began = time.monotonic()
        hold.end(seconds=0.2)
        assert time.monotonic() - began < PATIENCE
        silent.close()


def test_where_there_is_no_socket_there_is_no_hold(sock: Path) -> None:
    assert System().hold(sock) is None
