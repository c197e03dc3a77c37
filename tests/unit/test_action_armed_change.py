"""The action plugin armed_change: which connections it opens, when it confirms, and what it says if it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.groundwork.flask.plugins.action import armed_change

ARGUMENTS = {"name": "trial", "apply": ["a"], "revert": ["r"], "confirm": ["c"], "remedy": "Look at your ports."}
BEGUN, CONFIRMED = {"state": "pending", "changed": True}, {"state": "confirmed", "changed": True}
REFUSED = AnsibleError("ssh: connect to host web1 port 22: Connection timed out")
REVERTED = {"outcome": "The host has put back what stood before.", "changed": False}


class Connection:
    """As much of Ansible's connection plugin as is used."""

    def __init__(self, transport: str, **options: Any) -> None:
        self.transport = transport
        self._shell = SimpleNamespace(tmpdir=None)
        self._options: dict[str, Any] = {"ssh_args": "-C -o ControlMaster=auto", "ssh_extra_args": None, "timeout": 10}
        self._options |= {"reconnection_retries": 3, **options}
        self._origins: dict[str, Any] = {}

    def get_option(self, name: str) -> Any:
        """An option."""
        return self._options[name]

    def set_option(self, name: str, value: Any) -> None:
        """Set an option."""
        self._options[name] = value


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of which each look and each pause takes a second."""
    clock = iter(range(10_000))
    fake = SimpleNamespace(monotonic=clock.__next__, sleep=lambda _seconds: next(clock))
    monkeypatch.setattr(armed_change, "time", fake)


def prepared(answers: list[Any], transport: str = "ssh", check: bool = False, **arguments: Any) -> Any:
    """The plugin with a host that gives these answers, the last for ever; what it was asked is in ``steps``."""
    loader = DataLoader()
    task = SimpleNamespace(args={**ARGUMENTS, **arguments}, async_val=0, check_mode=check)
    action: Any = armed_change.ActionModule(task, Connection(transport), None, loader, Templar(loader=loader))
    action.steps, action.connections = [], []

    def execute(module_args: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        action.steps.append(module_args["step"])
        action.connections.append(action._connection)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    action._execute_module = execute
    return action


def test_what_a_new_connection_reaches_is_confirmed() -> None:
    action = prepared([BEGUN, CONFIRMED])
    assert action.run()["state"] == "confirmed"
    assert action.steps == ["begin", "confirm"]


def test_its_connections_share_none_that_is_open_and_the_plays_own_is_left_as_it_was() -> None:
    action = prepared([BEGUN, CONFIRMED])
    used = action._connection
    before = dict(used._options)
    action.run()
    assert action._connection is used
    assert used._options == before
    for connection in action.connections:
        assert connection is not used
        assert connection._options["ssh_args"].startswith("-o ControlMaster=no -o ControlPath=none ")
        assert connection._options["ssh_args"].endswith("-C -o ControlMaster=auto")
        assert connection._options["ssh_extra_args"] == "-S none"
        assert connection._options["reconnection_retries"] == 0


@pytest.mark.parametrize(("timeout", "seconds", "expected"), [(60, 30, 10), (10, 30, 10), (4, 30, 4), (60, 10, 5)])
def test_an_attempt_to_connect_ends_before_the_host_reverts(timeout: int, seconds: int, expected: int) -> None:
    assert armed_change.fresh(Connection("ssh", timeout=timeout), seconds)._options["timeout"] == expected


def test_a_connection_that_fails_once_is_tried_again() -> None:
    action = prepared([BEGUN, REFUSED, CONFIRMED])
    assert action.run()["state"] == "confirmed"
    assert action.steps == ["begin", "confirm", "confirm"]


def test_a_change_that_cut_off_the_call_that_made_it_is_confirmed_if_a_new_connection_comes_through() -> None:
    assert prepared([REFUSED, CONFIRMED]).run()["state"] == "confirmed"


LOCKED_OUT = (
    "trial: the change was applied, and then no new SSH connection could be opened within 30 s: ssh: connect to host "
    "web1 port 22: Connection timed out. The host has put back what stood before. Look at your ports."
)


def test_a_lock_out_is_told_once_the_host_has_reverted() -> None:
    action = prepared([BEGUN, *[REFUSED] * 12, REVERTED])
    result = action.run()
    assert result["failed"]
    assert result["msg"] == LOCKED_OUT
    assert action.steps[-1] == "outcome"


def test_a_connection_that_comes_after_the_revert_says_what_came_before() -> None:
    result = prepared([BEGUN, REFUSED, {"state": "reverted", "changed": True}, REVERTED]).run()
    assert result["failed"]
    assert not result["changed"]
    assert result["msg"] == LOCKED_OUT


def test_a_host_that_stays_unreachable_is_told_with_what_to_do() -> None:
    result = prepared([BEGUN, REFUSED]).run()
    assert "cannot be asked whether it has: ssh: connect to host" in result["msg"]
    assert "use the console of its provider" in result["msg"]


def test_where_no_second_connection_can_be_opened_nothing_is_changed() -> None:
    result = prepared([REFUSED, {"state": "absent", "changed": True}]).run()
    assert result["msg"].startswith("trial: no new SSH connection could be opened: ssh: connect to host")
    assert "Nothing was changed." in result["msg"]


@pytest.mark.parametrize(
    "refusal",
    [
        {"failed": True, "module_stdout": "", "module_stderr": "sudo: a password is required", "msg": "MODULE FAILURE"},
        {"unreachable": True, "msg": "sudo: a password is required"},
    ],
)
def test_a_user_who_is_no_root_any_more_is_a_connection_that_failed(refusal: dict[str, Any]) -> None:
    result = prepared([BEGUN, *[refusal] * 12, REVERTED]).run()
    assert "within 30 s: sudo: a password is required." in result["msg"]


@pytest.mark.parametrize("answers", [[{"failed": True, "msg": "broken"}], [BEGUN, {"failed": True, "msg": "broken"}]])
def test_what_the_host_says_of_a_failure_is_the_result(answers: list[Any]) -> None:
    count = len(answers)
    action = prepared(answers)
    assert action.run()["msg"] == "broken"
    assert len(action.steps) == count


@pytest.mark.parametrize("transport", ["local", "podman", "community.docker.docker"])
def test_without_ssh_there_is_nothing_to_prove(transport: str) -> None:
    action = prepared([CONFIRMED], transport)
    assert action.run()["state"] == "confirmed"
    assert action.steps == ["all"]


def test_ssh_that_cannot_be_opened_twice_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(armed_change.DISPLAY, "warning", shown.append)
    assert prepared([CONFIRMED], "paramiko").run()["state"] == "confirmed"
    assert "without a test by a new connection, because the connection plugin is paramiko" in shown[0]


@pytest.mark.parametrize("needed", [False, "false", "no"])
def test_nothing_to_change_is_no_call(needed: object) -> None:
    action = prepared([], needed=needed)
    assert action.run() == {"changed": False}
    assert action.steps == []


def test_check_mode_makes_no_call() -> None:
    action = prepared([], check=True)
    assert action.run()["changed"]
    assert action.steps == []
