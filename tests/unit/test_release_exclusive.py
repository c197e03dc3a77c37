"""Deploys and rollbacks of an app whose releases may not run at once (``deploy: exclusive``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import pause, units
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS, STEPS_BACK
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.hold import SPARE
from ansible_collections.groundwork.flask.plugins.module_utils.release.probe import MARK
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.unix_http import Response
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed, kill_at
from ansible_collections.groundwork.flask.tests.unit.test_release_units import process, with_processes

MIGRATE = "flask db upgrade"


def deploy(app: App, colour: str, *processes: str, exclusive: bool = True, **options: Any) -> Result:
    options.setdefault("deploy", "exclusive" if exclusive else "beside")
    return with_processes(app, *processes, environment={"WSGI_APP": "shop:app", "COLOUR": colour}, **options).deploy()


def releases_at_once(app: App) -> list[set[str]]:
    """Has noted from now on, at each import and each start, which releases run; two at once are one too many."""
    found: list[set[str]] = []

    def look() -> None:
        found.append({unit.partition("@")[2].rpartition(".")[0] for unit in app.system.active})

    for word in (MARK, "systemctl start", "systemctl enable --now", "GET "):
        app.system.on[word] = look
    return found


class TestDeploy:
    """One release at a time."""

    @pytest.mark.parametrize(("old", "new"), [(True, True), (True, False), (False, True)])
    def test_no_two_run_at_once(self, app: App, old: bool, new: bool) -> None:
        """It is enough that one of the two says so: the live one may hold the lock, or want it alone."""
        first = deploy(app, "red", "worker", exclusive=old).release
        seen = releases_at_once(app)
        second = deploy(app, "blue", "clock", exclusive=new, release_command=MIGRATE).release
        assert seen[0] == set(), "nothing runs while it is imported"
        assert all(running <= {second} for running in seen), seen
        assert not [unit for unit in app.system.active if first in unit]
        assert app.system.active == app.live_units()
        assert units.enabled(app.at) == {second: app.live_units()}
        assert app.left_over() == []
        assert not app.at.paused.exists()

    def test_without_it_they_do(self, app: App) -> None:
        first = deploy(app, "red", exclusive=False).release
        seen = releases_at_once(app)
        deploy(app, "blue", exclusive=False)
        assert seen[0] == {first}
        assert app.has_run("hold ") == 0

    def test_what_can_be_done_before_is(self, app: App) -> None:
        first = deploy(app, "red").release
        before = len(app.system.commands)
        deploy(app, "blue", requirements=["x"])
        commands = app.system.commands[before:]
        installed = max(number for number, line in enumerate(commands) if " -m pip install " in line)
        assert installed < commands.index(f"hold {first}")

    @pytest.mark.parametrize("limit", [0.0, 3600.0])
    def test_a_stop_that_takes_long_is_told(self, app: App, monkeypatch: pytest.MonkeyPatch, limit: float) -> None:
        """Visitors wait until the old release has stopped, so whoever runs the app has to know what it waits for."""
        monkeypatch.setattr(pause, "SLOW_STOP", limit)
        first = deploy(app, "red").release
        slow = re.compile(rf"release {first} took \d+ s to stop")
        told = [text for text in deploy(app, "blue").warnings if slow.search(text)]
        assert len(told) == (limit == 0.0)
        assert not told or "graceful_timeout" in told[0]

    def test_visitors_wait_for_the_new_one(self, app: App) -> None:
        first = deploy(app, "red").release
        before = len(app.system.commands)
        second = deploy(app, "blue").release
        words = ("hold ", "hand over", "end of", f"stop {app.name}@", f"start {app.name}@")
        told = [line for line in app.system.commands[before:] if any(word in line for word in words)]
        old, new = f"{app.name}@{first}", f"{app.name}@{second}"
        assert told == [
            f"hold {first}",
            f"systemctl stop {old}.service {old}.socket",
            "hold on",
            f"systemctl start {new}.socket {new}.service",
            f"hand over to {second}",
            f"systemctl stop {old}.service {old}.socket",
            "end of the hold",
        ]

    def test_processes_end_while_the_server_still_answers(self, app: App) -> None:
        first = deploy(app, "red", "worker").release
        app.system.busy = {process(app, "worker", first)}
        seen: list[bool] = []
        app.system.on[f"hold {first}"] = lambda: seen.append(process(app, "worker", first) in app.system.ending)
        deploy(app, "blue")
        assert seen == [False], "its last job may take long, and visitors need not wait for that"

    @pytest.mark.parametrize("fails", [False, True])
    def test_no_job_of_the_old_one_starts_beside_the_new_one(self, app: App, fails: bool) -> None:
        jobs = {"nightly": {"command": "flask report", "schedule": "*-*-* 03:00"}}
        timer = f"{app.name}.nightly.timer"
        deploy(app, "red", jobs=jobs)
        seen: list[bool] = []
        app.system.on[MARK] = lambda: seen.append(timer in app.system.active)
        app.system.fail = {MARK: "no"} if fails else {}
        try:
            deploy(app, "blue", jobs=jobs)
        except ReleaseError:
            assert fails
        assert seen
        assert not any(seen)
        assert timer in app.system.active

    def test_a_first_one_has_none_to_stop(self, app: App) -> None:
        assert deploy(app, "red").action == "deployed"
        assert app.has_run("hold ") == 0
        assert app.left_over() == []

    @pytest.mark.parametrize("through", ["import", "start"])
    def test_one_that_is_prepared_only_leaves_the_live_one(self, app: App, through: str) -> None:
        deploy(app, "red")
        serving = set(app.system.active)
        engine = app.engine(deploy="exclusive", environment={"WSGI_APP": "shop:app", "COLOUR": "blue"})
        assert engine.deploy(through=through).action == "prepared"
        assert app.system.active == serving
        assert list(deploy(app, "blue").steps) == list(STEPS)

    @pytest.mark.parametrize("through", ["import", "start"])
    def test_a_first_one_that_is_prepared_is_not_in_its_own_way(self, app: App, through: str) -> None:
        app.engine(deploy="exclusive").deploy(through=through)
        seen = releases_at_once(app)
        app.engine(deploy="exclusive").deploy()
        assert seen[0] == set()
        assert app.left_over() == []


class TestFailure:
    """The old one is started again, and the run says so."""

    @pytest.mark.parametrize(
        ("fail", "is_stopped"),
        [
            ({"pip install": "no such package"}, False),
            ({MARK: "ImportError"}, True),
            ({f"sh -c {MIGRATE}": "locked"}, True),
            ({"systemctl start": "no"}, True),
        ],
    )
    def test_at_a_step(self, app: App, fail: dict[str, str], is_stopped: bool) -> None:
        first = deploy(app, "red").release
        app.system.fail = fail
        with pytest.raises(ReleaseError) as error:
            deploy(app, "blue", release_command=MIGRATE, requirements=["x"])
        assert app.at.live() == first
        assert app.system.active == app.live_units()
        assert units.enabled(app.at) == {first: app.live_units()}
        assert (f"release {first} was stopped for it, and has been started again" in error.value.message) == is_stopped
        assert app.has_run(f"hand over to {first}") == is_stopped
        assert not app.at.paused.exists()
        app.system.fail = {}
        assert deploy(app, "blue", release_command=MIGRATE, requirements=["x"]).action == "deployed"

    def test_of_the_health_check(self, app: App) -> None:
        first = deploy(app, "red").release
        app.system.restarted = 3
        app.system.answers = [Response(500, "no")]
        with pytest.raises(ReleaseError, match=r"ended 3 times .*has been started again"):
            deploy(app, "blue")
        assert app.at.live() == first
        assert app.system.active == app.live_units()

    def test_and_the_old_one_does_not_start_either(self, app: App) -> None:
        first = deploy(app, "red").release
        app.system.fail = {MARK: "ImportError", "systemctl enable --now": "no"}
        with pytest.raises(
            ReleaseError, match=rf"{first} was stopped for it, and could not be started again \(.*did no"
        ):
            deploy(app, "blue")
        assert units.enabled(app.at) == {first: app.live_units()}, "the next boot tries again"


class TestRollBack:
    """It is exclusive as the deploys are, by what the releases have recorded."""

    def test_one_at_a_time(self, app: App) -> None:
        first, second = deploy(app, "red", "worker").release, deploy(app, "blue").release
        seen = releases_at_once(app)
        assert app.on_host().roll_back().release == first
        assert second not in set().union(*seen)
        assert app.system.active == app.live_units()
        assert units.enabled(app.at) == {first: app.live_units()}

    def test_with_the_saved_data_the_live_one_gets_its_own_before_it_starts_again(self, app: App) -> None:
        app.system.facts["migration_heads"] = ["rev1"]
        deploy(app, "red")
        (app.root / app.at.data[1:]).mkdir(parents=True)

        def migrate() -> None:
            app.system.facts["migration_heads"] = ["rev2"]

        app.system.on[f"sh -c {MIGRATE}"] = migrate
        second = deploy(app, "blue", release_command=MIGRATE).release
        (app.at.saved / second / "shop.db").touch()
        running: list[set[str]] = []
        app.system.on[" undo "] = lambda: running.append(set(app.system.active))
        app.system.fail = {"systemctl start": "no"}
        with pytest.raises(ReleaseError):
            app.on_host().roll_back(data="saved")
        assert running == [set()]
        assert app.at.live() == second
        assert app.system.active == app.live_units()
        assert app.has_run(f"hand over to {second}") == 2, "after the deploy, and now"


class TestKilled:
    """Killed anywhere, a boot has one release to start, and the next run finishes the work."""

    def check(self, app: App) -> None:
        """What a boot would start, and what an unlock or the next run makes of it."""
        bootable = units.enabled(app.at)
        assert app.live_units() <= bootable[app.at.live() or ""]
        app.on_host().heal()
        assert app.system.active == app.live_units()
        assert units.enabled(app.at) == {app.at.live(): app.live_units()}
        assert app.on_host().cleanup.is_settled()

    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_deploy(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        deploy(app, "red", "worker")
        kill_at(monkeypatch, step, when, lambda: deploy(app, "blue", "mail"))
        self.check(app)
        deploy(app, "blue", "mail")
        assert app.left_over() == []
        assert deploy(app, "blue", "mail").action == "unchanged"

    @pytest.mark.parametrize("step", STEPS_BACK)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_rollback(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        deploy(app, "red", "worker")
        deploy(app, "blue")
        kill_at(monkeypatch, step, when, app.on_host().roll_back)
        self.check(app)

    def test_a_deploy_at_every_call_of_the_host(self, tmp_path: Path, app: App) -> None:
        deploy(app, "red", "worker")
        before = app.system.calls
        deploy(app, "blue", "mail", release_command=MIGRATE)
        for number in range(1, app.system.calls - before + 1):
            other = App(tmp_path / str(number))
            deploy(other, "red", "worker")
            other.system.kill_at = other.system.calls + number
            with pytest.raises(Killed):
                deploy(other, "blue", "mail", release_command=MIGRATE)
            assert other.live_units() <= units.enabled(other.at)[other.at.live() or ""], f"killed at call {number}"
            seen = releases_at_once(other)
            deploy(other, "blue", "mail", release_command=MIGRATE)
            assert other.left_over() == [], f"killed at call {number}: {other.system.commands}"
            assert all(len(running) <= 1 for running in seen), f"killed at call {number}: {seen}"

    @pytest.mark.parametrize("is_held", [True, False])
    def test_while_visitors_wait_the_old_one_gets_its_socket_back(
        self, app: App, monkeypatch: pytest.MonkeyPatch, is_held: bool
    ) -> None:
        """It may listen still, at a file whose place a socket on which nothing listens has taken."""
        first = deploy(app, "red").release
        kill_at(monkeypatch, "import", "before", lambda: deploy(app, "blue"))
        spare, sock = app.at.release(first) / SPARE, app.at.release(first) / "app.sock"
        spare.touch()
        sock.hardlink_to(spare) if is_held else sock.touch()
        app.system.active |= app.live_units()
        before = app.has_run("systemctl stop")
        app.on_host().heal()
        assert app.has_run("systemctl stop") == before + is_held
        assert app.system.active == app.live_units()
        assert (sock.exists(), spare.exists()) == (not is_held, False)

    def test_units_that_cannot_be_enabled_keep_the_old_one(self, app: App) -> None:
        """Else a boot would start none."""
        first = deploy(app, "red").release
        app.system.fail = {f"systemctl enable {app.name}@": "No space left on device"}
        with pytest.raises(ReleaseError, match="could not be enabled") as failed:
            deploy(app, "blue")
        assert failed.value.log == "No space left on device"
        assert app.at.live() == first
        assert units.enabled(app.at) == {first: app.live_units()}

    def test_an_old_one_that_cannot_start_is_no_reason_not_to_deploy(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = deploy(app, "red").release
        kill_at(monkeypatch, "command", "after", lambda: deploy(app, "blue"))
        app.system.fail = {f"enable --now {app.name}@{first}": "no"}
        done = deploy(app, "blue")
        assert done.action == "deployed"
        assert f"release {first}, which a run that was killed had stopped, cannot be started again" in done.warnings[0]

    def test_an_old_one_that_cannot_start_is_not_said_to_be_healed(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever has it healed is told; the way back to another one is open."""
        good = deploy(app, "green").release
        first = deploy(app, "red").release
        kill_at(monkeypatch, "command", "after", lambda: deploy(app, "blue"))
        app.system.fail = {f"enable --now {app.name}@{first}": "no"}
        with pytest.raises(ReleaseError, match=f"release {first}, which a run that was killed had stopped, cannot be"):
            app.on_host().heal()
        kill_at(monkeypatch, "command", "after", lambda: deploy(app, "blue"))
        assert app.on_host().roll_back().release == good
