"""The time in which nothing of an app runs: who asks for it, what is stopped, and that all of it starts again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import paused
from ansible_collections.groundwork.flask.plugins.module_utils.release import held, job_runs, work
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed
from ansible_collections.groundwork.flask.tests.unit.test_release_units import deploy, process


@pytest.fixture
def shop(app: App) -> App:
    """An app with a worker, another one of the release before that has yet to finish, a job and a pooler."""
    old = deploy(app, "red", "worker").release
    app.system.busy.add(process(app, "worker", old))
    deploy(app, "blue", "worker", jobs={"nightly": {"command": "flask report", "schedule": "*-*-* 03:00"}})
    (app.at.units / f"{app.name}.pooler.service").write_text("")
    app.system.commands.clear()
    return app


def units(app: App) -> set[str]:
    return {*app.live_units(), f"{app.name}.nightly.timer"}


class TestStandstill:
    """In the engine."""

    def test_everything_is_stopped_and_what_is_live_starts_again(self, shop: App) -> None:
        at_rest: list[set[str]] = []
        shop.system.on["everything is stopped"] = lambda: at_rest.append(shop.system.active | shop.system.ending)
        shop.system.active.add(f"{shop.name}.pooler.service")
        result = shop.on_host().pause()
        assert at_rest == [set()]
        assert shop.system.active == units(shop)
        assert (result.release, result.warnings, shop.system.told) == (shop.at.live(), [], [])
        assert not shop.at.paused.exists()
        assert shop.left_over() == [f"{shop.name}.nightly.timer"]

    def test_the_server_is_stopped_last_and_its_visitors_wait_meanwhile(self, shop: App) -> None:
        shop.on_host().pause()
        live, lines = shop.at.live(), shop.system.commands
        server = f"systemctl stop {shop.name}@{live}.service {shop.name}@{live}.socket"
        worker = f"systemctl stop {process(shop, 'worker', str(live))}"
        order = [
            f"systemctl stop {shop.name}.nightly.timer",
            worker,
            f"hold {live}",
            server,
            worker,
            "hold on",
            "everything is stopped",
            f"hand over to {live}",
            "end of the hold",
            f"systemctl start {shop.name}.nightly.timer",
        ]
        assert [line for line in lines if line in order] == order

    def test_a_job_that_runs_gets_a_minute_and_is_named_when_it_is_ended(
        self, shop: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(job_runs, "PATIENCE", 0)
        shop.system.active.add(f"{shop.name}.nightly.service")
        shop.on_host().pause()
        assert shop.has_run(f"systemctl stop {shop.name}.nightly.service") == 1
        remedy = f"run it again with `{shop.name} jobs run nightly`"
        assert shop.system.told == [f"the job nightly ran and was ended: {remedy}"]

    def test_a_process_that_had_to_be_killed_is_named(self, shop: App, monkeypatch: pytest.MonkeyPatch) -> None:
        worker = process(shop, "worker", str(shop.at.live()))
        real = shop.system.systemctl

        def systemctl(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
            done = real(*arguments, **options)
            return subprocess.CompletedProcess(
                arguments, 0, "timeout" if "--property=Result" in arguments else done.stdout
            )

        monkeypatch.setattr(shop.system, "systemctl", systemctl)
        shop.on_host().pause()
        assert f"{worker} did not finish within its stop_timeout and was killed" in "".join(shop.system.told)

    def test_what_cannot_be_started_again_is_reported_and_the_jobs_go_on(self, shop: App) -> None:
        shop.system.fail["systemctl enable --now"] = "no"
        with pytest.raises(ReleaseError, match="was stopped, and could not be started again"):
            shop.on_host().pause()
        assert f"{shop.name}.nightly.timer" in shop.system.active
        assert not shop.at.paused.exists()

    def test_without_a_live_release_nothing_is_started(self, app: App) -> None:
        assert app.on_host().pause().release == ""
        assert app.system.active == set()

    def test_killed_anywhere_the_next_run_starts_it_again(self, shop: App) -> None:
        shop.on_host().pause()
        before = shop.system.calls
        shop.on_host().pause()
        for number in range(1, shop.system.calls - before + 1):
            shop.system.calls, shop.system.kill_at = 0, number
            with pytest.raises(Killed):
                shop.on_host().pause()
            shop.system.kill_at = 0
            shop.on_host().heal()
            assert shop.live_units() <= shop.system.active, number
            assert not shop.at.paused.exists(), number


# A stand-in for the engine in its unit: reads the order, says that all is stopped, waits, leaves a result.
ENGINE = """
import json, pathlib, sys
order = json.loads(sys.stdin.readline())
how, result = sys.argv[1], pathlib.Path(sys.argv[2])
def leave(**ended):
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps({"order": order["id"], **ended}))
if how == "refuses":
    leave(error={"step": "start", "message": "it does not", "log": ""})
    sys.exit()
