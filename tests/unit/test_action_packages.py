"""The action plugins packages, host_facts and check_problems: what they ask the host, show, and refuse."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.groundwork.flask.plugins.action import check_problems, host_facts, packages

FREE: dict[str, Any] = {"locks": [], "space": [], "bindings": True, "check_mode": False}
HELD = {"path": "/var/lib/dpkg/lock", "pid": 7, "name": "unattended-upgr", "unit": "apt-daily.service", "seconds": 40}
READY = {"systemd": True, "read_only": [], "time": 4e9, "synchronized": True}


def prepared(plugin: Any, monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], **arguments: Any) -> Any:
    """A plugin with a host that gives these answers; what it was asked is in ``calls``, what was shown in ``shown``."""
    loader = DataLoader()
    task = SimpleNamespace(args=arguments, async_val=0, check_mode=False)
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    action = plugin.ActionModule(task, connection, None, loader, Templar(loader=loader))
    action.calls, action.shown = [], []

    def execute(module_name: str = "", module_args: Any = None, **_options: Any) -> dict[str, Any]:
        action.calls.append((module_name, module_args))
        return answers.pop(0)

    monkeypatch.setattr(action, "_execute_module", execute)
    if plugin is packages:
        monkeypatch.setattr(packages.DISPLAY, "display", lambda text, **_options: action.shown.append(text))
    return action


APT = {"name": ["nginx"], "update_cache": True, "install_recommends": False, "lock_timeout": 600}


def test_packages_are_installed_once_the_lock_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    held = FREE | {"locks": [HELD]}
    action = prepared(packages, monkeypatch, [held, held, FREE, {"changed": True}], name=["nginx"])
    assert action.run(task_vars={"inventory_hostname": "web1"})["changed"]
    assert action.calls == [
        ("", {"name": ["nginx"]}),
        *[("", {"name": ["nginx"], "wait": packages.PAUSE})] * 2,
        ("ansible.builtin.apt", APT),
    ]
    who = "unattended-upgr (pid 7, apt-daily.service), running for 40 s, holds /var/lib/dpkg/lock"
    assert action.shown == [f"web1: waiting for apt: {who}"] * 2


def test_a_lock_that_is_never_free_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "SECONDS", -1)
    action = prepared(packages, monkeypatch, [FREE | {"locks": [HELD]}], name=["nginx"])
    result = action.run()
    assert result["failed"]
    assert "unattended-upgr (pid 7, apt-daily.service)" in result["msg"]


def test_what_ansibles_module_needs_is_installed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [FREE | {"bindings": False}, FREE, {"changed": True}]
    action = prepared(packages, monkeypatch, answers, name=["nginx"])
    assert action.run()["changed"]
    assert [arguments.get("bindings") for _module, arguments in action.calls] == [None, True, None]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"failed": True, "msg": "no root"}, {"failed": True, "msg": "no root"}),
        (FREE | {"check_mode": True, "locks": [HELD]}, {"changed": True}),
    ],
)
def test_one_look_is_all(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], expected: dict[str, Any]) -> None:
    action = prepared(packages, monkeypatch, [answer], name=["nginx"])
    assert action.run().items() >= expected.items()


def test_a_full_disk_is_refused_in_check_mode_too(monkeypatch: pytest.MonkeyPatch) -> None:
    full = FREE | {"space": [{"path": "/boot", "free": 0, "files": 9}], "check_mode": True}
    result = prepared(packages, monkeypatch, [full], name=["nginx"]).run()
    assert (result["failed"], "/boot has 0 MB left" in result["msg"]) == (True, True)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"readiness": READY | {"systemd": False}}, "systemd is not the init"),
        (
            {"failed": True, "msg": "The module interpreter '/usr/bin/python3' was not found."},
            "no Python 3 on",
        ),
    ],
)
def test_a_host_that_cannot_be_set_up(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], text: str) -> None:
    result = prepared(host_facts, monkeypatch, [answer]).run()
    assert (result["failed"], text in result["msg"]) == (True, True)


def test_a_clock_that_is_wrong_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    result = prepared(host_facts, monkeypatch, [{"readiness": READY, "packages": ["nginx"]}]).run()
    assert (result.get("failed"), result["packages"]) == (None, ["nginx"])
    assert "ahead of the controller's" in result["warnings"][0]


@pytest.mark.parametrize(("problems", "failed"), [([], None), (["one", "two"], True)])
def test_all_problems_are_said_at_once(
    monkeypatch: pytest.MonkeyPatch, problems: list[str], failed: bool | None
) -> None:
    result = prepared(check_problems, monkeypatch, [], problems=problems, warnings=["beware"]).run()
    assert (result.get("failed"), result.get("msg", "").splitlines()) == (failed, problems)
    assert result["warnings"] == ["beware"]
