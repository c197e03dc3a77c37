"""The jobs of an app: their units, which of them a host runs, what a switch, a rollback and a rerun make of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host, path
from ansible_collections.groundwork.flask.plugins.module_utils.release import job_units, schedules
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.job_files import WANTS
from ansible_collections.groundwork.flask.plugins.module_utils.release.job_runs import outcome
from ansible_collections.groundwork.flask.plugins.module_utils.release.jobs import Jobs
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed, kill_at

NIGHTLY = {"command": "flask report", "schedule": "*-*-* 03:00", "timeout": 60, "on": "first", "pool": True}
TICK = {"command": "flask tick", "schedule": "*:0/5", "timeout": 30, "on": "each", "pool": False}


def deploy(app: App, colour: str = "red", **jobs: dict[str, Any]) -> Result:
    return app.deploy(colour, jobs=jobs)


def unit(app: App, name: str) -> Path:
    return app.at.units / f"{app.name}.{name}"


def units(app: App) -> list[str]:
    return sorted(file.name[len(app.name) + 1 :] for file in app.at.units.glob(f"{app.name}.*") if file.is_file())


def timers(app: App) -> list[str]:
    """Those that are active."""
    return sorted(name[len(app.name) + 1 : -6] for name in app.system.active if name.endswith(".timer"))


def test_the_result_says_when_each_runs_next(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    real = app.system.systemctl

    def systemctl(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        done = real(*arguments, **options)
        if arguments[0] == "list-timers":
            done.stdout = f'[{{"unit": "{app.name}.tick.timer", "next": 1795997100000000}}]'
        return done

    monkeypatch.setattr(app.system, "systemctl", systemctl)
    assert deploy(app, nightly=NIGHTLY, tick=TICK).jobs == "nightly stopped, tick next at 2026-11-30T00:05:00Z"
    other = app.engine(jobs={"nightly": NIGHTLY}, run_jobs=False).deploy()
    assert other.jobs == "nightly on the first of the app's hosts"
    assert app.deploy("plain").jobs == ""


class TestUnits:
    """What they say, and when they are there."""

    def test_a_deploy_writes_arms_and_enables_them(self, app: App) -> None:
        release = deploy(app, nightly=NIGHTLY, tick=TICK).release
        assert units(app) == ["nightly.service", "nightly.timer", "tick.service", "tick.timer"]
        assert timers(app) == ["nightly", "tick"]
        assert {link.name for link in (app.at.units / WANTS).iterdir()} == {
            f"{app.name}.nightly.timer", f"{app.name}.tick.timer",
        }  # fmt: skip
        command = (app.at.release(release) / "jobs" / "nightly").read_text()
        assert command.endswith("exec /bin/bash -c 'flask report'\n")
        assert app.at.facts(release)["jobs"] == {"nightly": NIGHTLY, "tick": TICK}

    def test_a_service_runs_in_what_is_live_with_the_sandbox_and_a_limit(self, app: App) -> None:
        deploy(app, nightly=NIGHTLY, tick=TICK)
        nightly, current = unit(app, "nightly.service").read_text(), on_host("current", app.name)
        for line in (
            f"ExecStart={current}/jobs/nightly", f"EnvironmentFile={current}/env", "RuntimeMaxSec=60", "Type=exec",
            "KillMode=mixed", f"User={app.name}", "PrivateTmp=yes", f"BindPaths={on_host('data', 'shop')}",
        ):  # fmt: skip
            assert f"\n{line}\n" in nightly
        assert "env.direct" not in nightly
        assert "\nOnFailure=groundwork-failed@%n.service\n" in nightly
        assert f"\nEnvironmentFile=-{current}/env.direct\n" in unit(app, "tick.service").read_text()

    def test_a_timer_makes_up_for_what_was_missed(self, app: App) -> None:
        deploy(app, tick=TICK)
        timer = unit(app, "tick.timer").read_text()
        for line in ("OnCalendar=*:0/5", "Persistent=yes", "AccuracySec=1s", "WantedBy=timers.target"):
            assert f"\n{line}\n" in timer
        assert f"\nConditionPathExists=!{on_host('maintenance', app.name)}\n" in timer

    def test_a_unit_of_the_operator_is_started_when_one_fails(self, app: App) -> None:
        file = path("configuration", root=app.root) / "jobs.json"
        deploy(app, tick=TICK)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"on_failure": "alert@%n.service"}')
        assert deploy(app, tick=TICK).action == "started"
        assert "\nOnFailure=groundwork-failed@%n.service alert@%n.service\n" in unit(app, "tick.service").read_text()

    def test_an_app_without_jobs_has_no_command_more(self, app: App) -> None:
        deploy(app)
        assert units(app) == []
        assert not app.at.jobs.exists()
        assert app.has_run("timer") == app.has_run("daemon-reload") == app.has_run("calendar") == 0


class TestChange:
    """They follow what is live."""

    def test_they_are_those_of_the_release_that_is_live(self, app: App) -> None:
        first = deploy(app, "red", nightly=NIGHTLY).release
        deploy(app, "blue", tick=TICK)
        assert (units(app), timers(app)) == (["tick.service", "tick.timer"], ["tick"])
        assert app.on_host().roll_back().release == first
        assert (units(app), timers(app)) == (["nightly.service", "nightly.timer"], ["nightly"])

    def test_a_job_that_runs_is_left_to_end_and_its_unit_goes_later(self, app: App) -> None:
        deploy(app, "red", nightly=NIGHTLY)
        app.system.active.add(f"{app.name}.nightly.service")
        deploy(app, "blue")
        assert units(app) == ["nightly.service"]
        assert app.has_run(f"stop {app.name}.nightly.service") == 0
        app.system.active.discard(f"{app.name}.nightly.service")
        deploy(app, "blue")
        assert units(app) == []

    def test_a_new_schedule_counts_from_now(self, app: App) -> None:
        deploy(app, tick=TICK)
        stamp = app.root / "var/lib/systemd/timers" / f"stamp-{app.name}.tick.timer"
        stamp.parent.mkdir(parents=True)
        stamp.touch()
        os.utime(stamp, (1, 1))
        deploy(app, tick={**TICK, "command": "flask tock"})
        assert stamp.stat().st_mtime == 1
        deploy(app, tick={**TICK, "schedule": "hourly"})
        assert stamp.stat().st_mtime > 1
        assert timers(app) == ["tick"]

    def test_a_rerun_heals_and_else_changes_nothing(self, app: App) -> None:
        deploy(app, nightly=NIGHTLY)
        app.system.commands.clear()
        assert deploy(app, nightly=NIGHTLY).action == "unchanged"
        assert app.has_run("daemon-reload") == app.has_run("systemctl start") == 0
        damages: tuple[Callable[[], object], ...] = (
            lambda: app.system.active.discard(f"{app.name}.nightly.timer"),
            unit(app, "nightly.timer").unlink,
            (app.at.units / WANTS / f"{app.name}.nightly.timer").unlink,
        )
        for damage in damages:
            damage()
            assert app.engine(**changes(NIGHTLY)).predict().action == "to start"
            assert deploy(app, nightly=NIGHTLY).action == "started"
            assert timers(app) == ["nightly"]

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("step", ["start", "switch", "drain"])
    def test_killed_the_next_run_heals(self, app: App, step: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
        deploy(app, "red", nightly=NIGHTLY)
        deploy(app, "blue", tick=TICK)
        kill_at(monkeypatch, step, when, app.on_host().roll_back)
        app.on_host().heal()
        expected = list(app.at.facts(app.at.live() or "")["jobs"])
        assert (timers(app), units(app)) == (expected, [f"{expected[0]}.service", f"{expected[0]}.timer"])

    def test_a_rollback_starts_no_job_meanwhile_and_a_failed_one_goes_on_as_before(self, app: App) -> None:
        deploy(app, "red", nightly=NIGHTLY)
        deploy(app, "blue", tick=TICK)
        seen: list[list[str]] = []
        app.system.on["GET"] = lambda: seen.append(timers(app))
        app.on_host().roll_back()
        assert seen[0] == []
        assert timers(app) == ["nightly"]
        deploy(app, "green", tick=TICK)
        app.system.fail["systemctl enable --now"] = "no"
        with pytest.raises(ReleaseError):
            app.on_host().roll_back()
        assert timers(app) == ["tick"]

    def test_a_removal_takes_all_of_it(self, app: App) -> None:
        deploy(app, nightly=NIGHTLY)
        app.system.active.add(f"{app.name}.nightly.service")
        app.on_host().remove()
        assert (units(app), timers(app)) == ([], [])
        assert not app.at.jobs.exists()
        assert f"{app.name}.nightly.service" not in app.system.active

    def test_a_unit_that_took_its_place_is_left_alone_and_warned_of(self, app: App) -> None:
        deploy(app, nightly=NIGHTLY)
        unit(app, "nightly.timer").write_text("[Timer]\n")
        result = deploy(app, nightly=NIGHTLY)
        assert result.action == "unchanged"
        assert (
            f"the job nightly does not run: {unit(app, 'nightly.timer')} was not written for it" in result.warnings[0]
        )
        assert unit(app, "nightly.timer").read_text() == "[Timer]\n"

    def test_what_others_have_of_that_name_is_left_alone(self, app: App) -> None:
        app.at.units.mkdir(parents=True, exist_ok=True)
        unit(app, "nightly.timer").write_text("[Timer]\n")
        with pytest.raises(ReleaseError, match=r"jobs.nightly: .*nightly.timer was not written for it: choose another"):
            deploy(app, nightly=NIGHTLY)
        deploy(app)
        app.on_host().remove()
        assert unit(app, "nightly.timer").read_text() == "[Timer]\n"


def changes(job: dict[str, Any]) -> dict[str, Any]:
    return {"environment": {"WSGI_APP": "shop:app", "COLOUR": "red"}, "jobs": {"nightly": job}}


class TestHosts:
    """Which host runs them."""

    def test_the_others_have_no_timer_of_a_job_that_one_host_runs(self, app: App) -> None:
        app.deploy("red", jobs={"nightly": NIGHTLY, "tick": TICK}, run_jobs=False)
        assert timers(app) == ["tick"]
        assert unit(app, "nightly.service").exists()
        app.deploy("blue", jobs={"nightly": NIGHTLY}, run_jobs=False)
        app.on_host().roll_back()
        assert timers(app) == ["tick"], "what acts without flask_apps knows it too"

    def test_when_the_first_host_is_another_one_the_next_run_disarms(self, app: App) -> None:
        assert app.deploy("red", jobs={"nightly": NIGHTLY}).changed
        assert app.deploy("red", jobs={"nightly": NIGHTLY}, run_jobs=False).action == "started"
        assert (timers(app), units(app)) == ([], ["nightly.service"])
        assert not app.deploy("red", jobs={"nightly": NIGHTLY}, run_jobs=False).changed
        assert app.deploy("red", jobs={"nightly": NIGHTLY}).action == "started"
        assert timers(app) == ["nightly"]


class TestMaintenance:
    """The proxy notes it on the host."""

    def test_a_deploy_does_not_arm_them_and_a_run_after_it_does(self, app: App) -> None:
        note = path("maintenance", app.name, app.root)
        note.parent.mkdir(parents=True)
        note.touch()
        deploy(app, nightly=NIGHTLY)
        assert (timers(app), units(app)) == ([], ["nightly.service", "nightly.timer"])
        assert deploy(app, nightly=NIGHTLY).action == "unchanged"
        note.unlink()
        Jobs(app.on_host().context).start_timers()
        assert timers(app) == ["nightly"]
        note.touch()
        Jobs(app.on_host().context).start_timers()
        assert timers(app) == []


class TestPruning:
    """A release stays while a job that was started in it runs."""

    def test_it_goes_when_the_job_has_ended(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "now", lambda: 1000.0)
        old = deploy(app, "c0", nightly=NIGHTLY).release
        app.system.active.add(f"{app.name}.nightly.service")
        begun = {"InactiveExitTimestamp": "@1500"}
        monkeypatch.setattr(Jobs, "properties", lambda _self, _job, *_names: begun)
        keep = {"keep": 2}
        for number in range(1, 5):
            monkeypatch.setattr(clock, "now", lambda number=number: 1000.0 + 1000 * number)
            app.engine(settings=keep, environment={"WSGI_APP": "shop:app", "COLOUR": f"c{number}"},
                       jobs={"nightly": NIGHTLY}).deploy()  # fmt: skip
        assert app.at.is_complete(old)
        app.system.active.discard(f"{app.name}.nightly.service")
        app.engine(settings=keep, environment={"WSGI_APP": "shop:app", "COLOUR": "last"},
                   jobs={"nightly": NIGHTLY}).deploy()  # fmt: skip
        assert not app.at.is_complete(old)

    def test_at_the_moment_of_a_switch_both_are_kept(self, app: App) -> None:
        app.ledger.append("switch", "A")
        times = [clock.timestamp(when) for when in (1000, 2000, 3000)]
        app.at.ledger.write_text("".join(
            f'{{"time": "{time}", "event": "{event}", "release": "{release}"}}\n'
            for time, release in zip(times, "ABC", strict=True)
            for event in ("switch", "live")
        ))  # fmt: skip
        about = Jobs(app.on_host().context).live_about
        assert about(1500) == {"A"}
        assert about(1990) == {"A", "B"}
        assert about(2001) == {"A", "B"}
        assert about(2010) == {"B"}
        assert about(9000) == {"C"}
        with app.at.ledger.open("a") as ledger:
            ledger.write(f'{{"time": "{clock.timestamp(9500)}", "event": "switch", "release": "D"}}\n')
        assert about(9900) == {"C", "D"}, "D may have been killed before its switch"


class TestRefusals:
    """Before anything is done."""

    @pytest.mark.parametrize(
        ("name", "job", "message"),
        [
            ("Nightly", NIGHTLY, "that cannot be a name"),
            ("nightly", {**NIGHTLY, "command": " "}, "its command is empty"),
            ("nightly", {**NIGHTLY, "schedule": "daily\nExecStart=/bin/sh"}, "is no schedule"),
            ("nightly", {**NIGHTLY, "schedule": "%n"}, "is no schedule"),
        ],
    )
    def test_of_what_cannot_be_a_job(self, app: App, name: str, job: dict[str, Any], message: str) -> None:
        with pytest.raises(ReleaseError, match=message):
            app.deploy(jobs={name: job})
        assert app.events() == []
        assert not app.at.home.exists() or not list(app.at.releases.glob("*"))

    def test_of_what_systemd_does_not_take(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        real = app.system.run

        def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
            if command[0] == schedules.ANALYZE:
                return subprocess.CompletedProcess(command, 1, "", REFUSED)
            return real(*command, **options)

        monkeypatch.setattr(app.system, "run", run)
        with pytest.raises(ReleaseError, match=r"jobs.nightly: schedule: '0 3 \* \* \*' is no schedule: write it as"):
            deploy(app, nightly={**NIGHTLY, "schedule": "0 3 * * *"})


REFUSED = "Failed to parse calendar specification '0 3 * * *': Invalid argument\n"
SHOWN = """  Original form: daily
Normalized form: *-*-* 00:00:00
    Next elapse: Mon 2026-11-30 00:00:00 UTC
       From now: 16min left

  Original form: 2020-01-01 03:00
