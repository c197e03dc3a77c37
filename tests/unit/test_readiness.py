"""A fresh server: what is said of its init, file systems, clock, disk and apt, and who may set it up."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import apt_state
from ansible_collections.groundwork.flask.plugins.module_utils import readiness as facts
from ansible_collections.groundwork.flask.plugins.module_utils.common import privileges, programs
from ansible_collections.groundwork.flask.plugins.modules import file_set, host_facts, packages, release, unit_set
from ansible_collections.groundwork.flask.plugins.plugin_utils import readiness
from ansible_collections.groundwork.flask.tests.unit.module_call import Caller

NOW = 1_800_000_000.0
READY = {"systemd": True, "read_only": [], "time": NOW, "synchronized": True}


@pytest.mark.parametrize(
    ("found", "texts"),
    [
        ({}, []),
        ({"systemd": False}, ["systemd is not the init of this host"]),
        ({"read_only": ["/etc", "/var"]}, ["/etc, /var can only be read on this host."]),
        ({"systemd": False, "read_only": ["/srv"]}, ["systemd is not the init", "/srv can only be read"]),
    ],
)
def test_what_keeps_a_host_from_being_set_up(found: dict[str, Any], texts: list[str]) -> None:
    problems = readiness.problems(READY | found)
    assert len(problems) == len(texts)
    assert all(text in problem for text, problem in zip(texts, problems, strict=True))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({}, ""),
        ({"time": NOW - 200}, ""),
        ({"time": NOW + 260}, ""),
        ({"time": NOW - 5 * 365 * 86400}, "is 1825 days behind the controller's"),
        ({"time": NOW + 3 * 3600}, "is 3 hours ahead of the controller's"),
        ({"time": NOW - 362, "synchronized": False}, "is 6 minutes behind"),
        ({"synchronized": False}, "Nothing keeps the clock of this host right"),
    ],
)
def test_what_is_said_of_a_clock(found: dict[str, Any], text: str) -> None:
    warnings = readiness.warnings(READY | found, NOW - 2, NOW + 60)
    assert len(warnings) == bool(text)
    assert all(text in warning and "systemd-timesyncd" in warning for warning in warnings)


def test_this_machine_is_looked_at(tmp_path: Path) -> None:
    began = time.time()
    found = facts.readiness(tmp_path)
    assert (found["systemd"], type(found["synchronized"])) == (False, bool)
    assert began - 1 <= found["time"] <= time.time() + 1  # it may be in whole seconds
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "run/systemd/container").write_text("podman")
    assert facts.readiness(tmp_path) | {"time": 0} == READY | {"time": 0, "read_only": facts.read_only()}


MB = 1_000_000


@pytest.mark.parametrize(
    ("path", "free", "files", "text"),
    [
        ("/", 301 * MB, 10_001, ""),
        ("/", 301 * MB, None, ""),
        ("/", 299 * MB, 10_001, "/ has 299 MB left, and apt needs 300 MB"),
        ("/var", 0, None, "/var has 0 MB left"),
        ("/var", 301 * MB, 12, "/var has names for 12 files left (inodes), and apt needs 10000"),
        ("/boot", 11 * MB, 300, ""),
        ("/boot", 9 * MB, 300, "/boot has 9 MB left, and apt needs 10 MB"),
    ],
)
def test_a_full_disk(path: str, free: int, files: int | None, text: str) -> None:
    problems = readiness.space_problems([{"path": path, "free": free, "files": files}])
    assert len(problems) == bool(text)
    assert all(text in problem and "`apt-get clean`" in problem for problem in problems)


def test_a_file_system_is_looked_at_once() -> None:
    assert [one["path"] for one in apt_state.space(("/", "/", "/no-such-place"))] == ["/"]


HOLD = "import fcntl, sys; held = open(sys.argv[1], 'w'); fcntl.lockf(held, fcntl.LOCK_EX); print(flush=True); input()"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has dpkg's lock below another root."""
    lock = tmp_path / apt_state.LOCKS[0]
    lock.parent.mkdir(parents=True)
    argv = (sys.executable, "-c", HOLD, str(lock))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        yield process
        process.kill()


