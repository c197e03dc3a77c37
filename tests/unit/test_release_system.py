"""The host: steps as units of systemd, and processes that come to an end."""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import socket
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import TIMED_OUT, plain_argv
from ansible_collections.groundwork.flask.plugins.module_utils.release import socket_queue, steps
from ansible_collections.groundwork.flask.plugins.module_utils.release import system as module
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import env_file
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.steps import OUTPUT_LIMIT, Step, end_of
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE


def a_step(*argv: str, **more: Any) -> Step:
    """A step of an app."""
    given: dict[str, Any] = {
        "app": "shop",
        "name": "import",
        "argv": argv,
        "sandbox": [("PrivateTmp", "yes"), ("CapabilityBoundingSet", "")],
        "environment": {"PATH": os.defpath, "TOKEN": "hunter22"},
        "cwd": "/tmp",
        "seconds": 7,
    }
    return Step(**{**given, **more})


class TestCommand:
    """What systemd is asked for."""

    def options(self, command: list[str]) -> list[str]:
        """The properties, in order."""
        return [after for before, after in pairwise(command[: command.index("--")]) if before == "-p"]

    def test_the_app_in_its_sandbox(self) -> None:
        command = a_step("flask", "db").command("a.service", "--pipe")
        assert command[: command.index("-p")] == [
            "/usr/bin/systemd-run", "--quiet", "--unit=a.service", "--description=import of shop", "--pipe",
        ]  # fmt: skip
        assert self.options(command) == [
            "User=shop",
            "Group=shop",
            "WorkingDirectory=/tmp",
            f"EnvironmentFile={on_host('runtime')}/release/shop/a.service.env",
            "RuntimeMaxSec=7",
            "PrivateTmp=yes",
            "CapabilityBoundingSet=",
        ]
        assert command[command.index("--") :] == ["--", "flask", "db"]

    @pytest.mark.parametrize(("seconds", "said"), [(0.5, "0.5"), (1800, "1800"), (math.inf, "infinity")])
    def test_its_time(self, seconds: float, said: str) -> None:
        assert f"RuntimeMaxSec={said}" in self.options(a_step("true", seconds=seconds).command("a.service"))

    @pytest.mark.parametrize("argument", ["$HOME", "a;b", "%h", "two words", "", "--", "-p"])
    def test_systemd_puts_nothing_into_the_arguments(self, argument: str) -> None:
        command = a_step("echo", argument).command("a.service")
        assert command[command.index("--") + 1 :] == plain_argv(("echo", argument))

    def test_no_list_of_processes_shows_its_environment(self) -> None:
        assert "hunter22" not in str(a_step("true").command("a.service"))


