"""The units of a release, and the whole life of releases that have more of them than the web socket and service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import checks, units
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS, STEPS_BACK
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.units import ReleaseUnits, Unit
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed, kill_at

BOTH = ("worker", "clock")


def with_processes(app: App, *processes: str, **options: Any) -> Engine:
    """An engine whose releases have these processes beside the web units."""
    return app.engine(processes={name: {"command": f"run-{name}"} for name in processes}, **options)


def process(app: App, name: str, release: str) -> str:
    return f"{app.name}.{name}@{release}.service"


def deploy(app: App, colour: str, *processes: str, **options: Any) -> Result:
    return with_processes(app, *processes, environment={"WSGI_APP": "shop:app", "COLOUR": colour}, **options).deploy()


def calls(app: App, *parts: str) -> list[str]:
    """The commands in which one of the words stands, without systemctl's own name."""
    return [line.removeprefix("systemctl ") for line in app.system.commands if any(part in line for part in parts)]


class TestSet:
    """Names and order."""

    def test_of_the_web(self) -> None:
        found = ReleaseUnits.web_only("shop", "A")
        assert found.names == found.web == ["shop@A.socket", "shop@A.service"]
        assert (found.server, found.processes) == ("shop@A.service", [])

    def test_a_socket_comes_before_its_server_and_both_before_the_processes(self) -> None:
        mixed = [Unit("w", "process"), Unit("s.service", "web"), Unit("c", "process"), Unit("s.socket", "socket")]
        found = ReleaseUnits.ordered(mixed)
        assert found.names == ["s.socket", "s.service", "w", "c"]
        assert (found.web, found.processes) == (["s.socket", "s.service"], ["w", "c"])

    def test_it_survives_its_record(self, tmp_path: Path) -> None:
        at = Layout("shop", tmp_path)
        found = ReleaseUnits.ordered(
            [*ReleaseUnits.web_only("shop", "A").units, Unit("shop.worker@A.service", "process")]
        )
        at.release("A").mkdir(parents=True)
        (at.release("A") / "release.json").write_text(json.dumps({"units": found.record()}))
        assert ReleaseUnits.of(at, "A") == found

    @pytest.mark.parametrize("facts", [None, {}, {"units": []}])
    def test_a_release_without_a_record_has_two(self, tmp_path: Path, facts: dict[str, Any] | None) -> None:
        at = Layout("shop", tmp_path)
        at.release("A").mkdir(parents=True)
        if facts is not None:
            (at.release("A") / "release.json").write_text(json.dumps(facts))
        assert ReleaseUnits.of(at, "A") == ReleaseUnits.web_only("shop", "A")

    def test_what_a_boot_would_start(self, tmp_path: Path) -> None:
        at = Layout("shop", tmp_path)
        for wants, name in [
            ("sockets.target.wants", "shop@A.socket"),
            ("multi-user.target.wants", "shop@A.service"),
            ("multi-user.target.wants", "shop.worker@A.service"),
            ("multi-user.target.wants", "shop.worker@B.service"),
            ("multi-user.target.wants", "shop-worker@C.service"),
            ("multi-user.target.wants", "shopping@D.service"),
        ]:
            (at.units / wants).mkdir(parents=True, exist_ok=True)
            (at.units / wants / name).touch()
        assert units.enabled(at) == {
            "A": {"shop@A.socket", "shop@A.service", "shop.worker@A.service"},
            "B": {"shop.worker@B.service"},
        }


