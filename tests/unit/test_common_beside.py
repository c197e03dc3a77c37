"""What needs more than a unit of ours may do runs beside it, in a transient unit that ends with it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import commands, steps
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet
from ansible_collections.groundwork.flask.plugins.module_utils.certificate import asking, processes
from ansible_collections.groundwork.flask.plugins.module_utils.certificate.messages import CertificateError
from ansible_collections.groundwork.flask.plugins.module_utils.common import beside, programs
from ansible_collections.groundwork.flask.plugins.module_utils.database import superuser

UNIT = "groundwork-backup.service"


class Started(list[tuple[list[str], bytes]]):
    """What is started instead of a program, each with its standard input; it prints ``output`` and ends with ``rc``."""

    output, rc = "", 0

    def run(self, argv: Sequence[str], payload: bytes = b"", **_options: Any) -> subprocess.CompletedProcess[str]:
        self.append((list(argv), payload))
        return subprocess.CompletedProcess(argv, self.rc, self.output, "")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    found = Started()
    monkeypatch.setattr(programs, "run", found.run)
    return found


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (f"12:pids:/system.slice/{UNIT}\n0::/system.slice/{UNIT}\n", UNIT),
        ("0::/system.slice/groundwork-backup-drill.service\n", "groundwork-backup-drill.service"),
        ("0::/system.slice/groundwork-certificate.service\n", ""),
        ("0::/user.slice/user-0.slice/session-1.scope\n", ""),
    ],
)
def test_the_unit_of_this_process(tmp_path: Path, text: str, unit: str) -> None:
    (tmp_path / "cgroup").write_text(text)
    assert beside.own_unit("groundwork-backup", tmp_path / "cgroup") == unit
    assert beside.own_unit("groundwork-backup", tmp_path / "none") == ""


def test_the_client_shows_neither_arguments_nor_environment() -> None:
    given = {"AWS_SECRET_ACCESS_KEY": "wJalr"}
    with beside.beside(UNIT, ("/usr/bin/env", "init"), given, [("Nice", "10")], 60) as (client, payload):
        assert client[0] == "/usr/bin/systemd-run"
        assert {"--pipe", "--wait", "--collect", "Nice=10", "RuntimeMaxSec=60", f"BindsTo={UNIT}"} <= set(client)
        assert any(word.startswith("--unit=groundwork-backup-step-") for word in client)
        assert "wJalr" not in " ".join(client)
        assert json.loads(payload) == ["/usr/bin/env", ["/usr/bin/env", "init"], given]


def test_a_program_is_looked_up_and_one_that_is_not_there_is_no_riddle() -> None:
    with beside.beside(UNIT, ("env", "x"), {"PATH": "/usr/bin"}, []) as (_client, payload):
        assert json.loads(payload)[:2] == ["/usr/bin/env", ["env", "x"]]
    with pytest.raises(FileNotFoundError, match="nowhere"), beside.beside(UNIT, ("/nowhere",), {}, []):
        pass


def test_an_interrupted_program_is_stopped(started: Started) -> None:
    with pytest.raises(TimeoutError), beside.beside(UNIT, ("/bin/true",), {}, []) as (client, _payload):
        raise TimeoutError
    (name,) = [word.removeprefix("--unit=") for word in client if word.startswith("--unit=")]
    assert started == [(["/usr/bin/systemctl", "stop", name], b"")]


def test_the_program_gets_its_arguments_its_environment_and_no_input() -> None:
    code = "import os, sys; print(sys.argv[1], dict(os.environ)['NAME'], sys.stdin.read() == '')"
    payload = json.dumps([sys.executable, [sys.executable, "-c", code, "$HOME;"], {"NAME": "caf\udcff"}]).encode()
    with tempfile.TemporaryFile() as stdin:
        stdin.write(payload)
        stdin.seek(0)
        done = subprocess.run(
            (sys.executable, "-I", "-c", beside.EXECUTE_INPUT), stdin=stdin, capture_output=True, check=True
        )
    assert done.stdout == b"$HOME; caf\xff True\n"
    assert not {"$", ";"} & set(beside.EXECUTE_INPUT)  # see plain_argv


@pytest.mark.parametrize("unit", [UNIT, ""])
def test_a_command_of_a_set_without_an_account(started: Started, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    monkeypatch.setattr(beside, "own_unit", lambda _prefix: unit)
    commands.shell("echo hello", BackupSet(name="host", paths=("/etc",)), "before", 10)
    ((argv, payload),) = started
    if unit:
        assert {"ProtectSystem=full", "Nice=10", f"BindsTo={unit}"} <= set(argv)
        assert json.loads(payload)[1] == ["/bin/sh", "-c", "echo hello"]
        assert json.loads(payload)[2]["BACKUP_SET"] == "host"
    else:
        assert argv == ["/bin/sh", "-c", "echo hello"]


def test_restic_may_mount_and_read_everything_but_load_no_module() -> None:
    capabilities = dict(steps.RESTIC)["CapabilityBoundingSet"].split()
    assert {"CAP_DAC_READ_SEARCH", "CAP_CHOWN", "CAP_SYS_ADMIN"} <= set(capabilities)
    assert not {"CAP_SYS_MODULE", "CAP_SYS_PTRACE", "CAP_NET_ADMIN", "CAP_SYS_RAWIO"} & set(capabilities)


@pytest.mark.parametrize("unit", [UNIT, ""])
def test_a_session_of_a_superuser(started: Started, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    monkeypatch.setattr(superuser, "own_unit", lambda _prefix: unit)
    with superuser.as_owner("postgres", ("/usr/bin/env", "-X"), {"PGPORT": "5432"}) as (argv, payload):
        assert ("User=postgres" in argv) == bool(unit)
        assert (argv[0] == superuser.SETPRIV) != bool(unit)
        assert (b"/usr/bin/env" in payload) == bool(unit)
    assert started == []


class TestAsking:
    """The certificates' units have no network: a command of the program asks beside them."""

    @pytest.fixture(autouse=True)
    def in_the_unit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.which", lambda program, **_options: program)
        for module in (asking, processes):
            monkeypatch.setattr(module, "own_unit", lambda _prefix: "groundwork-certificate.service")

    def test_domains(self, started: Started) -> None:
        started.output = '{"shop.test": "no"}'
        assert asking.check_domains(["shop.test"], "f" * 32) == {"shop.test": "no"}
        ((argv, payload),) = started
        assert {"CapabilityBoundingSet=", "PrivateUsers=yes", "BindsTo=groundwork-certificate.service"} <= set(argv)
        assert json.loads(payload)[1][1:] == ["reach", "--token", "f" * 32, "--", "shop.test"]

    def test_a_ca_that_does_not_answer(self, started: Started) -> None:
        started.output, started.rc = '["it is down", "Wait."]', 1
        with pytest.raises(CertificateError, match=r"^it is down\. Wait\.$"):
            asking.ask_directory("https://ca.test/dir", "")

    def test_a_ca_that_answers(self, started: Started) -> None:
        asking.ask_directory("https://ca.test/dir", "/etc/ca.pem")
        assert json.loads(started[0][1])[1][1:] == ["ask", "https://ca.test/dir", "/etc/ca.pem"]

    @pytest.mark.parametrize("output", ["", "[]", "Traceback"])
    def test_a_command_that_fails(self, started: Started, output: str) -> None:
        started.output, started.rc = output, 1
        with pytest.raises(CertificateError, match="certificate failed: exit status 1"):
            asking.check_domains(["shop.test"], "f" * 32)