Normalized form: 2020-01-01 03:00:00
    Next elapse: never

Normalized form: *-*-* 03:00:00
    Next elapse: Mon 2026-11-30 03:00:00 UTC
"""


def test_systemd_judges_all_schedules_by_one_program() -> None:
    calls = []

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 1, SHOWN, REFUSED)

    wanted = ["daily", "0 3 * * *", "2020-01-01 03:00", "daily", "*-*-* 03:00:00"]
    found = schedules.problems(wanted, run)
    assert {one: text.partition(":")[0] for one, text in found.items()} == {"0 3 * * *": "is no schedule"}
    assert calls == [(schedules.ANALYZE, "calendar", "--", "daily", "0 3 * * *", "2020-01-01 03:00", "*-*-* 03:00:00")]
    assert schedules.problems([], run) == {}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({"Result": "success", "ExecMainExitTimestamp": ""}, ""),
        ({"Result": "success", "ExecMainExitTimestamp": "@7"}, "success"),
        ({"Result": "exit-code", "ExecMainStatus": "3"}, "exit status 3"),
        ({"Result": "timeout", "ExecMainStatus": "15"}, "ended after its timeout"),
        ({"Result": "signal", "ExecMainStatus": "9"}, "ended by signal 9"),
    ],
)
def test_how_a_run_ended(shown: dict[str, str], expected: str) -> None:
    assert outcome(shown) == expected


def test_a_job_that_failed_is_a_warning_of_the_next_run(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(app, nightly=NIGHTLY)
    failed = {"Result": "exit-code", "ExecMainStatus": "3", "ExecMainExitTimestamp": "@60"}
    monkeypatch.setattr(Jobs, "properties", lambda _self, _job, *_names: failed)
    expected = (
        f"the job nightly failed at 1970-01-01T00:01:00Z: exit status 3. Its output: `{app.name} logs`; run it again "
        f"with `{app.name} jobs run nightly`"
    )
    assert expected in app.engine(**changes(NIGHTLY)).predict().warnings
    assert expected in deploy(app, nightly=NIGHTLY).warnings
    assert expected in deploy(app, "blue", nightly=NIGHTLY).warnings


def test_of_a_job_that_could_not_be_started_no_time_is_told(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(app, nightly=NIGHTLY)
    monkeypatch.setattr(Jobs, "properties", lambda _self, _job, *_names: {"Result": "resources"})
    assert f"the job nightly failed: could not be started. Its output: `{app.name} logs`" in "".join(
        app.engine(**changes(NIGHTLY)).predict().warnings
    )


def test_the_name_of_a_job_fits_that_of_its_option() -> None:
    assert job_units.NAME.fullmatch("nightly-report_2")
    assert not job_units.NAME.fullmatch("a" * 31)
    assert issubclass(Killed, BaseException)