class TestDeploy:
    """From one set to another."""

    def test_in_order(self, app: App) -> None:
        release = deploy(app, "red", *BOTH).release
        worker, clock = (process(app, name, release) for name in BOTH)
        web = f"{app.name}@{release}"
        assert calls(app, "enable --now", "GET shop.example.org/healthz")[:3] == [
            f"enable --now {web}.socket {web}.service",
            "GET shop.example.org/healthz",
            f"enable --now {worker} {clock}",
        ]
        assert app.system.active == app.live_units() == {f"{web}.socket", f"{web}.service", worker, clock}
        assert units.enabled(app.at) == {release: app.live_units()}
        assert app.left_over() == []

    def test_no_process_starts_beside_a_server_that_is_not_healthy(self, app: App) -> None:
        with pytest.raises(ReleaseError, match="/healthz was not answered well"):
            with_processes(app, *BOTH, skip_checks=[], health={**app.spec["health"], "timeout": 0}).deploy()
        assert not [line for line in calls(app, "enable --now") if ".worker@" in line]

    @pytest.mark.parametrize(
        ("crashes", "restarts", "message"),
        [
            (True, [0], "does not stay up: it is activating"),
            (False, [0, 2], "does not stay up: it ended 2 times within"),
            (False, [5, 6], "does not stay up: it ended 1 times within"),
        ],
    )
    @pytest.mark.parametrize("watch", [0, 0.01])
    def test_a_process_that_does_not_stay_up(
        self,
        app: App,
        monkeypatch: pytest.MonkeyPatch,
        crashes: bool,
        restarts: list[int],
        message: str,
        watch: float,
    ) -> None:
        old = deploy(app, "red", *BOTH).release
        serving = set(app.system.active)
        monkeypatch.setattr(checks, "STABLE_SECONDS", watch)
        new = with_processes(app, *BOTH, requirements=["x"])
        release = new.identity.determine()
        clock = process(app, "clock", release)
        app.system.crashing = {clock} if crashes else set()
        app.system.restarts_of = {clock: list(restarts)}
        before = len(app.system.commands)
        with pytest.raises(ReleaseError, match=message) as error:
            new.deploy()
        assert (error.value.step, error.value.log) == ("start", "Traceback: no such table")
        assert app.at.live() == old
        assert app.system.active == serving, "the old set serves untouched"
        touched = [line for line in app.system.commands[before:] if old in line and " show " not in line]
        assert touched == []
        assert units.enabled(app.at) == {old: serving}
        assert not app.at.is_good(release)
        app.system.crashing, app.system.restarts_of = set(), {}
        assert with_processes(app, *BOTH, requirements=["x"]).deploy().action == "deployed"
        assert app.left_over() == []

    def test_a_process_that_does_not_start(self, app: App) -> None:
        old = deploy(app, "red", "worker").release
        app.system.fail = {f"enable --now {app.name}.worker@": "Unit shop.clock@.service not found."}
        with pytest.raises(ReleaseError, match=r"\.clock@.* did not start; its unit is not on this host"):
            deploy(app, "blue", *BOTH)
        assert (app.at.live(), app.system.active) == (old, app.live_units())

    def test_stable_switched_off_still_wants_active_processes(self, app: App) -> None:
        new = with_processes(app, "worker", skip_checks=["stable"])
        new.secret_key.read(create=True)
        app.system.crashing = {process(app, "worker", new.identity.determine())}
        with pytest.raises(ReleaseError, match="does not stay up"):
            new.deploy()

    def test_the_old_processes_are_told_to_end_and_the_old_web_drains(self, app: App) -> None:
        old = deploy(app, "red", *BOTH).release
        worker, clock = (process(app, name, old) for name in BOTH)
        app.system.busy = {worker}
        live: list[str | None] = []
        app.system.on["stop --no-block"] = lambda: live.append(app.at.live())
        before = len(app.system.commands)
        new = deploy(app, "blue", *BOTH).release
        stopped = [
            line.removeprefix("systemctl ")
            for line in app.system.commands[before:]
            if f"@{old}." in line and line.split()[1] in ("stop", "disable", "kill")
        ]
        web = f"{app.name}@{old}"
        assert stopped == [
            f"stop --no-block {clock} {worker}",
            f"stop {web}.service {web}.socket",
            f"disable {web}.socket {web}.service {worker} {clock}",
        ]
        assert live == [new], "after the switch"
        assert app.system.ending == {worker}, "it finishes what it has begun"
        assert app.system.active == app.live_units()

    def test_a_live_release_is_started_with_all_of_its_units(self, app: App) -> None:
        release = deploy(app, "red", *BOTH).release
        app.system.active.discard(process(app, "clock", release))
        assert with_processes(app, *BOTH, environment={"WSGI_APP": "shop:app", "COLOUR": "red"}).predict().action == (
            "to start"
        )
        assert deploy(app, "red", *BOTH).action == "started"
        assert app.system.active == app.live_units()


