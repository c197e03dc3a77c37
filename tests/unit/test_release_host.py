"""The host as it really is: processes that come to an end, sockets that answer."""

from __future__ import annotations

import contextlib
import os
import re
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import host as module
from ansible_collections.groundwork.flask.plugins.module_utils.release.host import Host
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import tail


class TestRunAs:
    """Commands of a build or of an app; here as the user of the tests."""

    @pytest.fixture(autouse=True)
    def _as_this_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "as_user", lambda user, command: list(command))

    def run(self, command: str, seconds: float = 20, **options: Any) -> tuple[int, str]:
        return Host().run_as("shop", ("sh", "-c", command), {"PATH": os.defpath, "A": "b"}, "/tmp", seconds, **options)

    @pytest.mark.parametrize(
        ("command", "answer"),
        [
            ("echo out; echo err >&2; exit 3", (3, "out\nerr\n")),
            ("env | grep -c -e HOME= -e A=; pwd", (0, "1\n/tmp\n")),
            ("umask", (0, "0022\n")),
            ("cat", (0, "")),
            ("printf '\\377'", (0, "\ufffd")),
        ],
    )
    def test_answers(self, command: str, answer: tuple[int, str]) -> None:
        assert self.run(command) == answer

    def test_options(self, tmp_path: Path) -> None:
        (tmp_path / "in").write_text("text")
        with (tmp_path / "in").open() as stdin:
            assert self.run("umask; cat", stdin=stdin, umask=0o077) == (0, "0077\ntext")

    def test_what_takes_too_long_ends_with_its_children(self) -> None:
        began = time.monotonic()
        status, said = self.run("echo begun; sleep 30 & echo $!; wait", seconds=0.3)
        assert time.monotonic() - began < 10
        assert status == 124
        begun, child, *_rest = said.split()
        assert begun == "begun"
        assert said.endswith("(killed after 0 s)")
        for _turn in range(100):
            if not Path(f"/proc/{child}").exists() or "(zombie)" in Path(f"/proc/{child}/status").read_text():
                break
            time.sleep(0.02)
        else:
            raise AssertionError("its child goes on")


class TestAsUser:
    """Needs root, as the engine does."""

    def test_a_user_has_no_group_but_his_own(self) -> None:
        shown = subprocess.run(module.as_user("daemon", ("id",)), capture_output=True, text=True, check=True).stdout
        assert re.sub(r"\d+", "", shown) == "uid=(daemon) gid=(daemon) groups=(daemon)\n"

    def test_the_exit_status_is_the_commands(self) -> None:
        assert subprocess.run(module.as_user("daemon", ("sh", "-c", "exit 7")), check=False).returncode == 7

    def test_it_reads_what_it_is_given(self, tmp_path: Path) -> None:
        (tmp_path / "in").write_text("text")
        with (tmp_path / "in").open() as stdin:
            command = ("sh", "-c", "cat; pwd")
            assert Host().run_as("daemon", command, {"PATH": os.defpath}, "/", 20, stdin) == (0, "text/\n")
        piped = subprocess.run(
            module.as_user("daemon", ("cat",)), input="piped", capture_output=True, text=True, check=True
        )
        assert piped.stdout == "piped"

    def test_nothing_goes_on_when_the_engine_is_killed(self) -> None:
        """Neither the command nor what it has put into a session of its own."""
        seconds = f"60.{os.getpid()}"  # tells these from others' processes
        script = f"setsid sleep {seconds} & exec sleep {seconds}"
        engine = (sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])")
        with subprocess.Popen((*engine, *module.as_user("daemon", ("sh", "-c", script)))) as process:
            assert poll(lambda: len(sleeping(seconds)) == 2)
            process.kill()
        assert poll(lambda: sleeping(seconds) == []), sleeping(seconds)


def sleeping(seconds: str) -> list[int]:
    """The processes that sleep that long."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(path.parent.name))
    return found


def poll(question: Callable[[], bool]) -> bool:
    for _turn in range(250):
        if question():
            return True
        time.sleep(0.02)
    return False


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
        answer = Host().ask(sock, "shop.example.org", "/", 5)
        assert answer.status == 200
        headers = dict(line.split(": ") for line in answer.body.splitlines())
        assert headers["Host"] == headers["X-Forwarded-Host"] == "shop.example.org"
        assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-For"]) == ("https", "127.0.0.1")

    def test_other_answers(self, sock: Path) -> None:
        unwell = Host().ask(sock, "shop.example.org", "/503", 5)
        assert (unwell.status, unwell.location) == (503, "")
        redirect = Host().ask(sock, "shop.example.org", "/302", 5)
        assert (redirect.status, redirect.location) == (302, "https://shop.example.org/login")

    def test_nobody_listens(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            Host().ask(tmp_path / "app.sock", "shop.example.org", "/", 5)


@pytest.mark.parametrize(("shown", "number"), [("3\n", 3), ("0\n", 0), ("", 0), ("[not set]\n", 0)])
def test_numbers_of_systemd(monkeypatch: pytest.MonkeyPatch, shown: str, number: int) -> None:
    monkeypatch.setattr(Host, "systemctl", lambda self, *words: type("Done", (), {"stdout": shown}))
    assert Host().restarts("shop@1.service") == number


@pytest.mark.parametrize(
    ("shown", "active"), [("active\nactive\n", True), ("active\n\ninactive\n", False), ("active\n", False), ("", False)]
)
def test_units_are_active_together(monkeypatch: pytest.MonkeyPatch, shown: str, active: bool) -> None:
    monkeypatch.setattr(Host, "systemctl", lambda self, *words: type("Done", (), {"stdout": shown}))
    assert Host().is_active("shop@1.socket", "shop@1.service") is active


def test_the_processes_of_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "systemctl", lambda self, *words: type("Done", (), {"stdout": f"{os.getpid()}\n"}))
    assert os.getpid() in Host().processes("shop@1.service")
    monkeypatch.setattr(Host, "systemctl", lambda self, *words: type("Done", (), {"stdout": "0\n"}))
    assert Host().processes("shop@1.service") == set()


def test_the_end_of_what_a_program_said_has_its_whole_last_traceback() -> None:
    noise = [f"line {number}" for number in range(300)]
    early, late = ["Traceback (most recent call last):", "  early"], ["Traceback (most recent call last):", "  late"]
    assert tail("\n".join(noise), 60).splitlines() == noise[-60:]
    assert tail("\n".join([*early, *noise[:70], *late, *noise[:80]]), 60).splitlines() == [*late, *noise[:80]]
    assert tail("\n".join([*late, *noise[:10]]), 60).splitlines() == [*late, *noise[:10]]
    assert tail("\n".join([*early, *noise]), 60).splitlines() == noise[-60:]
