"""The watch over a release after its switch: what is too much, and what becomes of the release then."""

from __future__ import annotations

import os
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import units, watcher, work
from ansible_collections.groundwork.flask.plugins.module_utils.release.answers import Answers, Count
from ansible_collections.groundwork.flask.plugins.module_utils.release.command import status, status_lines
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS_BACK
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.plugins.module_utils.release.ledger import states
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.settings import DeploySettings
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import Spec
from ansible_collections.groundwork.flask.plugins.module_utils.release.unix_http import Response
from ansible_collections.groundwork.flask.plugins.module_utils.release.watch import BY, Watch
from ansible_collections.groundwork.flask.plugins.module_utils.release.watcher import Watcher
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed, kill_at
from ansible_collections.groundwork.flask.tests.unit.test_release_exclusive import releases_at_once
from ansible_collections.groundwork.flask.tests.unit.test_release_units import deploy as deploy_with
from ansible_collections.groundwork.flask.tests.unit.test_release_units import process

WATCH = Watch("b" * 12, "a" * 12, began=1000.0, seconds=120)
GONE = 4_000_000  # above the largest number that a process may have


def wrote(app: App, release: str, process_id: int, begun: int, ended: int, failed: int) -> None:
    """What a process of the app has counted."""
    directory = app.root / "run" / f"{app.name}-{release}"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"answers-{process_id}").write_bytes(struct.pack("<QQQ", begun, ended, failed))


class TestReason:
    """What is too much."""

    @pytest.mark.parametrize(
        ("seen", "reason"),
        [
            ({}, ""),
            ({"restarts": 1}, ""),  # killed from outside, or for want of memory
            ({"restarts": 2}, ""),
            ({"restarts": 3}, "its processes ended and were restarted 3 times within 30 s of the switch"),
            ({"restarts": 3, "old_restarts": 1.4}, "restarted 3 times"),
            ({"restarts": 5, "old_restarts": 3.0}, ""),
            ({"down": "shop@b.service", "down_seconds": 14}, ""),
            ({"down": "shop@b.service", "down_seconds": 15}, "shop@b.service has been down for 15 s"),
            ({"down": "shop@b.service", "down_seconds": 20, "start": 10.0}, ""),  # it starts slowly
            ({"old_requests": 100, "requests": 200, "failed": 10}, "10 of 200 requests within 30 s"),
            ({"old_requests": 100, "requests": 200, "failed": 9}, ""),
            ({"old_requests": 100, "requests": 201, "failed": 10}, ""),
            ({"old_requests": 100, "requests": 19, "failed": 19}, ""),
            ({"old_requests": 100, "old_failed": 4, "requests": 100, "failed": 19}, ""),
            ({"old_requests": 100, "old_failed": 4, "requests": 100, "failed": 20}, "release before it were 4.0 %"),
            ({"old_requests": 100, "old_failed": 30, "requests": 100, "failed": 100}, ""),  # it was no better
            # A first release, one of before there was a count, or one that nobody had asked.
            ({"requests": 100, "failed": 49}, ""),
            ({"requests": 100, "failed": 50}, "50 of 100 requests"),
            ({"old_requests": 19, "old_failed": 19, "requests": 100, "failed": 50}, "50 of 100 requests"),
        ],
    )
    def test_of(self, seen: dict[str, Any], reason: str) -> None:
        found = replace(WATCH, **seen).reason(1030.0)
        assert reason in found
        assert bool(reason) == bool(found)