class TestRollBack:
    """Each release has the set that it was built with."""

    def test_to_a_release_with_another_set(self, app: App) -> None:
        sets: list[tuple[str, ...]] = [("worker",), BOTH, ()]
        releases = [deploy(app, str(number), *names).release for number, names in enumerate(sets)]
        for number in (1, 0, 2, 0):
            assert app.on_host().roll_back(releases[number]).release == releases[number]
            wanted = {process(app, name, releases[number]) for name in sets[number]}
            assert app.system.active == app.live_units()
            assert {name for name in app.system.active if "." in name.partition("@")[0]} == wanted
            assert units.enabled(app.at) == {releases[number]: app.live_units()}
        assert app.left_over() == []

    def test_one_whose_process_does_not_stay_up_leaves_the_live_one(self, app: App) -> None:
        a, b = deploy(app, "a", "worker").release, deploy(app, "b", "clock").release
        app.system.crashing = {process(app, "worker", a)}
        with pytest.raises(ReleaseError, match="does not stay up"):
            app.on_host().roll_back()
        assert app.at.live() == b
        assert app.system.active == app.live_units()

    def test_nothing_of_the_live_release_runs_while_its_data_is_exchanged(self, app: App) -> None:
        app.system.facts["migration_heads"] = ["rev1"]
        a = deploy(app, "a").release

        def migrate() -> None:
            app.system.facts["migration_heads"] = ["rev2"]

        app.system.on["sh -c migrate"] = migrate
        (app.root / app.at.data[1:]).mkdir(parents=True)
        b = deploy(app, "b", *BOTH, release_command="migrate").release
        (app.at.saved / b / "shop.db").touch()
        app.system.busy = {process(app, "worker", b)}
        running: list[set[str]] = []
        app.system.on[" restore "] = lambda: running.append(app.system.active | app.system.ending)
        assert app.on_host().roll_back(data="saved").release == a
        assert running == [set()]


