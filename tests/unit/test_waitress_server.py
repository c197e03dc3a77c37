"""The launcher of Waitress, run as systemd runs it: the listening socket is descriptor 3, READY comes on a socket."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE, wait_until
from ansible_collections.groundwork.flask.tests.unit.server_release import Release, Visitor

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


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    made = Release(tmp_path, "waitress/waitress_server.py", APP)
    made.settings |= {"provider": "waitress", "graceful_timeout": PATIENCE}
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


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_that_wait_to_be_sent_are_given_their_moment(release: Release, workers: int) -> None:
    seen = release.top / "run/finished"
    fake = (
        "import pathlib, sys\nclass Errors:\n"
        f" finish = staticmethod(pathlib.Path({str(seen)!r}).touch)\n"
        "sys.modules['groundwork_errors'] = Errors\n"
    )
    release.top.joinpath("code/shop.py").write_text(fake + APP)
    process = release.ready(workers)
    Visitor(release.socket).ask()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert seen.exists()


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


def test_a_stop_while_a_worker_is_about_to_be_replaced_leaves_none(release: Release) -> None:
    """Nobody would tell the one that comes after it to end, and the unit would wait for its stop timeout."""
    code = Path(release.launcher).read_text()
    assert "RESPAWN_SECONDS = 0.5" in code
    Path(release.launcher).write_text(code.replace("RESPAWN_SECONDS = 0.5", "RESPAWN_SECONDS = 3"))
    process = release.ready(2)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        Visitor(release.socket).ask("/die")
    assert process.stdout
    assert "a worker ended with exit status 7\n" in iter(process.stdout.readline, "")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
