"""The engine in its unit."""

from __future__ import annotations

import io
import json
import os
import subprocess
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.release import work
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.settings import DeploySettings
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import engine_program
from ansible_collections.groundwork.flask.plugins.module_utils.release.work import Order
from ansible_collections.groundwork.flask.tests.unit.release_app import App


class Broken(Engine):
    """An engine with a fault."""

    def deploy(self, *_arguments: Any, **_options: Any) -> Result:
        raise KeyError(f"no {self.context.secrets['TOKEN']}, no {self.secret_key.read()}")


class TestPerform:
    """The engine in its unit."""

    @pytest.fixture
    def given(self, app: App, monkeypatch: pytest.MonkeyPatch) -> Order:
        monkeypatch.setattr(work, "Layout", partial(Layout, root=app.root))
        settings = asdict(DeploySettings(installer="pip", by="ann@laptop"))
        return Order("deploy", app.spec, settings, {"through": "import"}, {"TOKEN": "hunter22"})

    def perform(self, app: App, given: Order, kind: type[Engine] = Engine) -> dict[str, Any]:
        """Do it, after its way through a pipe; what is left in the file of results."""
        given = Order(**json.loads(json.dumps(asdict(given))))
        work.perform(given, app.system, partial(kind, root=app.root))  # type: ignore[arg-type]
        path = app.at.run / "result.json"
        assert (path.stat().st_mode & 0o777, app.at.run.stat().st_mode & 0o777) == (0o600, 0o700)
        found: dict[str, Any] = json.loads(path.read_text())
        assert (found["order"], found["description"]) == (given.id, given.description)
        assert "hunter22" not in str(found)
        return found

    def test_a_result(self, app: App, given: Order) -> None:
        found = self.perform(app, given)
        assert Result(**found["result"]).action == "prepared"
        assert list(found["result"]["steps"]) == ["fetch", "install", "stop", "setup", "import"]
        assert "error" not in found

    def test_a_verb_without_a_result(self, app: App) -> None:
        app.engine().deploy()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(work, "Layout", partial(Layout, root=app.root))
            assert self.perform(app, Order("heal", {"name": app.name}))["result"]["action"] == "unchanged"

    def test_an_error(self, app: App, given: Order) -> None:
        app.system.fail = {"-probe:": "ImportError: no module"}
        error = self.perform(app, given)["error"]
        (bad,) = [event for event in app.ledger.events() if event["event"] == "bad"]
        assert error == {
            "step": "import",
            "message": "the app cannot be imported as shop:app",
            "log": "ImportError: no module",
            "reference": bad["release"],
        }

    def test_a_fault_is_told_without_secrets(self, app: App, given: Order) -> None:
        app.engine().deploy()
        error = self.perform(app, given, Broken)["error"]
        assert error["step"] == "engine"
        assert error["message"] == "KeyError: please report this as a fault of groundwork.flask"
        assert error["log"].startswith("Traceback")
        assert "no ********, no ********" in error["log"]
        assert app.at.secret_key.read_text() not in error["log"]

    def test_an_order_of_another_version(self, app: App, given: Order) -> None:
        error = self.perform(app, Order("deploy", {**app.spec, "colour": "red"}, secret=given.secret))["error"]
        assert error["message"].startswith("the release engine on this host is of another version of the collection")
        assert error["message"].endswith("the role release with its tag release_program")

    def test_the_program_of_the_unit(self, app: App, given: Order, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[Order, str]] = []
        monkeypatch.setattr(work, "perform", lambda got, host: seen.append((got, host.engine)))
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asdict(given))))
        work.serve()
        assert [(got.id, got.verb, engine) for got, engine in seen] == [
            (given.id, "deploy", f"groundwork-release@{app.name}.service")
        ]

    def test_the_program_calls_the_engine_on_the_host(self, tmp_path: Path) -> None:
        package = tmp_path / "groundwork_release/release"
        package.mkdir(parents=True)
        (package / "watcher.py").write_text("import sys\ndef main(): print(sys.argv[1:])")
        *python, code, app = engine_program("watcher", "main", "shop")
        here = code.replace(on_host("packages"), str(tmp_path))
        done = subprocess.run((*python, here, app), capture_output=True, text=True, check=True)
        assert done.stdout == "['shop']\n"
        assert ";" not in code, "systemd escapes it in the unit, and complains of that at every reload"

    def test_the_program_takes_nothing_from_where_it_is_started(self, tmp_path: Path) -> None:
        """An app could put modules into Python's way."""
        for name in ("release.py", "usercustomize.py", "json.py"):
            (tmp_path / name).write_text("raise SystemExit('taken')")
        environment = {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path), "PATH": os.defpath}
        done = subprocess.run(
            (*work.PROGRAM[:3], "import sys, json; print(sys.path)"),
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert str(tmp_path) not in done.stdout
        assert "''" not in done.stdout
