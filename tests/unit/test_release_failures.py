"""Whatever fails, the old release serves on."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import TIMED_OUT
from ansible_collections.groundwork.flask.plugins.module_utils.release import checks, release_directory, supervisor
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.ledger import states
from ansible_collections.groundwork.flask.plugins.module_utils.release.units import ReleaseUnits, Unit
from ansible_collections.groundwork.flask.plugins.module_utils.release.unix_http import Response
from ansible_collections.groundwork.flask.tests.unit.release_app import App

MIGRATE = "flask db upgrade"


FAILURES = [
    ("of_zip", "fetch", "broken archive", "the source shop (aaaaaaaaaa) could not be fetched"),
    ("pip install", "install", "error: gcc: No such file or directory", "add gcc, libc6-dev and python3-dev to flask_"),
    ("cp -RL", "install", "no such directory", "proxy.static: 'static' cannot be published; is it in the source?"),
    ("-probe:", "import", "ImportError: no module named x", "the app cannot be imported as shop:app"),
    (
        "dump-it",
        "save",
        "disk full",
        "`dump-it` (backup.before), which saves the database before `flask db upgrade`, f",
    ),
    (" save ", "save", "OSError: disk full", "the databases could not be saved before `flask db upgrade`"),
    (f"sh -c {MIGRATE}", "command", "no such revision", "the release command `flask db upgrade` failed with exit stat"),
    (
        f"sh -c {MIGRATE}",
        "command",
        "ModuleNotFoundError: No module named 'pkg_resources'",
        "add setuptools<81 to its requirements",
    ),
    (
        "enable --now",
        "start",
        "Unit shop@.service not found.",
        "its unit is not on this host: run groundwork.flask.site first",
    ),
]


class TestFailures:
    """If any step fails, the old release serves on."""

    CHANGE: ClassVar[dict[str, Any]] = {"release_command": MIGRATE, "save_commands": ["dump-it"]}

    @pytest.mark.parametrize(
        ("part", "step", "said", "message"), FAILURES, ids=[f"{row[1]}:{row[0]}" for row in FAILURES]
    )
    def test_the_old_release_serves_on(self, app: App, part: str, step: str, said: str, message: str) -> None:
        old = app.engine(requirements=["y"]).deploy()
        app.system.fail = {part: said}
        with pytest.raises(ReleaseError) as error:
            app.engine(**self.CHANGE).deploy()
        assert error.value.step == step
        assert message in str(error.value)
        assert said in str(error.value)
        assert app.at.live() == old.release
        assert app.system.active == app.live_units()
        assert app.on_host().supervisor.enabled() == {old.release}
        event = app.ledger.events()[-1]
        assert (event["event"], event["step"], event["previous"], event["by"]) == (
            "bad",
            step,
            old.release,
            "ann@laptop",
        )
        app.system.fail = {}
        assert app.engine(**self.CHANGE).deploy().action == "deployed"
        assert app.left_over() == []

    def test_a_failed_save_keeps_the_command_from_running(self, app: App) -> None:
        app.system.fail = {"dump-it": "disk full"}
        with pytest.raises(ReleaseError):
            app.engine(**self.CHANGE).deploy()
        assert app.has_run(f"sh -c {MIGRATE}") == 0

    def test_a_command_that_hangs(self, app: App) -> None:
        app.system.ends = {f"sh -c {MIGRATE}": (TIMED_OUT, "tick")}
        with pytest.raises(
            ReleaseError, match=r"was still at work after 7 s and was ended \(release_command_timeout\)\n  tick"
        ):
            app.engine(release_command=MIGRATE, release_command_timeout=7).deploy()
        assert [step.seconds for step in app.system.steps if MIGRATE in step.argv] == [7]

    def test_an_app_that_ends_python_with_status_0_is_not_imported(self, app: App) -> None:
        app.system.ends = {"-probe:": (0, "bye")}
        with pytest.raises(ReleaseError, match=r"the app cannot be imported as shop:app\n  bye"):
            app.engine().deploy()

    @pytest.fixture
    def clock(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        """Time passes when the engine sleeps, and at no other moment."""
        clock = [time.monotonic()]
        monkeypatch.setattr(supervisor, "time", SimpleNamespace(time=time.time, monotonic=lambda: clock[0]))
        monkeypatch.setattr(app.system, "sleep", lambda seconds: clock.append(clock.pop() + seconds))

    @pytest.mark.usefixtures("clock")
    def test_an_unhealthy_release_never_goes_live(self, app: App) -> None:
        old = app.engine().deploy()
        app.system.answers = [Response(503, "no table")] * 1000
        health = {**app.spec["health"], "timeout": 0.3}
        with pytest.raises(
            ReleaseError, match=r"/healthz was not answered well within 0 s .*: status 503: no table"
        ) as error:
            app.engine(requirements=["x"], health=health).deploy()
        assert "no such table" in str(error.value), "the journal is shown"
        assert app.system.active == app.live_units()
        assert app.at.live() == old.release

    @pytest.mark.usefixtures("clock")
    def test_a_release_that_refuses_connections(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_arguments: Any) -> Response:
            raise ConnectionRefusedError("refused")

        monkeypatch.setattr(app.system, "ask", refused)
        with pytest.raises(ReleaseError, match="ConnectionRefusedError: refused"):
            app.engine(health={"timeout": 0.3}).deploy()

    def test_a_release_that_starts_again_and_again(self, app: App) -> None:
        app.system.restarted = 3
        app.system.answers = [Response(502)]
        with pytest.raises(ReleaseError, match="it does not stay up: it ended 3 times within 0 s"):
            app.engine().deploy()

    def test_a_release_may_need_a_moment_to_be_healthy(self, app: App) -> None:
        app.system.answers = [Response(503), Response(502), Response(404)]
        assert app.engine().deploy().action == "deployed"

    def test_a_release_whose_processes_die(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "STABLE_SECONDS", 3)
        app.system.alive = [{1, 2, 3}, {1, 2, 3}, {1, 4, 5}]
        with pytest.raises(ReleaseError, match=r"then 2 of its 3 processes ended within 3 s .*\[stable\]"):
            app.engine().deploy()
        app.system.alive = [{1, 2, 3}, {1, 4, 5}]
        assert app.engine(skip_checks=["stable"]).deploy().action == "deployed"

    @pytest.mark.parametrize(
        ("startup", "kind", "count", "seconds"),
        [
            (0.4, "process", 1, 3),
            (8, "process", 2, 12),
            (90, "process", 1, 30),
            (8, "web", 1, 3),
            (4, "process", 6, 18),
        ],
    )
    def test_processes_stay_up_for_as_long_as_an_import_may_take(
        self,
        app: App,
        monkeypatch: pytest.MonkeyPatch,
        startup: float,
        kind: Literal["process", "web"],
        count: int,
        seconds: float,
    ) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        monkeypatch.setattr(checks, "STABLE_SECONDS", 3)
        monkeypatch.setattr(supervisor, "PROCESS_SECONDS", 30)
        found = app.engine().supervisor
        found.startup = startup
        assert found.stable_seconds(ReleaseUnits((Unit("one", kind),) * count)) == seconds

    def test_the_start_of_the_server_is_measured(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        def slow(*_arguments: Any) -> Response:
            time.sleep(0.05)
            return Response(200)

        monkeypatch.setattr(app.system, "ask", slow)
        engine = app.engine()
        engine.deploy()
        assert 0.05 <= engine.supervisor.startup < 60

    @pytest.mark.parametrize(
        ("facts", "answers", "check", "message"),
        [
            ({"debug": True}, [], "debug", "the app is in debug mode"),
            ({"secret_key": "short"}, [], "secret_key", "has fewer than 16 characters"),
            ({}, [200, 200, 200, 500], "not_found", ""),
        ],
    )
    def test_checks_stop_or_warn_and_can_be_switched_off(
        self, app: App, facts: dict[str, Any], answers: list[int], check: str, message: str
    ) -> None:
        app.system.facts.update(facts)
        app.system.answers = [Response(status) for status in answers]
        if message:
            with pytest.raises(ReleaseError, match=message) as error:
                app.engine().deploy()
            assert f"`skip_checks: [{check}]`" in str(error.value)
        else:
            assert f"`skip_checks: [{check}]`" in app.engine().deploy().warnings[0]
        app.system.answers = [Response(status) for status in answers]
        done = app.engine(skip_checks=[check], requirements=["x"]).deploy()
        assert (done.action, done.warnings) == ("deployed", [])

    def test_warnings_reach_the_result_and_the_ledger(self, app: App) -> None:
        app.system.facts["session_cookie_secure"] = False
        done = app.engine().deploy()
        assert "SESSION_COOKIE_SECURE" in done.warnings[0]
        assert app.ledger.events()[-1]["warnings"] == done.warnings

    def test_warnings_stay_until_a_release_without_them_is_live(self, app: App) -> None:
        app.system.facts["session_cookie_secure"] = False
        (warning,) = app.deploy("red").warnings
        again = app.deploy("red")
        assert (again.action, again.warnings) == ("unchanged", [warning])
        assert app.engine().predict().warnings == []  # another release would be deployed
        assert app.ledger.warnings(app.at.live() or "") == [warning]
        app.system.facts["session_cookie_secure"] = True
        assert app.deploy("blue").warnings == app.deploy("blue").warnings == []
        assert app.on_host().roll_back().warnings == [warning]
        assert app.deploy("red").warnings == [warning]

    def test_a_warning_goes_when_its_check_is_switched_off_and_comes_back(self, app: App) -> None:
        app.system.facts["session_cookie_secure"] = False
        (warning,) = app.deploy("red").warnings
        live = app.at.live() or ""
        done = app.deploy("red", skip_checks=["session_cookie"])
        assert (done.action, done.warnings, app.ledger.warnings(live)) == ("unchanged", [], [])
        events = len(app.ledger.events())
        app.deploy("red", skip_checks=["session_cookie"])
        assert len(app.ledger.events()) == events
        assert app.deploy("red").warnings == app.ledger.warnings(live) == [warning]

    def test_what_was_true_of_one_run_is_not_said_again(self, app: App) -> None:
        engine = app.engine()
        engine.context.notices.append("the index was slow")
        assert engine.deploy().warnings == ["the index was slow"]
        assert app.engine().deploy().warnings == []

    def test_warnings_of_a_run_that_was_killed_after_the_switch_are_known(self, app: App) -> None:
        app.system.facts["session_cookie_secure"] = False
        (warning,) = app.deploy("red").warnings
        lines = app.at.ledger.read_text().splitlines(keepends=True)
        assert '"live"' in lines[-1]
        app.at.ledger.write_text("".join(lines[:-1]))
        assert app.ledger.warnings(app.at.live() or "") == [warning]

    def test_a_bad_release_is_tried_again_and_listed_until_it_is_good(self, app: App) -> None:
        app.system.facts["debug"] = True
        with pytest.raises(ReleaseError):
            app.engine().deploy()
        assert [(row["state"], row["kept"]) for row in states(app.at)] == [("bad", True)]
        app.system.facts["debug"] = False
        assert app.engine().deploy().action == "deployed"
        assert [row["state"] for row in states(app.at)] == ["live"]

    def test_a_full_disk_is_told_and_leaves_the_old_release(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        old = app.engine().deploy()

        def full(*_arguments: Any, **_options: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(release_directory, "write", full)
            with pytest.raises(ReleaseError, match=r"install: .*No space left on device"):
                app.deploy("blue")
        assert app.at.live() == old.release
        app.deploy("blue")
        assert app.left_over() == []
