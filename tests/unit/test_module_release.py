"""The module release as Ansible calls it. The engine works in this process, on real directories of an app's host."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import work
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout, other_apps
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.modules import release
from ansible_collections.groundwork.flask.tests.unit.module_call import Caller
from ansible_collections.groundwork.flask.tests.unit.release_app import App

BOB = work.ActiveRun("a deploy of shop by bob@desk", "2026-01-02T03:04:05Z", "command", 7)


class Units:
    """What runs in units on a host runs in this process.

    :ivar orders: the orders that came to the engine, with the seconds to wait for another.
    :ivar at_work: who is at work on which app.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.orders: list[tuple[work.Order, float]] = []
        self.at_work: dict[str, work.ActiveRun] = {}

    def holder(self, app: str) -> work.ActiveRun | None:
        return self.at_work.get(app)

    def do(self, order: work.Order, wait: float) -> Result:
        """Hand an order over as text, and read its result from the file, as the unit and its caller do."""
        self.orders.append((order, wait))
        given = work.Order(**json.loads(json.dumps(asdict(order))))
        work.perform(given, self.app.system, kind=partial(Engine, root=self.app.root))  # type: ignore[arg-type]
        ended = work.result_of(Layout(given.app, self.app.root), given)
        if error := ended.get("error"):
            raise ReleaseError(error["step"], error["message"], error["log"], error["reference"])
        return Result(**ended["result"])


@pytest.fixture
def units(app: App, monkeypatch: pytest.MonkeyPatch) -> Units:
    made = Units(app)
    monkeypatch.setattr(work, "Layout", partial(Layout, root=app.root))
    monkeypatch.setattr(release, "Layout", partial(Layout, root=app.root))
    named = SimpleNamespace(of=lambda name: app.system.ownership(name, app.root))
    monkeypatch.setattr(release, "Ownership", named)
    monkeypatch.setattr(work, "active_run", made.holder)
    monkeypatch.setattr(work, "do", made.do)
    monkeypatch.setattr(release, "other_apps", partial(other_apps, root=app.root))
    in_memory = partial(Engine, system=app.system, root=app.root)
    monkeypatch.setattr(release, "Engine", in_memory)
    return made


@pytest.fixture
def call(units: Units, capsys: pytest.CaptureFixture[str]) -> Caller:
    assert units.orders == []
    return Caller(release, capsys)


def options(app: App, colour: str = "red", **more: Any) -> dict[str, Any]:
    """The options of one app, as the action plugin hands them over."""
    return {**app.spec, "environment": {"WSGI_APP": "shop:app", "COLOUR": colour}, **more}


def of(result: Mapping[str, Any], app: App) -> dict[str, Any]:
    found: dict[str, Any] = result["apps"][app.name]
    return found


def test_a_release_goes_live_and_the_same_again_asks_no_engine(call: Caller, units: Units, app: App) -> None:
    first = call(apps=[options(app)], by="ann@laptop", installer="pip")
    assert (first["changed"], first["failed_apps"], of(first, app)["action"]) == (True, {}, "deployed")
    assert app.at.live() == of(first, app)["release"]
    assert [event["by"] for event in app.ledger.events() if event["event"] == "live"] == ["ann@laptop"]
    ((order, wait),) = units.orders
    assert (order.verb, order.app, wait) == ("deploy", app.name, work.WAIT_SECONDS)
    again = call(apps=[options(app)], by="ann@laptop", installer="pip")
    assert (again["changed"], of(again, app)["action"], again["diff"]) == (False, "unchanged", [])
    assert len(units.orders) == 1


def test_a_change_is_shown_as_a_diff(call: Caller, app: App) -> None:
    old = of(call(apps=[options(app)], installer="pip"), app)["release"]
    changed = call(apps=[options(app, "blue")], installer="pip")
    (diff,) = changed["diff"]
    assert diff["before_header"] == f"{app.name}, release {old}"
    assert "red" in diff["before"]
    assert "blue" in diff["after"]
    assert of(changed, app)["previous"] == old


def test_check_mode_foretells_and_does_nothing(call: Caller, units: Units, app: App) -> None:
    result = call(check=True, apps=[options(app)])
    assert (result["changed"], of(result, app)["action"]) == (True, "to deploy")
    assert units.orders == []
    assert app.at.live() is None
    assert call(check=True, absent=[app.name])["changed"] is app.at.home.exists()


def test_no_secret_stands_in_what_it_prints(call: Caller, app: App) -> None:
    app.system.fail["command-of-the-release"] = "cannot log in with hunter2"
    arguments: dict[str, Any] = {
        "apps": [options(app, release_command="command-of-the-release")],
        "secrets": {app.name: {"TOKEN": "hunter2"}},
        "deploy_keys": {app.name: "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter3\n"},
        "build_environment": {"PIP_INDEX_URL": "https://me:hunter4@pypi.example.org/simple"},
        "installer": "pip",
    }
    result = call(**arguments)
    assert list(result["failed_apps"]) == [app.name]
    for secret in ("hunter2", "hunter3", "hunter4"):
        assert secret not in call.printed
    assert result["invocation"] == {"module_args": {"apps": [app.name], "absent": []}}