class FakeSystemd:
    """Stands for systemd: starts the command itself, and says how it ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
        self.system, self.result = System("groundwork-release@shop.service"), "exit-code"
        self.asked: list[tuple[str, ...]] = []
        self.commands: list[list[str]] = []
        self.environments: list[tuple[int, str]] = []
        self.run, real = run, Step.command

        def command(step: Step, unit: str, *more: str) -> list[str]:
            self.commands.append(real(step, unit, *more))
            path = steps.environment_file("shop", unit)
            self.environments.append((path.stat().st_mode & 0o777, path.read_text()))
            return list(step.argv)

        def systemctl(_host: System, *arguments: str) -> subprocess.CompletedProcess[str]:
            self.asked.append(arguments)
            return subprocess.CompletedProcess(arguments, 0, f"{self.result}\n", "")

        for place in (module, steps):
            monkeypatch.setattr(place, "environment_file", lambda app, unit: run / app / f"{unit}.env")
        monkeypatch.setattr(Step, "command", command)
        monkeypatch.setattr(System, "systemctl", systemctl)

    def unit(self) -> str:
        """The unit of the last step."""
        return next(word.removeprefix("--unit=") for word in self.commands[-1] if word.startswith("--unit="))

    def left(self) -> list[Path]:
        return [path for path in self.run.rglob("*") if path.is_file()]


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSystemd:
    return FakeSystemd(monkeypatch, tmp_path / "run")


class TestStep:
    """A step that really runs, but for its user and its sandbox."""

    @pytest.mark.parametrize(
        ("command", "answer"),
        [
            ("echo out; echo err >&2; exit 3", (3, "out\nerr\n")),
            ("pwd", (0, "/\n")),
            ("env | sort", (0, "HOME=/root\nLANG=C.UTF-8\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n")),
            ("cat", (0, "")),
            ("printf '\\377\\033[2J'", (0, "\ufffd\\x1b[2J")),
        ],
    )
    def test_answers(self, systemd: FakeSystemd, command: str, answer: tuple[int, str]) -> None:
        assert systemd.system.step(a_step("/bin/sh", "-c", command)) == answer

    def test_it_reads_what_it_is_given(self, systemd: FakeSystemd, tmp_path: Path) -> None:
        (tmp_path / "in").write_text("text")
        with (tmp_path / "in").open() as stdin:
            assert systemd.system.step(a_step("/bin/cat", stdin=stdin)) == (0, "text")

    @pytest.mark.parametrize(
        ("result", "answer"),
        [
            ("exit-code", (9, "tick\n")),
            ("timeout", (TIMED_OUT, "tick\n\n(killed after 7 s)")),
            ("oom-kill", (9, "tick\n\n(killed: it wanted more memory than it may have)")),
            ("signal", (9, "tick\n")),
            ("", (9, "tick\n")),
        ],
    )
    def test_how_it_ended(self, systemd: FakeSystemd, result: str, answer: tuple[int, str]) -> None:
        systemd.result = result
        assert systemd.system.step(a_step("/bin/sh", "-c", "echo tick; exit 9")) == answer
        assert systemd.asked == [
            ("show", "--value", "--property=Result", systemd.unit()),
            ("reset-failed", systemd.unit()),
        ]

    def test_nothing_of_it_goes_on_without_the_engine(self, systemd: FakeSystemd) -> None:
        systemd.system.step(a_step("/bin/true"))
        bound = ["-p", "BindsTo=groundwork-release@shop.service", "-p", "After=groundwork-release@shop.service"]
        command = systemd.commands[0]
        assert command[command.index(bound[1]) - 1 :][:4] == bound
        assert systemd.asked == [], "systemd forgets a unit that ended well"

    def test_each_has_a_unit_of_its_own(self, systemd: FakeSystemd) -> None:
        units = set()
        for _turn in range(3):
            systemd.system.step(a_step("/bin/true"))
            units.add(systemd.unit())
        assert len(units) == 3
        assert all(re.fullmatch(r"groundwork-release@shop\.import\.\d+-\d+\.service", unit) for unit in units)

    def test_its_environment_is_in_a_file_while_it_runs(self, systemd: FakeSystemd) -> None:
        systemd.system.step(a_step("/bin/false"))
        assert systemd.environments == [(0o600, env_file({"PATH": os.defpath, "TOKEN": "hunter22"}))]
        assert systemd.left() == []
        assert (systemd.run / "shop").stat().st_mode & 0o777 == 0o700

    def test_it_is_stopped_when_the_engine_breaks_off(
        self, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_arguments: Any) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr(module, "end_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            systemd.system.step(a_step("/bin/true"))
        assert systemd.asked == [("stop", systemd.unit())]
        assert systemd.left() == []

    def test_in_the_background(self, systemd: FakeSystemd) -> None:
        with systemd.system.background(a_step("/bin/true")):
            assert len(systemd.left()) == 1
        assert systemd.asked == [("stop", systemd.unit())]
        assert systemd.left() == []
        with (
            pytest.raises(ReleaseError, match=r"/bin/sh could not be started\n  no such thing"),
            systemd.system.background(a_step("/bin/sh", "-c", "echo no such thing >&2; exit 1")),
        ):
            pass
        assert systemd.asked[1:] == [("stop", systemd.unit())]
        assert systemd.left() == []

    @pytest.mark.parametrize(("terminal", "option"), [(False, "--pipe"), (True, "--pty")])
    def test_on_a_terminal(
        self, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch, terminal: bool, option: str
    ) -> None:
        """It gets another than root's, and it goes on when an engine ends."""
        monkeypatch.setattr(os, "isatty", lambda _descriptor: terminal)
        assert systemd.system.interactive(a_step("/bin/sh", "-c", "exit 7", seconds=math.inf)) == 7
        assert option in systemd.commands[0]
        assert "BindsTo" not in str(systemd.commands[0])
        assert systemd.left() == []