def test_who_holds_a_lock(locked: subprocess.Popen[str], tmp_path: Path) -> None:
    (found,) = apt_state.locks(tmp_path)
    assert (found["path"], found["pid"]) == ("/var/lib/dpkg/lock-frontend", locked.pid)
    assert 0 <= found["seconds"] < 600
    assert readiness.lock_holder(found).startswith("python")
    assert f"(pid {locked.pid}" in readiness.lock_holder(found)
    locked.kill()
    locked.wait()
    assert apt_state.locks(tmp_path) == []


def test_a_lock_file_that_no_process_holds(tmp_path: Path) -> None:
    for name in apt_state.LOCKS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert apt_state.locks(tmp_path) == []
    with (tmp_path / apt_state.LOCKS[1]).open("w") as own:
        fcntl.lockf(own, fcntl.LOCK_EX)
        assert apt_state.locks(tmp_path) == []


def test_a_holder_that_cannot_be_seen() -> None:
    lock = {"path": "/var/lib/dpkg/lock", "pid": 0, "name": "", "unit": "", "seconds": 0}
    assert readiness.lock_holder(lock) == "a process that cannot be seen from here holds /var/lib/dpkg/lock"


def test_the_wait_ends_when_the_lock_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[{"pid": 7}], [{"pid": 7}], []]
    monkeypatch.setattr(apt_state, "locks", lambda: answers.pop(0))
    assert apt_state.locks_after(60, pause=0) == []
    answers += [[{"pid": 7}]]
    assert apt_state.locks_after(0) == [{"pid": 7}]


@pytest.mark.parametrize("status", [0, 1])
def test_what_ansibles_module_needs_is_installed(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    ran: list[str] = []

    def run(argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        ran.append(" ".join(argv))
        return subprocess.CompletedProcess(argv, status, "", "no network")

    monkeypatch.setattr(programs, "run", run)
    assert not apt_state.has_bindings()
    if status:
        with pytest.raises(RuntimeError, match=r"`apt-get update` failed: no network\. Mend apt"):
            apt_state.install_bindings()
    else:
        apt_state.install_bindings()
        assert ran[-1] == "/usr/bin/apt-get -qq install --yes --no-install-recommends python3-apt"


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        (host_facts, {}),
        (packages, {"name": ["nginx"]}),
        (file_set, {"name": "sites"}),
        (unit_set, {"units": []}),
        (release, {"apps": []}),
    ],
    ids=["host_facts", "packages", "file_set", "unit_set", "release"],
)
def test_without_root_nothing_begins(
    capsys: pytest.CaptureFixture[str], module: ModuleType, arguments: dict[str, Any], check: bool
) -> None:
    call = Caller(module, capsys)
    call.as_root = False
    result = call(check, **arguments)
    assert result["failed"]
    assert "needs root: set `ansible_become: true` for the host" in result["msg"]
    assert "The user to become (`ansible_become_user`) is root." in result["msg"]


def test_who_cannot_become_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115 - pytest puts the old one back
    monkeypatch.setattr(programs, "run", lambda argv, **_options: subprocess.CompletedProcess(argv, 1, "", ""))
    assert not privileges.may_become_root()


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"failed": True, "msg": "The module interpreter '/usr/bin/python3' was not found."}, True),
        ({"failed": True, "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found", "msg": "MODULE FAILURE"}, True),
        ({"failed": True, "msg": "dpkg-query failed: it is broken"}, False),
        ({"msg": "/usr/bin/python3 was not found"}, False),
    ],
)
def test_a_host_without_python(result: dict[str, Any], told: bool) -> None:
    assert ("apt-get install --yes python3" in readiness.without_python(result)) is told
