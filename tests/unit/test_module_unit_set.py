"""The module unit_set as Ansible calls it, with a systemctl that keeps its units in memory."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import listeners
from ansible_collections.groundwork.flask.plugins.module_utils import unit_set as program
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import FileSet
from ansible_collections.groundwork.flask.plugins.module_utils.placement import Entry
from ansible_collections.groundwork.flask.plugins.module_utils.unit_record import Record
from ansible_collections.groundwork.flask.plugins.modules import unit_set
from ansible_collections.groundwork.flask.tests.unit.module_call import Caller


@dataclass
class Loaded:
    """A unit as systemd has it."""

    active: bool = False
    enabled: bool = False
    broken: bool = False
    restart: str = "no"


class Systemctl:
    """Answers as systemctl does, for the units that exist; journalctl's answer is of the same host.

    :ivar calls: the verbs with their units, in order, but for questions.
    """

    def __init__(self) -> None:
        self.units = {name: Loaded() for name in ("nginx.service", "apache2.service", "nightly.timer")}
        self.calls: list[str] = []

    def run(self, argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        program, *arguments = argv
        if program.endswith("/journalctl"):
            return subprocess.CompletedProcess(argv, 0, "bind() to 0.0.0.0:80 failed\n", "")
        verb, names = arguments[0], [name for name in arguments if "." in name]
        if verb == "show":
            return subprocess.CompletedProcess(argv, 0, "\n\n".join(map(self.show, names)) + "\n", "")
        self.calls.append(" ".join((verb, *names)))
        for name in names:
            unit = self.units[name]
            if verb in ("start", "restart", "reload") and unit.broken:
                return subprocess.CompletedProcess(argv, 1, "", f"Job for {name} failed.")
            unit.active = {"start": True, "restart": True, "stop": False}.get(verb, unit.active)
            unit.enabled = {"enable": True, "disable": False}.get(verb, unit.enabled)
            unit.active = unit.active and "--now" not in arguments
        return subprocess.CompletedProcess(argv, 0, "", "")

    def show(self, name: str) -> str:
        """One block of ``systemctl show``."""
        unit = self.units.get(name)
        if unit is None:
            return f"Id={name}\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n"
        return (
            f"Id={name}\nLoadState=loaded\nActiveState={'active' if unit.active else 'inactive'}\n"
            f"UnitFileState={'enabled' if unit.enabled else 'disabled'}\nNeedDaemonReload=no\nCanReload=yes\n"
            f"Restart={unit.restart}\nActiveEnterTimestampMonotonic=0"
        )


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    made = Systemctl()
    monkeypatch.setattr(program, "subprocess", SimpleNamespace(run=made.run, DEVNULL=subprocess.DEVNULL))
    monkeypatch.setattr(program, "Record", partial(Record, directory=tmp_path / "loaded"))
    sets = partial(program.generations, directory=tmp_path / "sets")
    monkeypatch.setattr(program, "generations", lambda names, *_directory: sets(names))
    return made


@pytest.fixture
def call(systemctl: Systemctl, capsys: pytest.CaptureFixture[str]) -> Caller:
    assert systemctl.calls == []
    return Caller(unit_set, capsys)


def write(tmp_path: Path, name: str, text: str, part: str = "") -> None:
    """Change a file set of the host."""
    FileSet(name, tmp_path / "sets").update([Entry(str(tmp_path / f"{name}-{part}"), text.encode(), part=part)])


def test_units_come_into_their_states_once(call: Caller, systemctl: Systemctl) -> None:
    systemctl.units["apache2.service"] = Loaded(active=True, enabled=True)
    units = [
        {"name": "nginx.service", "enabled": True},
        {"name": "nightly.timer"},
        {"name": "apache2.service", "state": "stopped", "enabled": False},
    ]
    first = call(units=units)
    assert first["changed"]
    assert first["units"] == {
        "nginx.service": ["enable", "start"],
        "nightly.timer": ["start"],
        "apache2.service": ["disable", "stop"],
    }
    assert systemctl.units == {
        "nginx.service": Loaded(active=True, enabled=True),
        "nightly.timer": Loaded(active=True),
        "apache2.service": Loaded(),
    }
    again = call(units=units)
    assert (again["changed"], again["units"]) == (False, {})


def test_check_mode_tells_and_does_nothing(call: Caller, systemctl: Systemctl) -> None:
    result = call(check=True, units=[{"name": "nginx.service", "enabled": True}, {"name": "new.service"}])
    assert result["changed"]
    assert result["units"] == {"nginx.service": ["enable", "start"], "new.service": ["start"]}
    assert systemctl.calls == []


@pytest.mark.parametrize(("on_change", "verb"), [("reloaded", "reload"), ("restarted", "restart")])
def test_a_unit_that_runs_takes_in_what_it_follows(
    call: Caller, systemctl: Systemctl, tmp_path: Path, on_change: str, verb: str
) -> None:
    unit = {"name": "nginx.service", "follows": ["sites"], "on_change": on_change}
    write(tmp_path, "sites", "1")
    assert call(units=[unit])["units"] == {"nginx.service": ["start"]}
    assert not call(units=[unit])["changed"]
    write(tmp_path, "sites", "2")
    assert call(units=[unit])["units"] == {"nginx.service": [verb]}
    assert systemctl.calls[-2:] == ["daemon-reload", f"{verb} nginx.service"]
    assert not call(units=[unit])["changed"]


def test_a_unit_takes_the_place_of_another(call: Caller, systemctl: Systemctl, tmp_path: Path) -> None:
    systemctl.units["nginx.service"] = Loaded(active=True, enabled=True)
    write(tmp_path, "sites", "1", "shop")
    replaced = {"name": "nginx.service", "file_set": "sites", "successor": "apache_sites"}
    unit = {"name": "apache2.service", "enabled": True, "replaces": [replaced]}
    kept = call(units=[unit])
    assert (kept["changed"], kept["kept"], kept["replaced"]) == (False, {"nginx.service": ["shop"]}, [])
    assert systemctl.units["nginx.service"].active
    write(tmp_path, "apache_sites", "1", "shop")
    done = call(units=[unit])
    assert (done["replaced"], done["kept"]) == (["nginx.service"], {})
    assert done["pause"] >= 0
    assert systemctl.units["nginx.service"] == Loaded()
    assert systemctl.units["apache2.service"] == Loaded(active=True, enabled=True)


def test_a_unit_that_does_not_start_fails_the_task_with_its_journal(call: Caller, systemctl: Systemctl) -> None:
    systemctl.units["nginx.service"].broken = True
    result = call(units=[{"name": "nightly.timer"}, {"name": "nginx.service"}])
    assert result["failed"]
    assert "Job for nginx.service failed." in result["msg"]
    assert "bind() to 0.0.0.0:80 failed" in result["msg"]


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ({}, "missing required arguments: name found in units"),
        ({"name": "x.service", "state": "running"}, "value of state must be one of: started, stopped, got: running"),
        ({"name": "x.service", "follow": ["sites"]}, "Unsupported parameters for "),
        ({"name": "x.service", "replaces": [{"name": "y.service"}]}, "missing required arguments: file_set, successor"),
    ],
)
def test_what_is_no_unit_is_refused(call: Caller, systemctl: Systemctl, unit: dict[str, Any], message: str) -> None:
    result = call(units=[unit])
    assert result["failed"]
    assert message in result["msg"]
    assert systemctl.calls == []


@pytest.mark.parametrize(
    ("restart", "left"), [("always", Loaded(False, False, True, "always")), ("no", Loaded(False, True, True))]
)
def test_a_unit_that_does_not_start_and_would_go_on_trying_is_not_left_armed(
    call: Caller, systemctl: Systemctl, monkeypatch: pytest.MonkeyPatch, restart: str, left: Loaded
) -> None:
    monkeypatch.setattr(listeners, "port_holders", lambda _text: ["port 80 is held by apache2"])
    systemctl.units["nginx.service"] = Loaded(broken=True, enabled=True, restart=restart)
    message = call(units=[{"name": "nginx.service", "enabled": True}])["msg"]
    assert "bind() to 0.0.0.0:80 failed\nPort 80 is held by apache2." in message
    assert ("nginx.service was stopped and disabled again." in message) is (restart == "always")
    assert systemctl.units["nginx.service"] == left


def test_a_unit_of_others_is_taken_over_whatever_it_serves(call: Caller, systemctl: Systemctl) -> None:
    systemctl.units["apache2.service"] = Loaded(active=True, enabled=True)
    unit = {"name": "nginx.service", "enabled": True, "takes_over": ["apache2.service"]}
    done = call(units=[unit])
    assert (done["replaced"], done["kept"]) == (["apache2.service"], {})
    assert systemctl.units["apache2.service"] == Loaded()
    assert systemctl.units["nginx.service"] == Loaded(active=True, enabled=True)
    assert not call(units=[unit])["changed"]
