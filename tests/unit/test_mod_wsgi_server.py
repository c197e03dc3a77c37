"""The launcher of mod_wsgi with a stand-in for mod_wsgi-express: what it is told, and the bridge to it.

The scenario `servers` runs the real one.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE, wait_until
from ansible_collections.groundwork.flask.tests.unit.server_release import Release, Visitor

# Listens where it is told, and asks for the header as the configuration that it is given has Apache ask for it.
EXPRESS = """#!{python}
import json, os, re, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
argv = sys.argv[1:]
release = Path(__file__).parents[2]
(release / "argv.json").write_text(json.dumps(argv))
configuration = Path(argv[argv.index("--include-file") + 1]).read_text()
header, value = re.search(r"req\\('(.*?)'\\) == '(.*?)'", configuration).groups()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/die":
            os._exit(7)
        if self.path == "/held":
            (release / "code/began").touch()
            with open(release / "code/go-on") as pipe:
                pipe.read()
        length = int(self.headers.get("Content-Length") or 0)
        text = f"{os.getpid()} {len(self.rfile.read(length))} {self.path}".encode()
        self.send_response(200 if self.headers.get_all(header) == [value] else 403)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_POST = do_GET
    def log_message(self, *arguments): ...
if (release / "slow").exists():
    signal.pause()
if (release / "refuse").exists():
    sys.exit("no such option")
server = ThreadingHTTPServer(("127.0.0.1", int(argv[argv.index("--port") + 1])), Handler)
signal.signal(signal.SIGTERM, lambda *_: ((release / "terminated").touch(), os._exit(0)))
server.serve_forever()
"""


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    made = Release(tmp_path, "mod_wsgi/mod_wsgi_server.py", "")
    made.settings["provider"] = "mod_wsgi"
    (tmp_path / "venv/bin").mkdir(parents=True)
    express = tmp_path / "venv/bin/mod_wsgi-express"
    express.write_text(EXPRESS.replace("{python}", sys.executable))
    express.chmod(0o755)
    yield made
    made.end()


def told(release: Release) -> dict[str, list[str]]:
    """The options that mod_wsgi-express was started with, and their values; a flag has none."""
    verb, module, *words = json.loads((release.top / "argv.json").read_text())
    assert (verb, module) == ("start-server", "groundwork_wsgi")
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            name = word[2:]
            found.setdefault(name, [])
        else:
            found[name].append(word)
    return found


def test_apache_is_told_what_the_release_says_and_its_options_come_last(release: Release) -> None:
    release.settings |= {"request-timeout": 65}
    release.settings["options"] = {"log-level": "debug", "locale": "de_DE.UTF-8", "no-such": False, "env": ["a", "b"]}
    release.ready(3)
    options = told(release)
    assert (options["processes"], options["threads"], options["request-timeout"]) == (["3"], ["4"], ["65"])
    assert (options["log-level"], options["locale"], options["env"]) == (["debug"], ["de_DE.UTF-8"], ["a", "b"])
    assert (options["host"], options["disable-reloading"]) == (["127.0.0.1"], [])
    assert options["python-path"] == [str(release.top / "entry")]
    assert not options.keys() & {"no-such", "provider", "workers", "worker_memory", "options"}


def test_the_socket_leads_to_the_app_and_the_open_port_does_not(release: Release) -> None:
    early = Visitor(release.socket)
    early.connect()
    release.ready()
    _pid, length, path = early.ask("/basket?item=1", b"x" * 200_000)
    assert (length, path) == ("200000", "/basket?item=1")
    (port,) = told(release)["port"]
    stranger = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE)
    stranger.request("GET", "/", headers={"X-Groundwork": "bridge"})
    assert stranger.getresponse().status == 403


def test_the_name_of_the_header_is_another_each_time_and_never_reaches_the_app(release: Release) -> None:
    names = []
    for _turn in range(2):
        process = release.ready()
        configuration = (release.top / "run/bridge.conf").read_text()
        (name,) = set(re.findall(r"X-Groundwork-\w+", configuration))
        assert f"RequestHeader unset {name}" in configuration
        names.append(name)
        process.terminate()
        process.wait(PATIENCE)
    assert len({*names}) == 2
    assert all(len(name.rpartition("-")[2]) >= 32 for name in names)


def test_a_second_request_on_a_connection_does_not_slip_in(release: Release) -> None:
    """The bridge has put its header into the first alone."""
    release.ready()
    visitor = Visitor(release.socket)
    assert visitor.ask()[2] == "/"
    visitor.request("GET", "/again")
    assert visitor.getresponse().status == 403


def test_what_is_no_request_ends_its_own_connection_alone(release: Release) -> None:
    release.ready()
    for raw in (b"", b"no line's end", b"x" * 200_000):
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(str(release.socket))
            visitor.settimeout(PATIENCE)
            try:
                visitor.sendall(raw)
                visitor.shutdown(socket.SHUT_WR)
                assert visitor.recv(100) == b""
            except (BrokenPipeError, ConnectionResetError):
                pass  # the connection was ended before all had come
    assert Visitor(release.socket).ask()[2] == "/"


def test_a_request_under_way_is_answered_after_sigterm_and_then_apache_ends(release: Release) -> None:
    process = release.ready()
    thread, answers = release.hold()
    process.send_signal(signal.SIGTERM)
    assert process.poll() is None
    assert not (release.top / "terminated").exists()
    release.release_held()
    thread.join(PATIENCE)
    assert [words[2] for words in answers] == ["/held"]
    assert process.wait(PATIENCE) == 0
    assert (release.top / "terminated").exists()


def test_it_takes_no_more_visitors_than_there_are_threads_and_two(release: Release) -> None:
    release.settings["threads"] = 1
    process = release.ready(1)
    kept = [Visitor(release.socket) for _slot in range(3)]
    for visitor in kept:
        assert visitor.ask()[2] == "/"
        # The connection stays, and so does its slot.
    late = Visitor(release.socket)
    late.connect()
    late.request("GET", "/late")
    kept[0].close()
    assert late.getresponse().read().decode().split()[2] == "/late"
    assert process.poll() is None


def test_apache_that_ends_ends_the_unit_with_its_status(release: Release) -> None:
    process = release.ready()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        Visitor(release.socket).ask("/die")
    said, _nothing = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert said.endswith("Apache ended with exit status 7\n")


def test_apache_that_does_not_start_is_told(release: Release) -> None:
    (release.top / "refuse").touch()
    process = release.start()
    said, _nothing = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (1, "no such option\nApache ended with exit status 1\n")
    release.notify.setblocking(False)
    with pytest.raises(BlockingIOError):
        release.notify.recv(100)


def test_a_stop_before_apache_listens_leaves_the_visitors_to_the_next_server(release: Release) -> None:
    (release.top / "slow").touch()
    process = release.start()
    early = Visitor(release.socket)
    early.connect()
    early.request("GET", "/early")
    wait_until((release.top / "argv.json").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    (release.top / "slow").unlink()
    release.ready()
    assert early.getresponse().read().decode().split()[2] == "/early"