print(json.dumps({"notices": ["the job ran"]}), flush=True)
assert sys.stdin.read() == ""
if how == "is killed":
    sys.exit(9)
leave(result={"release": "A"})
"""


class TestHeld:
    """Who asks the engine for it, and how it ends."""

    @pytest.fixture
    def system(self) -> System:
        return SimpleNamespace(sleep=lambda _seconds: None)  # type: ignore[return-value]  # nothing else is called

    def stand_in(self, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> work.Order:
        at = Layout("shop", tmp_path)
        argv = [sys.executable, "-c", ENGINE, how, str(at.run / "result.json")]
        monkeypatch.setattr(held, "Layout", lambda _app: at)
        monkeypatch.setattr(work, "command", lambda *_words: argv)
        monkeypatch.setattr(work, "active_run", lambda *_words: None)
        monkeypatch.setattr(work, "aftermath", lambda *_words: "it has been started again")
        return work.Order("pause", {"name": "shop"}, {"by": "a restore"})

    def test_for_the_time_of_the_block(self, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        order, result = self.stand_in("works", tmp_path, monkeypatch), Layout("shop", tmp_path).run / "result.json"
        with held.held(order, system) as notices:
            assert notices == ["the job ran"]
            assert not result.exists()
        assert result.exists()

    def test_an_error_in_the_block_ends_it_too(
        self, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order = self.stand_in("works", tmp_path, monkeypatch)
        with pytest.raises(ZeroDivisionError), held.held(order, system):
            raise ZeroDivisionError
        assert (Layout("shop", tmp_path).run / "result.json").exists()

    @pytest.mark.parametrize(("how", "message"), [("refuses", "it does not"), ("is killed", "has been started again")])
    def test_what_went_wrong(
        self, how: str, message: str, system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order, reached = self.stand_in(how, tmp_path, monkeypatch), []
        with pytest.raises(ReleaseError, match=message), held.held(order, system):
            reached.append(how)
        assert reached == ([how] if how == "is killed" else [])


PROGRAM = """#!/bin/sh
echo "$@" >{log}
[ "$1" = shop ] || {{ echo 'shap: it does not start' >&2; exit 1; }}
echo '{{"notices": ["the job ran"]}}'
cat >>{log}
echo over >>{log}
"""


class TestPaused:
    """For the programs that exchange data."""

    @pytest.fixture
    def program(self, tmp_path: Path) -> str:
        program = tmp_path / "app"
        program.write_text(PROGRAM.format(log=tmp_path / "log"))
        program.chmod(0o755)
        for app in ("shop", "shap"):
            (tmp_path / "srv" / app).mkdir(parents=True)
            (tmp_path / "srv" / app / "current").symlink_to("releases/A")
        return str(program)

    def test_for_the_time_of_the_block(self, program: str, tmp_path: Path) -> None:
        with paused.paused("shop", "a restore", tmp_path, program) as notices:
            assert notices == ["the job ran"]
            assert (tmp_path / "log").read_text() == "shop pause --json --by a restore\n"
        assert (tmp_path / "log").read_text().endswith("over\n")

    def test_nothing_is_done_without_a_live_release(self, tmp_path: Path) -> None:
        with paused.paused("shop", "a restore", tmp_path, "/nowhere") as notices:
            assert notices == []

    def test_refusals_come_before_the_block(self, program: str, tmp_path: Path) -> None:
        for app, how, message in (
            ("shap", program, "^shap: it does not start$"),
            ("shop", "/nowhere", "the release engine is not on this host"),
        ):
            with pytest.raises(paused.PauseError, match=message), paused.paused(app, "a restore", tmp_path, how):
                raise AssertionError(app)