def test_an_app_that_fails_is_told_beside_the_others(call: Caller, app: App) -> None:
    """The task itself goes on: it is the action plugin that fails it, once it has heard of all apps."""
    app.system.fail["venv"] = "no space left"
    result = call(apps=[options(app)], installer="pip")
    assert result["failed_apps"][app.name].startswith("step install: ")
    assert "no space left" in result["failed_apps"][app.name]
    assert (result["apps"], result["changed"]) == ({}, False)
    (bad,) = [event["release"] for event in app.ledger.events() if event["event"] == "bad"]
    assert (result["references"], result["not_live"]) == ({app.name: bad}, [app.name])
    assert bad in app.at.undeployed.read_text()
    app.system.fail.clear()
    done = call(apps=[options(app)], installer="pip")
    assert (done["references"], done["not_live"]) == ({}, [])
    assert not app.at.undeployed.exists()
    app.system.fail["venv"] = "no space left"
    again = call(apps=[options(app, requirements=["flask==1"])], installer="pip")
    assert (list(again["failed_apps"]), again["not_live"]) == ([app.name], [])
    assert not app.at.undeployed.exists(), "what was live serves on"


def test_apps_are_deployed_at_the_same_time_and_told_in_their_order(
    call: Caller, units: Units, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=60)

    def do(order: work.Order, wait: float) -> Result:
        together.wait()  # broken unless both are there
        if order.app == "aaa":
            raise ReleaseError("import", "no module", reference="b1")
        units.orders.append((order, wait))
        return Result("r1", action="deployed")

    monkeypatch.setattr(work, "do", do)
    monkeypatch.setattr(release, "slots", lambda: 2)
    result = call(apps=[options(app, name="bbb"), options(app, name="aaa")], installer="pip")
    assert (list(result["apps"]), result["failed_apps"]) == (["bbb"], {"aaa": "step import: no module"})
    assert (result["references"], result["not_live"]) == ({"aaa": "b1"}, ["aaa"])


def test_who_is_at_work_is_told_instead_of_waited_for_when_asked_so(call: Caller, units: Units, app: App) -> None:
    units.at_work = {app.name: BOB, "old": BOB}
    result = call(apps=[options(app)], absent=["old"], wait=0)
    assert result["at_work"] == {app.name: str(BOB), "old": str(BOB)}
    assert (result["apps"], result["changed"], units.orders) == ({}, False, [])
    waited = call(apps=[options(app)], installer="pip", wait=60)
    assert "at_work" not in waited
    assert [wait for _order, wait in units.orders] == [60]


def test_a_first_release_in_the_background_is_waited_for_by_the_call_that_continues(
    call: Caller, units: Units, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[work.Order] = []

    def begin(order: work.Order) -> bool:
        begun.append(order)
        return True

    monkeypatch.setattr(work, "begin", begin)
    first = call(apps=[options(app)], installer="pip", background=True)
    (order,) = begun
    assert (first["changed"], first["apps"], first["failed_apps"]) == (True, {}, {})
    assert first["begun"] == {app.name: order.id}
    assert units.orders == []
    units.at_work = {app.name: BOB}  # it is the run that was begun
    then = call(apps=[options(app)], installer="pip", continues={"begun": first["begun"]})
    assert (then["changed"], of(then, app)["action"], then["begun"]) == (True, "deployed", {})
    assert [given.id for given, _wait in units.orders] == [order.id]
    units.at_work = {}
    again = call(apps=[options(app, "blue")], installer="pip", background=True)
    assert (of(again, app)["action"], again["begun"], len(begun)) == ("deployed", {}, 1)


def test_a_first_release_that_ends_before_it_starts_is_told_at_once(
    call: Caller, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "begin", lambda _order: False)
    app.system.fail["venv"] = "no space left"
    result = call(apps=[options(app)], installer="pip", background=True)
    assert (result["begun"], list(result["failed_apps"])) == ({}, [app.name])


def test_an_app_that_was_named_absent_goes(call: Caller, units: Units, app: App) -> None:
    call(apps=[options(app)], installer="pip")
    assert call(apps=[])["others"] == [app.name]
    assert call(check=True, absent=[app.name])["changed"]
    assert app.at.live()
    assert call(absent=[app.name])["changed"]
    assert not app.at.home.exists()
    assert [order.verb for order, _wait in units.orders] == ["deploy", "remove"]
    assert call(apps=[])["others"] == []


def test_a_key_is_rotated_by_the_engine_but_not_one_that_hosts_share(call: Caller, units: Units, app: App) -> None:
    call(apps=[options(app)], installer="pip")
    before = app.at.secret_key.read_text()
    call(apps=[options(app)], installer="pip", rotate_secret_key=True)
    assert app.at.secret_key.read_text() != before
    call(apps=[options(app)], installer="pip", rotate_secret_key=True, shared_secret_keys={app.name: "k" * 64})
    assert [order.options["rotate"] for order, _wait in units.orders] == [False, True, False]
    assert units.orders[-1][0].shared_key == "k" * 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"apps": [{}]}, "missing required arguments: name"),
        ({"apps": [{"name": "shop", "source": {}, "colour": "red"}]}, "Unsupported parameters for "),
        ({"through": "lunch"}, "value of through must be one of: fetch, install, stop, setup, import, save, command, "),
        ({"installer": "conda"}, "value of installer must be one of: uv, pip, got: conda"),
        ({"keep": "some"}, "argument 'keep' is of type "),
    ],
)
def test_what_is_no_order_is_refused(call: Caller, units: Units, arguments: dict[str, Any], message: str) -> None:
    result = call(**arguments)
    assert result["failed"]
    assert message in result["msg"]
    assert units.orders == []