class TestCount:
    """The numbers are the app's own."""

    def test_of_its_processes(self, app: App) -> None:
        count = Count(app.at, "b")
        assert count.look() == Answers()
        wrote(app, "b", os.getpid(), begun=12, ended=10, failed=1)
        assert count.look() == Answers(10, 1), "two are under way"
        wrote(app, "b", GONE, begun=7, ended=5, failed=0)
        assert count.look() == Answers(17, 3), "two will have no answer any more"

    def test_while_they_come_and_go(self, app: App) -> None:
        count = Count(app.at, "b")
        wrote(app, "b", os.getpid(), 10, 10, 4)
        count.look()
        (app.root / "run" / f"{app.name}-b" / f"answers-{os.getpid()}").unlink()  # with the unit's directory
        assert count.look() == Answers(10, 4)
        wrote(app, "b", os.getpid(), 3, 3, 1)
        assert count.look() == Answers(13, 5)

    @pytest.mark.parametrize(
        "content",
        [b"", b"x" * 23, b"x" * 25, struct.pack("<QQQ", 1, 2, 0), struct.pack("<QQQ", 9, 5, 6), b"\xff" * 24],
    )
    def test_what_cannot_be_is_no_number(self, app: App, content: bytes) -> None:
        wrote(app, "b", os.getpid(), 1, 1, 0)
        (app.root / "run" / f"{app.name}-b" / "answers-1").write_bytes(content)
        assert Count(app.at, "b").look() == Answers(1, 0)

    def test_what_else_lies_there_is_left_alone(self, app: App, tmp_path: Path) -> None:
        directory = app.root / "run" / f"{app.name}-b"
        wrote(app, "b", os.getpid(), 1, 1, 0)
        secret = tmp_path / "secret"
        secret.write_bytes(struct.pack("<QQQ", 9, 9, 9))
        (directory / "answers-1").symlink_to(secret)
        (directory / "answers-2").mkdir()
        os.mkfifo(directory / "answers-3")
        (directory / "answers-four").write_bytes(struct.pack("<QQQ", 9, 9, 9))
        assert Count(app.at, "b").look() == Answers(1, 0)


class TestBegin:
    """With the switch of a deploy, and only with that."""

    def began(self, app: App) -> int:
        return app.has_run(f"--unit=groundwork-watch@{app.name}.service")

    def test_with_what_the_old_one_was_like(self, app: App) -> None:
        first = app.deploy("red").release
        wrote(app, first, os.getpid(), 40, 40, 2)
        app.system.restarts_of[f"{app.name}@{first}.service"] = [2]
        second = app.deploy("blue", watch=60, release_command="flask db upgrade").release
        watch = Watch.read(app.at)
        assert watch
        assert (watch.release, watch.previous, watch.seconds, watch.command) == (second, first, 60, True)
        assert (watch.old_requests, watch.old_failed) == (40, 2)
        assert 0 < watch.old_restarts <= 2
        assert self.began(app) == 2, "the first release of an app is watched too"

    def test_not_where_it_is_off(self, app: App) -> None:
        app.deploy("red", watch=0)
        assert (self.began(app), Watch.read(app.at)) == (0, None)

    def test_not_of_a_rollback_nor_of_a_release_that_is_prepared(self, app: App) -> None:
        app.deploy("red")
        app.deploy("blue")
        assert self.began(app) == 2
        app.on_host().roll_back()
        app.engine(requirements=["x"]).deploy(through="start")
        assert self.began(app) == 2

    def test_the_next_switch_ends_it(self, app: App) -> None:
        app.deploy("red")
        app.deploy("blue")
        app.on_host().roll_back()
        assert app.has_run(f"systemctl stop groundwork-watch@{app.name}.service") == 2
        assert Watch.read(app.at) is None

    def test_a_deploy_that_fails_does_not(self, app: App) -> None:
        app.deploy("red")
        app.system.fail = {"groundwork-probe:": "ImportError"}
        with pytest.raises(ReleaseError):
            app.deploy("blue")
        assert Watch.read(app.at)

    def test_and_a_removal_does(self, app: App) -> None:
        app.deploy("red")
        app.on_host().remove()
        assert app.has_run(f"systemctl stop groundwork-watch@{app.name}.service") == 1

    def test_one_that_cannot_begin_is_a_warning(self, app: App) -> None:
        app.system.fail = {"groundwork-watch@": "no bus"}
        done = app.deploy("red")
        assert done.warnings == [f"release {done.release} is not watched: no bus"]


