"""What a module call does once its files are in place: the order, and what the result holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import commands, unit_set
from ansible_collections.groundwork.flask.plugins.module_utils.commands import Command, CommandError
from ansible_collections.groundwork.flask.plugins.module_utils.follow_up import follow_up
from ansible_collections.groundwork.flask.plugins.module_utils.unit_options import Replaced, Unit
from ansible_collections.groundwork.flask.plugins.module_utils.unit_set import UnitSetError

UNIT = {
    "name": "nginx.service",
    "state": "started",
    "enabled": True,
    "follows": ["sites"],
    "on_change": "reloaded",
    "restart_for": ["/etc/unit"],
    "replaces": [{"name": "apache2.service", "file_set": "old", "successor": "sites", "absent_parts": ["shop"]}],
    "takes_over": ["caddy.service"],
}
COMMAND = {"name": "queue", "argv": ["/bin/queue"], "check_argv": ["/bin/queue", "-n"], "output": "json", "seconds": 5}
OPTIONS = {"units": [UNIT], "commands": [COMMAND]}


class Calls:
    """What was asked of the two that do the work, and what they answer."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.units = unit_set.Outcome()
        self.commands = commands.Outcome()
        self.asked: list[Any] = []

    def update(self, units: Sequence[Unit], check_mode: bool, changing: frozenset[str]) -> unit_set.Outcome:
        self.order.append("units")
        self.asked.append((list(units), check_mode, changing))
        return self.units

    def run_all(self, ran: Sequence[Command], check_mode: bool, renewed: Sequence[str]) -> commands.Outcome:
        self.order.append("commands")
        self.asked.append((list(ran), check_mode, renewed))
        return self.commands


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls()
    monkeypatch.setattr(unit_set, "update", made.update)
    monkeypatch.setattr(commands, "run_all", made.run_all)
    return made


def test_units_come_before_commands_and_get_all_their_options(calls: Calls) -> None:
    follow_up(OPTIONS, {"changed_files": ["/bin/queue"]}, True, frozenset(["sites"]))
    assert calls.order == ["units", "commands"]
    replaced = (Replaced("apache2.service", "old", "sites", ("shop",)), Replaced("caddy.service"))
    unit = Unit("nginx.service", True, True, ("sites",), "reload", ("/etc/unit",), replaced)
    assert calls.asked[0] == ([unit], True, frozenset(["sites"]))
    assert calls.asked[1] == (
        [Command("queue", ("/bin/queue",), ("/bin/queue", "-n"), "json", 5)],
        True,
        ["/bin/queue"],
    )


@pytest.mark.parametrize(
    ("files", "units", "command", "changed"),
    [
        (False, {}, False, False),
        (True, {}, False, True),
        (False, {"nginx.service": ["reload"]}, False, True),
        (False, {}, True, True),
    ],
)
def test_any_of_the_three_is_a_change(
    calls: Calls, files: bool, units: dict[str, list[str]], command: bool, changed: bool
) -> None:
    calls.units.done, calls.commands = units, commands.Outcome(command, {"queue": {"changed": command}})
    result: dict[str, Any] = {"changed": files}
    follow_up(OPTIONS, result, False)
    assert result == {
        "changed": changed, "units": units, "replaced": [], "kept": {}, "outputs": {"queue": {"changed": command}}
    }  # fmt: skip


def test_the_pause_of_a_replacement_is_told(calls: Calls) -> None:
    calls.units = unit_set.Outcome({"a": ["start"]}, ["apache2.service"], {}, 0.456)
    result: dict[str, Any] = {}
    follow_up(OPTIONS, result, False)
    assert (result["pause"], result["replaced"]) == (0.46, ["apache2.service"])


def test_a_unit_that_fails_keeps_the_commands_from_running(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise UnitSetError("`systemctl start nginx.service` failed")

    monkeypatch.setattr(unit_set, "update", fail)
    result: dict[str, Any] = {"changed": True, "changed_files": ["/etc/site"]}
    with pytest.raises(UnitSetError):
        follow_up(OPTIONS, result, False)
    assert calls.order == []
    assert result == {"changed": True, "changed_files": ["/etc/site"]}


def test_a_command_that_fails_leaves_told_what_was_done_to_units(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise CommandError("`/bin/queue` failed")

    calls.units.done = {"nginx.service": ["start"]}
    monkeypatch.setattr(commands, "run_all", fail)
    result: dict[str, Any] = {}
    with pytest.raises(CommandError):
        follow_up(OPTIONS, result, False)
    assert (result["changed"], result["units"]) == (True, {"nginx.service": ["start"]})
