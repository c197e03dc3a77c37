"""A host on which the command that bears an app's name is run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import command, work
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.tests.unit.release_app import App

HOLDER = work.ActiveRun("a deploy of shop by bob@desk", "2026-01-02T03:04:05Z", "command", 7)


class Became(BaseException):
    """Stands for exec: the process is another program from here on."""


def watch_exec(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Which program the command becomes, with which arguments; it becomes none in truth."""
    found: dict[str, Any] = {}

    def become(program: str, words: Sequence[str]) -> None:
        found.update(program=program, words=list(words))
        raise Became

    monkeypatch.setattr(os, "execv", become)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return found


def prepare(app: App, became: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> App:
    """A host with two releases of the app and no run at work; the engine runs here instead of in its unit."""

    def engine(_at: Any, by: str = "") -> Engine:
        return app.on_host(by or command.whoami(os.environ))

    def do(order: work.Order) -> Result:
        assert (order.app, order.spec, order.secret, order.deploy_key) == (app.name, {"name": app.name}, {}, "")
        found: Result = getattr(engine(app.at, order.settings["by"]), order.verb)(**order.options) or Result()
        return found

    monkeypatch.setattr(command, "System", lambda: app.system)
    monkeypatch.setattr(command, "engine", engine)
    monkeypatch.setattr(work, "do", do)
    monkeypatch.setattr(work, "active_run", lambda _app: None)
    monkeypatch.setattr(work, "stop", lambda _app: None)
    app.deploy("red")
    app.deploy("blue")
    assert became == {}, "a deploy does not replace this process"
    return app