class TestEndOf:
    """What a program says may have no end."""

    @pytest.mark.parametrize("size", [0, 5, OUTPUT_LIMIT, OUTPUT_LIMIT + 1, 3 * OUTPUT_LIMIT])
    def test_the_last_of_it_is_kept(self, size: int) -> None:
        said = self.said_by(f"head -c {size} /dev/zero | tr '\\0' x; printf end")
        assert said.endswith("end")
        assert len(said) == min(size + 3, OUTPUT_LIMIT)

    def test_it_is_fit_to_be_shown(self) -> None:
        assert self.said_by(r"printf '\033]0;x\007\377\r\n'") == "\\x1b]0;x\\x07\ufffd\n"

    def test_nobody_keeps_it_waiting_who_was_given_the_pipe(self) -> None:
        began = time.monotonic()
        assert self.said_by("(sleep 600; echo late) & echo said; echo $! >&2") == "said\n"
        assert time.monotonic() - began < PATIENCE

    def test_a_program_that_closes_its_output_is_waited_for(self, tmp_path: Path) -> None:
        assert self.said_by(f"echo said; exec >&-; sleep 0.3; touch {tmp_path}/done") == "said\n"
        assert (tmp_path / "done").exists()

    def said_by(self, script: str) -> str:
        """What a shell script prints, as a step's output is read; what it leaves running is killed."""
        command = ("/bin/sh", "-c", script)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            try:
                return end_of(process)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


class TestStatus:
    """How far the engine is, for `systemctl status`."""

    @pytest.mark.parametrize("abstract", [False, True])
    def test_systemd_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
        address = f"@groundwork-{os.getpid()}" if abstract else str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(address.replace("@", "\0", 1) if abstract else address)
            sock.settimeout(PATIENCE)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
            System().status("import")
            assert sock.recv(100) == b"STATUS=import"

    @pytest.mark.parametrize("address", ["", "/nowhere/notify"])
    def test_where_nobody_listens(self, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        System().status("import")


def test_every_process_of_an_account_is_killed() -> None:
    """In whatever session it is; and nobody else's."""
    uid = 2_000_000_000 + os.getpid()  # of no account, no other test and no container
    with (
        subprocess.Popen(("sleep", "600"), user=uid, start_new_session=True) as one,
        subprocess.Popen(("sleep", "600"), user=uid + 10_000_000) as other,
    ):
        assert System().kill(uid) == [one.pid]
        assert one.wait(PATIENCE) == -9
        assert other.poll() is None
        other.kill()
    assert System().kill(uid) == []


class TestJournal:
    """The end of a unit's journal."""

    def asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, since: float) -> list[str]:
        """What journalctl is asked for, a call in each line."""
        asked, program = tmp_path / "asked", tmp_path / "journalctl"
        program.write_text(f'#!/bin/sh\necho "$*" >>{asked}\necho second\necho first\n')
        program.chmod(0o755)
        monkeypatch.setattr(module, "JOURNALCTL", str(program))
        assert System().journal("shop", "shop@1.service", since) == "first\nsecond"
        return asked.read_text().splitlines()

    def test_it_has_what_was_written_until_now(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The journal may be behind; without a wait for it, what a process says at its end would be missing."""
        assert self.asked(tmp_path, monkeypatch, 1700.2)[:2] == ["--namespace=shop --sync", "--sync"]

    def test_it_has_what_was_written_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The program takes whole seconds; of a unit that failed within the first half second nothing would be left."""
        assert "--since=@1700 " in self.asked(tmp_path, monkeypatch, 1700.7)[-1]


class TestDrain:
    """Visitors whom the old release has not accepted yet when the new one is live."""

    def queue(self, sock: Path, visitors: int) -> tuple[socket.socket, list[socket.socket]]:
        """A socket that listens, and visitors who are connected to it."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(sock))
        listener.listen(10)
        waiting = [socket.socket(socket.AF_UNIX) for _visitor in range(visitors)]
        for visitor in waiting:
            visitor.connect(str(sock))
        return listener, waiting

    def test_it_ends_when_a_slow_server_has_accepted_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sock = tmp_path / "app.sock"
        listener, waiting = self.queue(sock, 3)
        other = self.queue(tmp_path / "other.sock", 1)
        accepted = []
        # None in the time that a server usually takes, then one each time.
        slept = iter((False, True, True, True))
        monkeypatch.setattr(
            module, "sleep", lambda _seconds: accepted.append(listener.accept()) if next(slept) else None
        )
        System().drain(sock)
        assert len(accepted) == len(waiting)
        assert other

    def test_a_server_that_hangs_is_not_waited_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sock = tmp_path / "app.sock"
        kept = self.queue(sock, 1)
        clock = iter(range(0, 100, 4))
        monkeypatch.setattr(module, "monotonic", lambda: next(clock))
        slept: list[float] = []
        monkeypatch.setattr(module, "sleep", slept.append)
        System().drain(sock)
        assert len(slept) == 3
        assert kept

    def test_a_socket_that_is_not_there_has_no_queue(self, tmp_path: Path) -> None:
        assert socket_queue.length(tmp_path / "app.sock") == 0
