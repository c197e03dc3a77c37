"""``shop jobs``: the table, and one job run now."""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import path
from ansible_collections.groundwork.flask.plugins.module_utils.release import jobs_command
from ansible_collections.groundwork.flask.plugins.module_utils.release.jobs import Jobs
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE
from ansible_collections.groundwork.flask.tests.unit.release_app import App
from ansible_collections.groundwork.flask.tests.unit.test_release_jobs import NIGHTLY, TICK

RUNS = {"ActiveState": "active", "Result": "success", "ExecMainStartTimestamp": "@60"}
DONE = {**RUNS, "ActiveState": "inactive", "ExecMainExitTimestamp": "@130", "InvocationID": "ab12"}
FAILED = {**DONE, "ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "3", "ExecMainCode": "1"}


FOLLOW = jobs_command.Run.follow
# A journal whose reader is late, as on a busy host.
LATE = """#!/bin/sh
case "$*" in
    *--follow*) sleep 2; printf 'one\ntwo\n'; exec sleep 60 ;;
    *) printf 'one\ntwo\n' ;;
esac
"""
# A journal without a line of the job's, and what journalctl says of it.
SILENT = """#!/bin/sh
case "$*" in
    *--follow*) exec sleep 600 ;;
    *--quiet*) ;;
    *) echo '-- No entries --' ;;
esac
"""


class Host:
    """A host with two jobs, of which another one runs the first.

    :ivar shown: what systemd says of a job, each time one asks; the last one stays.
    """

    def __init__(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app, self.shown = app, [dict[str, str]()]
        app.deploy("red", jobs={"nightly": NIGHTLY, "tick": TICK}, run_jobs=False)
        app.system.commands.clear()
        monkeypatch.setattr(Jobs, "properties", self.properties)
        monkeypatch.setattr(jobs_command.Run, "follow", lambda _self, number: jobs_command.write(f"output of {number}"))
        real = app.system.systemctl

        def systemctl(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
            done = real(*arguments, **options)
            if arguments[0] == "list-timers":
                timer = {"unit": f"{app.name}.tick.timer", "next": 86400 * 10**6, "last": 0}
                return subprocess.CompletedProcess(arguments, 0, json.dumps([timer]), "")
            return done

        monkeypatch.setattr(app.system, "systemctl", systemctl)

    def properties(self, _job: str, *_names: str) -> dict[str, str]:
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]

    def call(self, *words: str) -> int:
        parser = argparse.ArgumentParser()
        jobs_command.add_arguments(parser)
        return jobs_command.act(self.app.on_host().context, parser.parse_args(words))


@pytest.fixture
def host(app: App, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(app, monkeypatch)


class TestList:
    """How they fared."""

    @pytest.mark.parametrize(
        ("shown", "last", "result", "took"),
        [
            ({}, "never", "", ""),
            (RUNS, "1970-01-01 00:01", "running", ""),
            (DONE, "1970-01-01 00:01", "success", "70 s"),
            (FAILED, "1970-01-01 00:01", "exit status 3", "70 s"),
        ],
    )
    def test_the_table(
        self, host: Host, capsys: pytest.CaptureFixture[str], shown: dict[str, str], last: str, result: str, took: str
    ) -> None:
        host.shown = [shown]
        assert host.call() == 0
        head, nightly, tick = capsys.readouterr().out.splitlines()
        assert head.split() == ["job", "schedule", "last", "result", "took", "next"]
        assert nightly.endswith("(on the first of the app's hosts)")
        assert tick.split() == f"tick *:0/5 {last} {result} {took} 1970-01-02 00:00".split()

    def test_why_one_does_not_come(self, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        note = path("maintenance", host.app.name, host.app.root)
        note.parent.mkdir(parents=True)
        note.touch()
        host.call("--json")
        rows = json.loads(capsys.readouterr().out)
        assert [row["held"] for row in rows] == [jobs_command.ELSEWHERE, ""]

    @pytest.mark.parametrize(
        ("is_live", "said"),
        [(True, "has no jobs: name them in flask_apps"), (False, "has no live release, and so no jobs")],
    )
    def test_an_app_without_jobs(self, app: App, is_live: bool, said: str, capsys: pytest.CaptureFixture[str]) -> None:
        if is_live:
            app.deploy()
        parser = argparse.ArgumentParser()
        jobs_command.add_arguments(parser)
        jobs_command.act(app.on_host().context, parser.parse_args([]))
        assert said in capsys.readouterr().out


class TestRun:
    """One now."""

    @pytest.mark.parametrize(
        ("ended", "status", "words"),
        [
            (DONE, 0, "success"),
            (FAILED, 3, "exit status 3"),
            ({**FAILED, "Result": "timeout", "ExecMainStatus": "15"}, 124, "ended after its timeout"),
            ({**FAILED, "Result": "signal", "ExecMainCode": "2", "ExecMainStatus": "9"}, 137, "ended by signal 9"),
        ],
    )
    def test_it_ends_as_the_job_does(
        self, host: Host, capsys: pytest.CaptureFixture[str], ended: dict[str, str], status: int, words: str
    ) -> None:
        host.shown = [DONE, ended]
        assert host.call("run", "nightly") == status
        assert host.app.has_run(f"systemctl start {host.app.name}.nightly.service") == 1
        assert capsys.readouterr().out == f"output of ab12\nnightly of {host.app.name}: {words}\n"

    @pytest.fixture
    def journal(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
        """Sets the program that is run as journalctl."""

        def journal(program: str) -> None:
            journalctl = tmp_path / "journalctl"
            journalctl.write_text(program)
            journalctl.chmod(0o755)
            monkeypatch.setattr(jobs_command, "JOURNALCTL", str(journalctl))
            monkeypatch.setattr(jobs_command.Run, "follow", FOLLOW)

        return journal

    def test_its_last_lines_are_waited_for(
        self, host: Host, journal: Callable[[str], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        journal(LATE)
        host.shown = [DONE]
        assert host.call("run", "nightly") == 0
        assert host.app.has_run(f"journalctl --namespace={host.app.name} --sync") == 1
        assert capsys.readouterr().out == f"one\ntwo\nnightly of {host.app.name}: success\n"

    def test_one_that_prints_nothing_is_not_waited_for(
        self,
        host: Host,
        journal: Callable[[str], None],
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        journal(SILENT)
        monkeypatch.setattr(jobs_command, "SETTLE_SECONDS", PATIENCE)
        host.shown, began = [DONE], time.monotonic()
        assert host.call("run", "nightly") == 0
        assert time.monotonic() - began < PATIENCE
        assert capsys.readouterr().out == f"nightly of {host.app.name}: success\n"

    def test_the_playbook_runs_it_where_it_is_on_schedule(self, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        host.shown = [DONE]
        assert host.call("run", "nightly", "--in-its-place") == 0
        assert "nightly runs on the first of the app's hosts: nothing was done here" in capsys.readouterr().out
        assert host.app.has_run("systemctl start") == 0
        assert host.call("run", "tick", "--in-its-place") == 0
        assert host.app.has_run(f"systemctl start {host.app.name}.tick.service") == 1

    def test_refusals(self, host: Host) -> None:
        host.shown = [RUNS]
        with pytest.raises(SystemExit, match=r"nightly of \w+ runs already, since 1970-01-01T00:01:00Z: wait"):
            host.call("run", "nightly")
        with pytest.raises(SystemExit, match="has no job 'nope'; the live release has: nightly, tick"):
            host.call("run", "nope")
        with pytest.raises(SystemExit, match="name the job: nightly, tick"):
            host.call("run")
        host.app.at.paused.parent.mkdir(parents=True, exist_ok=True)
        host.app.at.paused.touch()
        with pytest.raises(SystemExit, match=r"nothing of \w+ may run while"):
            host.call("run", "tick")
        assert host.app.has_run("systemctl start") == 0


def test_the_timers_follow_the_maintenance_unless_something_has_stopped_the_app(host: Host) -> None:
    timer = f"{host.app.name}.tick.timer"
    note = path("maintenance", host.app.name, host.app.root)
    note.parent.mkdir(parents=True)
    note.touch()
    host.call("settle")
    assert timer not in host.app.system.active
    note.unlink()
    host.call("settle")
    assert timer in host.app.system.active
    host.app.at.paused.parent.mkdir(parents=True, exist_ok=True)
    host.app.at.paused.touch()
    host.app.system.active.discard(timer)
    host.call("settle")
    assert timer not in host.app.system.active