class TestKilled:
    """Killed anywhere, whatever is live serves with all of its units, and the next run finishes the work."""

    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_deploy(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        deploy(app, "red", *BOTH)
        kill_at(monkeypatch, step, when, lambda: deploy(app, "blue", "worker", "mail"))
        assert app.live_units() <= app.system.active
        deploy(app, "blue", "worker", "mail")
        assert app.left_over() == []
        assert deploy(app, "blue", "worker", "mail").action == "unchanged"

    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_and_healed(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        """By an unlock, which deploys nothing."""
        deploy(app, "red", *BOTH)
        kill_at(monkeypatch, step, when, lambda: deploy(app, "blue", "mail"))
        app.on_host().heal()
        assert app.system.active == app.live_units()
        assert units.enabled(app.at) == {app.at.live(): app.live_units()}
        assert app.on_host().cleanup.is_settled()

    @pytest.mark.parametrize("step", STEPS_BACK)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_rollback(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        first, second = deploy(app, "red", *BOTH).release, deploy(app, "blue", "mail").release
        kill_at(monkeypatch, step, when, app.on_host().roll_back)
        assert app.live_units() <= app.system.active
        if app.at.live() == second:
            assert app.on_host().roll_back().release == first
            assert app.left_over() == []
        deploy(app, "blue", "mail")
        assert app.left_over() == []
        assert app.at.live() == second

    def test_a_deploy_at_every_call_of_the_host(self, tmp_path: Path, app: App) -> None:
        deploy(app, "red", *BOTH)
        before = app.system.calls
        deploy(app, "blue", "mail", "worker")
        for number in range(1, app.system.calls - before + 1):
            other = App(tmp_path / str(number))
            deploy(other, "red", *BOTH)
            other.system.kill_at = other.system.calls + number
            with pytest.raises(Killed):
                deploy(other, "blue", "mail", "worker")
            assert other.live_units() <= other.system.active
            deploy(other, "blue", "mail", "worker")
            assert other.left_over() == [], f"killed at call {number}: {other.system.commands}"

    def test_the_processes_of_a_release_that_was_live_finish_what_they_have_begun(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = deploy(app, "red", "worker").release
        app.system.busy = {process(app, "worker", old)}
        kill_at(monkeypatch, "drain", "before", lambda: deploy(app, "blue", "worker"))
        app.on_host().heal()
        assert app.system.ending == {process(app, "worker", old)}

    def test_those_of_one_that_never_was_are_waited_for(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        deploy(app, "red", "worker")
        kill_at(monkeypatch, "switch", "before", lambda: deploy(app, "blue", "worker"))
        (new,) = app.on_host().supervisor.enabled() - {app.at.live()}
        app.system.busy = {process(app, "worker", new)}
        app.on_host().heal()
        assert app.system.ending == set(), "its directory may be built anew"

    def test_a_unit_that_is_enabled_and_not_recorded_is_stopped_too(self, app: App) -> None:
        deploy(app, "red")
        app.system.start(process(app, "worker", "0123456789ab"))
        app.on_host().heal()
        assert app.system.active == app.live_units()
        assert units.enabled(app.at) == {app.at.live(): app.live_units()}


class TestPrune:
    """A release goes when none of its units runs."""

    KEEP: ClassVar[dict[str, Any]] = {"settings": {"keep": 1}}

    def test_one_that_is_still_at_work_stays(self, app: App) -> None:
        first = deploy(app, "1", "worker", **self.KEEP).release
        worker = process(app, "worker", first)
        app.system.busy = {worker}
        deploy(app, "2", "worker", **self.KEEP)
        deploy(app, "3", "worker", **self.KEEP)
        assert app.system.ending == {worker}
        assert app.at.is_complete(first)
        assert (app.at.release(first) / "venv").resolve().exists()
        app.system.ending.clear()
        deploy(app, "4", "worker", **self.KEEP)
        assert not app.at.is_complete(first)
        verb, *forgotten = calls(app, "reset-failed")[-1].split()
        assert (verb, set(forgotten)) == ("reset-failed", {worker, process(app, "worker", deployed(app, 2))})
        assert app.left_over() == []


def deployed(app: App, number: int) -> str:
    """The release of a deploy, counted from 1."""
    return [str(event["release"]) for event in app.ledger.events() if event["event"] == "live"][number - 1]


def test_a_removal_ends_all_of_them(app: App) -> None:
    old = deploy(app, "red", *BOTH).release
    app.system.busy = {process(app, "worker", old)}
    deploy(app, "blue", *BOTH)
    assert app.system.ending == app.system.busy
    assert app.on_host().remove().action == "removed"
    assert (app.system.active, app.system.ending) == (set(), set())
    assert units.enabled(app.at) == {}


class TestOf01:
    """Releases that a host has from before there was a record."""

    def forget(self, app: App, release: str) -> None:
        """Take the record away, as 0.1 wrote none."""
        path = app.at.release(release) / "release.json"
        facts = {name: value for name, value in app.at.facts(release).items() if name != "units"}
        path.write_text(json.dumps(facts))

    def test_deployed_over_rolled_back_to_and_pruned(self, app: App) -> None:
        settings: dict[str, Any] = {"settings": {"keep": 2}}
        old = deploy(app, "old", **settings).release
        self.forget(app, old)
        assert app.live_units() == {f"{app.name}@{old}.socket", f"{app.name}@{old}.service"} == app.system.active
        assert deploy(app, "old", **settings).action == "unchanged"
        new = deploy(app, "new", "worker", **settings).release
        assert app.system.active == app.live_units()
        assert len(app.system.active) == 3
        assert app.on_host().roll_back().release == old
        assert app.system.active == app.live_units()
        assert len(app.system.active) == 2
        assert deploy(app, "new", "worker", **settings).release == new
        for colour in ("newer", "newest"):
            deploy(app, colour, "worker", **settings)
        assert not app.at.release(old).exists()
        assert app.left_over() == []
        assert app.on_host().remove().action == "removed"
        assert app.system.active == set()