@pytest.fixture
def watched(app: App, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app with a release before and one that is watched; time passes when the program sleeps."""
    app.deploy("red")
    app.deploy("blue")
    clock = [time.monotonic()]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(app.system, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(work, "active_run", lambda *_arguments: None)
    return app


def watch(app: App) -> list[Result]:
    """Run the program of the watch; what came of the orders that it gave."""
    results: list[Result] = []

    def do(order: work.Order, _system: object) -> Result:
        engine = Engine(Spec(**order.spec), settings=DeploySettings(**order.settings), system=app.system, root=app.root)
        results.append(getattr(engine, order.verb)(**order.options))
        return results[-1]

    Watcher(app.at, app.system, do).run()
    return results


def server(app: App) -> str:
    return f"{app.name}@{app.at.live()}.service"


class TestWatch:
    """From the switch on."""

    def test_all_is_well(self, watched: App) -> None:
        live = watched.at.live()
        assert watch(watched) == []
        assert watched.at.live() == live
        assert Watch.read(watched.at) is None
        assert states(watched.at)[0]["state"] == "live"

    @pytest.mark.parametrize("restarts", [[7, 8], [0, 1, 1, 2]])
    def test_a_restart_or_two_are_no_reason(self, watched: App, restarts: list[int]) -> None:
        watched.system.restarts_of[server(watched)] = restarts
        assert watch(watched) == []

    def test_one_that_ends_again_and_again(self, watched: App) -> None:
        first, second = watched.ledger.way_back()[0], watched.at.live()
        watched.system.restarts_of[server(watched)] = [0, 0, 1, 1, 2, 2, 3]
        (done,) = watch(watched)
        assert (done.action, done.release, watched.at.live()) == ("rolled_back", first, first)
        assert watched.system.active == watched.live_units()
        assert watched.left_over() == []
        row = next(row for row in states(watched.at) if row["release"] == second)
        assert row["state"] == "bad"
        assert "its processes ended and were restarted 3 times within" in row["reason"]
        assert "no such table" in watched.ledger.taken_back(str(second))["log"]

    def test_a_process_beside_the_server_counts_too(self, watched: App) -> None:
        deploy_with(watched, "green", "worker")
        worker = process(watched, "worker", str(watched.at.live()))
        watched.system.restarts_of[worker] = [0, 3]
        assert [done.action for done in watch(watched)] == ["rolled_back"]

    def test_one_that_finishes_its_job_before_it_is_started_again_is_not_down(self, watched: App) -> None:
        deploy_with(watched, "green", "worker")
        worker = process(watched, "worker", str(watched.at.live()))
        watched.system.active.discard(worker)
        watched.system.ending.add(worker)
        assert watch(watched) == []
        watched.system.ending.clear()
        deploy_with(watched, "blue", "worker")
        watched.system.active.discard(process(watched, "worker", str(watched.at.live())))
        assert [done.action for done in watch(watched)] == ["rolled_back"]

    def test_one_that_is_down(self, watched: App) -> None:
        watched.system.crashing = {server(watched)}
        assert [done.action for done in watch(watched)] == ["rolled_back"]

    def test_one_that_answers_with_errors(self, watched: App, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = [0]
        live = str(watched.at.live())

        def read(_at: Layout, release: str) -> dict[str, Answers]:
            assert release == live
            asked[0] += 30
            return {"answers-1": Answers(asked[0], asked[0] // 2)}

        monkeypatch.setattr("ansible_collections.groundwork.flask.plugins.module_utils.release.answers.read", read)
        assert [done.action for done in watch(watched)] == ["rolled_back"]

    def test_while_a_run_is_at_work_nothing_is_judged(self, watched: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(work, "active_run", lambda *_arguments: "a deploy")
        watched.system.crashing = {server(watched)}
        assert watch(watched) == []

    def test_it_ends_when_another_is_live(self, watched: App, monkeypatch: pytest.MonkeyPatch) -> None:
        found = Watch.read(watched.at)
        assert found
        replace(found, release="0" * 12).write(watched.at)
        monkeypatch.setattr(watcher, "EVERY", 1000.0)
        watched.system.crashing = {server(watched)}
        assert watch(watched) == []

    def test_it_tries_again_when_the_engine_was_killed(self, watched: App) -> None:
        watched.system.restarts_of[server(watched)] = [0, 3]
        orders: list[str] = []

        def do(order: work.Order, _system: object) -> Result:
            orders.append(order.verb)
            if len(orders) == 1:
                raise ReleaseError("engine", "it was ended before it was done")
            return Result()

        Watcher(watched.at, watched.system, do).run()
        assert orders == ["take_back", "take_back"]


class TestKept:
    """Where there is no way back, the release stays, and that is said as long as it does."""

    @pytest.mark.parametrize("runs_here", [True, False])
    def test_after_a_release_command(self, watched: App, runs_here: bool) -> None:
        options: dict[str, Any] = {"release_command": "flask db upgrade", "run_release_command": runs_here}
        live = watched.deploy("green", **options).release
        watched.system.restarts_of[server(watched)] = [0, 3]
        (done,) = watch(watched)
        assert (done.action, watched.at.live()) == ("unchanged", live)
        again = watched.deploy("green", **options)
        assert again.action == "unchanged"
        (warning,) = again.warnings
        assert f"release {live} is not well: its processes ended and were restarted 3 times" in warning
        assert "its release command has run" in warning
        assert f"`{watched.name} rollback` on the host" in warning
        assert watched.deploy("black").warnings == [warning], "the play that mends it says so for the last time"
        assert watched.deploy("black").warnings == []

    def test_a_first_release(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(work, "active_run", lambda *_arguments: None)
        live = app.deploy("red").release
        app.system.restarts_of[server(app)] = [0, 3]
        watch(app)
        assert app.at.live() == live
        assert "there is no earlier good release" in app.deploy("red").warnings[0]

    def test_where_the_one_before_is_no_better(self, watched: App) -> None:
        live, first = watched.at.live(), watched.ledger.way_back()[0]
        watched.system.restarts_of = {server(watched): [0, 3], f"{watched.name}@{first}.service": [3]}
        watched.system.answers = [Response(500, "no database")]
        watch(watched)
        assert watched.at.live() == live
        assert watched.system.active == watched.live_units()
        assert "It was not rolled back automatically: it does not stay up" in watched.deploy("blue").warnings[0]

    def test_another_release_that_is_live_by_now_is_left_alone(self, watched: App) -> None:
        live = watched.at.live()
        assert watched.on_host().take_back("0" * 12, "", "", command=False).action == "unchanged"
        assert watched.at.live() == live


class TestNextPlay:
    """What was taken back is not deployed again, and whoever comes is told."""

    @pytest.fixture
    def back(self, watched: App) -> App:
        watched.system.restarts_of[server(watched)] = [0, 3]
        watch(watched)
        watched.system.restarts_of = {}
        return watched

    def test_refuses_the_same(self, back: App) -> None:
        live = back.at.live()
        for _time in range(2):
            with pytest.raises(ReleaseError, match=r"was rolled back automatically at .*restarted 3 times") as error:
                back.deploy("blue")
            assert "no such table" in error.value.log
            assert back.at.live() == live
        predicted = back.engine(environment={"WSGI_APP": "shop:app", "COLOUR": "blue"}).predict()
        assert predicted.action == "to deploy"
        assert "was rolled back automatically" in predicted.warnings[0]

    def test_also_when_its_files_are_gone(self, back: App) -> None:
        for colour in ("1", "2"):
            back.deploy(colour, settings={"keep": 1})
        with pytest.raises(ReleaseError, match="was rolled back automatically"):
            back.deploy("blue")

    def test_takes_it_where_there_is_no_watch(self, back: App) -> None:
        assert back.deploy("blue", watch=0).action == "deployed"
        assert back.deploy("blue").action == "unchanged"

    def test_takes_another_and_says_what_happened(self, back: App) -> None:
        before = back.at.live()
        (warning,) = back.deploy("green").warnings
        assert "was rolled back automatically at" in warning
        assert warning.endswith(f"; release {before} was made live again")
        assert back.deploy("green").warnings == []

    def test_says_nothing_to_who_wants_what_is_live(self, back: App) -> None:
        again = back.deploy("red")
        assert (again.action, again.warnings) == ("unchanged", [])

    def test_a_rollback_goes_further_back(self, back: App) -> None:
        with pytest.raises(ReleaseError, match="there is no earlier good release"):
            back.on_host().roll_back()

    def test_status_says_so(self, back: App) -> None:
        shown = status(back.at)
        assert "was rolled back automatically at" in shown["warnings"][0]
        assert "was rolled back automatically at" in status_lines(shown)
        assert (shown["by"], shown["watch"]) == (BY, {})


def test_status_shows_a_watch_that_goes_on(watched: App) -> None:
    shown = status(watched.at)
    assert shown["watch"].keys() == {"until", "restarts", "requests", "failed"}
    assert "watch     until 20" in status_lines(shown)
    assert shown["warnings"] == []


class TestExclusive:
    """Of an app whose releases may not run at once."""

    def test_one_at_a_time(self, watched: App) -> None:
        first, second = (watched.deploy(colour, deploy="exclusive").release for colour in ("1", "2"))
        watched.system.restarts_of[server(watched)] = [0, 3]
        seen = releases_at_once(watched)
        assert [done.release for done in watch(watched)] == [first]
        assert second not in set().union(*seen)
        assert watched.system.active == watched.live_units()


class TestKilled:
    """Killed while it takes a release back: one of the two serves, and the next look finishes the work."""

    @pytest.mark.parametrize("exclusive", [False, True])
    @pytest.mark.parametrize("step", STEPS_BACK)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_at_a_step(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str, exclusive: bool) -> None:
        how = "exclusive" if exclusive else "beside"
        first, second = (app.deploy(colour, deploy=how).release for colour in ("red", "blue"))

        def back() -> Result:
            return app.on_host(BY).take_back(second, "it fails", "", command=False)

        kill_at(monkeypatch, step, when, back)
        app.on_host().heal()
        assert app.system.active == app.live_units()
        assert app.at.is_good(app.at.live() or "")
        back()
        assert app.at.live() == first
        assert app.left_over() == []
        with pytest.raises(ReleaseError, match="was rolled back automatically"):
            app.deploy("blue", deploy=how)

    def test_at_every_call_of_the_host(self, tmp_path: Path, app: App) -> None:
        calls = self.calls_of(app)
        for number in range(1, calls + 1):
            other = App(tmp_path / str(number))
            first, second = (other.deploy(colour).release for colour in ("red", "blue"))
            other.system.kill_at = other.system.calls + number
            with pytest.raises(Killed):
                other.on_host(BY).take_back(second, "it fails", "", command=False)
            assert other.live_units() <= other.system.active
            other.on_host(BY).take_back(second, "it fails", "", command=False)
            other.on_host().heal()
            assert (other.at.live(), other.left_over()) == (first, []), f"killed at call {number}"
            assert units.enabled(other.at) == {first: other.live_units()}

    def calls_of(self, app: App) -> int:
        """How often the host is called for it."""
        app.deploy("red")
        second = app.deploy("blue").release
        before = app.system.calls
        app.on_host(BY).take_back(second, "it fails", "", command=False)
        return app.system.calls - before
