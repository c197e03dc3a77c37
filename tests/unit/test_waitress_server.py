"""The launcher of Waitress, run as systemd runs it: the listening socket is descriptor 3, READY comes on a socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import servers

# Answers with its process and what it was sent. At /held it waits for a line in the pipe beside the code.
APP = """
import os
from pathlib import Path
HERE = Path(__file__).parent
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/held":
        (HERE / "began").touch()
        with open(HERE / "go-on") as pipe:
            pipe.read()
    if path == "/die":
        os._exit(7)
    body = environ["wsgi.input"].read()
    answer = f"{os.getpid()} {len(body)} {environ['wsgi.url_scheme']} {environ.get('REMOTE_ADDR')}".encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""
PATIENCE = 20  # seconds after which a test that hangs fails


class Visitor(http.client.HTTPConnection):
    """A connection to the socket, as the proxy opens one."""

    def __init__(self, path: Path) -> None:
        super().__init__("shop.example.org", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self.path))

    def ask(self, path: str = "/", body: bytes | None = None, **headers: str) -> list[str]:
        """What the app answers, as words."""
        self.request("POST" if body is not None else "GET", path, body, headers)
        answer = self.getresponse()
        assert answer.status == 200
        return answer.read().decode().split()


class Release:
    """A release's directory with the launcher in it, and what stands for systemd."""

    def __init__(self, top: Path) -> None:
        self.top, self.socket = top, top / "app.sock"
        for directory in ("entry", "code"):
            (top / directory).mkdir()
        shutil.copy(servers.FILES / "waitress/waitress_server.py", top)
        shutil.copy(servers.FILES / servers.ENTRY, top / "entry")
        (top / "code/shop.py").write_text(APP)
        os.mkfifo(top / "code/go-on")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(top / "notify"))
        self.notify.settimeout(PATIENCE)
        self.settings: dict[str, Any] = {"provider": "waitress", "workers": None, "worker_memory": 100, "threads": 4}
        self.settings |= {"graceful_timeout": PATIENCE, "options": {}}
        self.running: list[subprocess.Popen[str]] = []

    def start(self, workers: int = 1, app: str = "shop:app") -> subprocess.Popen[str]:
        """Start the server; it gets the socket as descriptor 3."""
        (self.top / "server.json").write_text(json.dumps(self.settings))
        give = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        listener = self.listener.fileno()
        process = subprocess.Popen(
            (sys.executable, "-c", give, str(listener), str(self.top / "waitress_server.py")),
            pass_fds=(listener, 3) if listener != 3 else (3,),
            env={
                "WSGI_APP": app,
                "GROUNDWORK_WORKERS": str(workers),
                "GROUNDWORK_PROXY_FIX": "0",
                "NOTIFY_SOCKET": str(self.top / "notify"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append(process)
        return process

    def ready(self, workers: int = 1) -> subprocess.Popen[str]:
        """Start the server and wait until it says that it is ready."""
        process = self.start(workers)
        assert self.notify.recv(100) == b"READY=1"
        return process

    def hold(self) -> tuple[threading.Thread, list[list[str]]]:
        """Begin a request that lasts until it is released; the thread that waits for its answer, and the answer."""
        answers: list[list[str]] = []

        def ask() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # then there is no answer
                answers.append(Visitor(self.socket).ask("/held"))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        wait_until((self.top / "code/began").exists)
        return thread, answers

    def release_held(self) -> None:
        """Let the request that is held be answered."""
        with open(self.top / "code/go-on", "w"):
            pass

    def end(self) -> None:
        """End what still runs."""
        for process in self.running:
            process.kill()
            process.communicate()
        self.listener.close()
        self.notify.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    wakes = threading.Event()
    for _turn in range(PATIENCE * 50):
        if condition():
            return
        wakes.wait(0.02)
    pytest.fail("it did not come about")


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    made = Release(tmp_path)
    yield made
    made.end()


def test_who_came_before_it_was_ready_is_answered_and_no_header_is_believed(release: Release) -> None:
    early = Visitor(release.socket)
    early.connect()
    process = release.ready()
    pid, length, scheme, _address = early.ask("/", b"x" * 100_000, **{"X-Forwarded-Proto": "https"})
    assert (pid, length, scheme) == (str(process.pid), "100000", "http")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_under_way_is_answered_after_sigterm(release: Release, workers: int) -> None:
    process = release.ready(workers)
    thread, answers = release.hold()
    process.send_signal(signal.SIGTERM)
    assert process.poll() is None
    release.release_held()
    thread.join(PATIENCE)
    assert [words[1:3] for words in answers] == [["0", "http"]]
    assert process.wait(PATIENCE) == 0
    newcomer = Visitor(release.socket)
    newcomer.connect()  # the queue is systemd's: whoever comes now waits for the next server
    successor = release.ready()
    assert newcomer.ask()[0] == str(successor.pid)


def test_a_request_that_had_arrived_by_half_is_answered_after_sigterm(release: Release) -> None:
    process = release.ready()
    half = Visitor(release.socket)
    half.connect()
    half.send(b"GET / HTTP/1.1\r\n")
    assert Visitor(release.socket).ask()[0] == str(process.pid)  # by now the half that came before has been read
    process.send_signal(signal.SIGTERM)
    half.send(b"Host: shop.example.org\r\n\r\n")
    answer = http.client.HTTPResponse(half.sock)
    answer.begin()
    assert (answer.status, answer.read().split()[0]) == (200, str(process.pid).encode())
    assert process.wait(PATIENCE) == 0


def test_what_lasts_longer_than_the_graceful_timeout_holds_up_no_stop(release: Release) -> None:
    release.settings["graceful_timeout"] = 0
    process = release.ready()
    thread, answers = release.hold()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    thread.join(PATIENCE)
    assert answers == []


def test_an_option_is_waitress_s_own(release: Release) -> None:
    release.settings["options"] = {"max_request_body_size": 10}
    release.ready()
    visitor = Visitor(release.socket)
    visitor.request("POST", "/", b"x" * 100)
    assert visitor.getresponse().status == 413


@pytest.mark.parametrize("workers", [1, 2])
def test_an_app_that_cannot_be_imported_ends_the_server_before_it_is_ready(release: Release, workers: int) -> None:
    process = release.start(workers, "shop:no_such_app")
    said, _nothing = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "no_such_app" in said
    release.notify.setblocking(False)
    with pytest.raises(BlockingIOError):
        release.notify.recv(100)


def test_a_worker_that_ends_is_replaced(release: Release) -> None:
    process = release.ready(2)

    def workers() -> set[str]:
        return set(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())

    before = workers()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        Visitor(release.socket).ask("/die")
    assert Visitor(release.socket).ask()[0] in before  # the other one
    wait_until(lambda: len(workers() - before) == 1 and len(workers()) == 2)
    process.send_signal(signal.SIGTERM)
    said, _nothing = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert [line for line in said.splitlines() if "worker" in line] == ["a worker ended with exit status 7"]
