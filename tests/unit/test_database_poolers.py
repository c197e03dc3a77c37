"""Pausing and resuming poolers, against a console that speaks PostgreSQL's protocol as PgBouncer does."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.database import poolers
from ansible_collections.groundwork.flask.plugins.module_utils.database.clusters import Cluster
from ansible_collections.groundwork.flask.plugins.module_utils.database.poolers import Pooler, PoolerError

READY = b"Z" + struct.pack("!i", 5) + b"I"
GREETING = b"R" + struct.pack("!ii", 8, 0) + READY
DONE = b"C" + struct.pack("!i", 10) + b"PAUSE\0" + READY


def refusal(text: str, severity: str = "ERROR") -> bytes:
    """A message that says no."""
    body = f"S{severity}\0C08P01\0M{text}\0\0".encode()
    return b"E" + struct.pack("!i", len(body) + 4) + body


class Console:
    """A pooler's admin console on a socket; it greets, then gives one answer to the first command."""

    def __init__(self, path: Path, answer: bytes, greeting: bytes = GREETING) -> None:
        self.received = b""
        self.answer, self.greeting = answer, greeting
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Take one client."""
        client, _address = self.listener.accept()
        with client, contextlib.suppress(OSError):
            client.recv(1000)
            client.sendall(self.greeting)
            self.received = client.recv(1000)
            client.sendall(self.answer)
            client.recv(1)


@pytest.fixture
def listens(tmp_path: Path) -> Path:
    """Where a pooler listens."""
    return tmp_path / ".s.PGSQL.6432"


@pytest.mark.parametrize(
    "answer", [DONE, refusal("already suspended/paused") + READY, refusal("pooler is not paused/suspended") + READY]
)
def test_a_command_that_is_done_or_was_done_before(listens: Path, answer: bytes) -> None:
    console = Console(listens, answer)
    Pooler("shop", str(listens)).tell("PAUSE", 60)
    assert console.received == b"Q\x00\x00\x00\x0aPAUSE\x00"


@pytest.mark.parametrize(
    ("answer", "greeting", "expected"),
    [
        (refusal("admin access needed") + READY, GREETING, "refuses: admin access needed"),
        (b"", refusal("not allowed", "FATAL"), "refuses: not allowed"),
        (refusal("no\n\x1b[2J") + READY, GREETING, r"refuses: no \\x1b\[2J$"),
        (b"Z" + struct.pack("!i", 2**30), GREETING, "a message of 1073741824 bytes"),
        (b"Z", GREETING, "has not ended PAUSE after"),
    ],
)
def test_a_pooler_that_does_not_pause(listens: Path, answer: bytes, greeting: bytes, expected: str) -> None:
    Console(listens, answer, greeting)
    with pytest.raises(PoolerError, match=expected):
        Pooler("shop", str(listens)).tell("PAUSE", 0.5 if "has not ended" in expected else 60)


def test_a_pooler_that_is_not_there_is_a_problem_and_no_traceback(listens: Path) -> None:
    assert poolers.for_each([Pooler("shop", str(listens))], lambda one: one.tell("PAUSE", 1)) == [
        f"shop: {listens}: [Errno 2] No such file or directory"
    ]


class Calls(list[tuple[str, ...]]):
    """The programs that were called."""

    def run(self, argv: Sequence[str], **_options: object) -> subprocess.CompletedProcess[str]:
        self.append(tuple(argv))
        return subprocess.CompletedProcess(argv, 0, "", "")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Programs are noted, and two clusters are there."""
    found = Calls()
    monkeypatch.setattr(programs, "run", found.run)
    monkeypatch.setattr(poolers, "clusters", lambda: [Cluster(17, "main", 5433), Cluster(15, "main", 5432)])
    return found


def record(root: Path, app: str, port: int, listening: bool = True) -> None:
    """What the role has written of an app's pooler."""
    directory = root / "etc/groundwork/services" / app
    directory.mkdir(parents=True)
    pooler = {"socket": f"/run/{app}.pooler", "port": 6432, "server_port": port}
    (directory / "pooler.json").write_text(json.dumps(pooler))
    if listening:
        (root / f"run/{app}.pooler").mkdir(parents=True)
        (root / f"run/{app}.pooler/.s.PGSQL.6432").touch()


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(("cluster", "apps"), [("15-main", ["blog", "shop"]), ("17-main", ["wiki"]), ("17-x", None)])
def test_the_poolers_of_a_cluster_are_those_of_its_port(tmp_path: Path, cluster: str, apps: list[str] | None) -> None:
    for app, port in (("shop", 5432), ("blog", 5432), ("wiki", 5433)):
        record(tmp_path, app, port)
    record(tmp_path, "off", 5432, listening=False)
    assert [one.app for one in poolers.poolers(cluster, tmp_path)] == (apps or ["blog", "shop", "wiki"])


def test_a_pause_sets_a_guard_first_and_a_resume_that_fails_is_a_signal_too(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(poolers, "poolers", lambda _cluster: [Pooler("shop", str(tmp_path / "none"))])
    assert len(poolers.pause("15-main")) == 1
    stop, start = calls
    assert stop[1:] == ("stop", "groundwork-poolers-guard-15-main.timer")
    assert start[0] == "/usr/bin/systemd-run"
    assert start[-3:] == (poolers.PROGRAM, "resume", "15-main")
    calls.clear()
    assert len(poolers.resume("15-main")) == 1
    assert calls == [("/usr/bin/systemctl", "kill", "--signal=SIGUSR2", "--kill-who=main", "shop.pooler.service")]


def test_without_poolers_nothing_is_called(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poolers, "poolers", lambda _cluster: [])
    assert poolers.pause("15-main") == poolers.resume("15-main") == []
    assert calls == []


def test_clusters_that_run_already_are_followed_and_no_other_is_started(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poolers, "clusters", lambda: [Cluster(17, "main", 5432), Cluster(15, "main", 5433, "down")])
    assert poolers.follow() == []
    assert calls == [("/usr/bin/systemctl", "start", "groundwork-poolers@17-main.service")]
