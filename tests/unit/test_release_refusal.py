"""What a failed deploy leaves: its reference in ledger, overviews and page."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import command, work
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout, other_apps, undeployed_apps
from ansible_collections.groundwork.flask.plugins.module_utils.release.ledger import states
from ansible_collections.groundwork.flask.plugins.module_utils.release.settings import DeploySettings
from ansible_collections.groundwork.flask.tests.unit.release_app import App

NOWHERE = {"git": "https://example.org/none.git", "version": "v1"}


@pytest.fixture(autouse=True)
def here(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "Layout", partial(Layout, root=app.root))
    monkeypatch.setattr(work, "active_run", lambda _app: None)
    app.at.home.mkdir(parents=True, exist_ok=True)


def deploy(app: App, **changes: Any) -> dict[str, Any]:
    """Deploy in the unit's way; what failed, empty when nothing did."""
    spec = {**app.spec, **changes}
    order = work.Order("deploy", spec, asdict(DeploySettings(installer="pip", by="ann")), {}, {"TOKEN": "hunter22"})
    work.perform(order, app.system, partial(Engine, root=app.root))  # type: ignore[arg-type]
    found: dict[str, Any] = work.result_of(app.at, order).get("error") or {}
    return found


def test_a_source_that_cannot_be_read_has_a_number_before_it_has_a_release(app: App) -> None:
    app.system.fail["ls-remote"] = "could not resolve host, said hunter22"
    error = deploy(app, source=NOWHERE)
    (event,) = [event for event in app.ledger.events() if event["event"] == "bad"]
    assert event["release"] == error["reference"]
    assert (event["step"], event["source"]) == (error["step"], "https://example.org/none.git v1")
    assert "hunter22" not in str(event)
    (row,) = states(app.at)
    assert (row["release"], row["state"], row["reason"]) == (error["reference"], "bad", event["reason"])
    refused = command.status(app.at)["refused"]
    assert refused == {"release": error["reference"], "time": event["time"], "reason": event["reason"]}
    assert undeployed_apps(app.root) == other_apps([], app.root) == [app.name]
    assert other_apps([app.name], app.root) == []


def test_the_same_fault_has_the_same_number_and_one_line(app: App) -> None:
    app.system.fail["ls-remote"] = "could not resolve host"
    first, second = deploy(app, source=NOWHERE), deploy(app, source=NOWHERE)
    other = deploy(app, source={**NOWHERE, "git": "https://example.org/other.git"})
    assert first["reference"] == second["reference"] != other["reference"]
    assert [row["release"] for row in states(app.at)] == [other["reference"], first["reference"]]


def test_the_page_says_the_number_and_nothing_of_the_fault(app: App) -> None:
    app.system.fail["-probe:"] = "Traceback: KeyError /secret/path"
    error = deploy(app)
    page = app.at.undeployed.read_text()
    assert app.at.undeployed.stat().st_mode & 0o777 == 0o644
    assert f"<code>{error['reference']}</code>" in page
    for detail in ("import", "Traceback", "secret", app.name):
        assert detail not in page


def test_the_page_is_there_for_as_long_as_nothing_is_live(app: App) -> None:
    app.system.fail["-probe:"] = "Traceback"
    assert deploy(app)
    assert app.at.undeployed.exists()
    app.system.fail.clear()
    assert deploy(app) == {}
    assert not app.at.undeployed.exists()
    assert undeployed_apps(app.root) == []
    assert app.left_over() == []
    app.system.fail["-probe:"] = "Traceback"
    error = deploy(app, environment={"WSGI_APP": "shop:app", "COLOUR": "blue"})
    assert error["reference"]
    assert not app.at.undeployed.exists()


def test_nothing_is_written_where_something_else_has_the_name(app: App) -> None:
    """A ledger would prove that the app was here."""
    (app.at.home / "theirs").write_text("x")
    error = deploy(app)
    assert "this name is taken on the host by" in error["message"]
    assert "reference" not in error
    assert [path.name for path in app.at.home.iterdir()] == ["theirs"]
    assert not app.at.ledger.exists()
    assert undeployed_apps(app.root) == []


def test_a_full_disk_does_not_hide_the_fault(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("ansible_collections.groundwork.flask.plugins.module_utils.release.refusal.write", full)
    app.system.fail["-probe:"] = "Traceback"
    assert deploy(app)["message"] == "the app cannot be imported as shop:app"
