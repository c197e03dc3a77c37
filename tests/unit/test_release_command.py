"""The command that bears an app's name: run, logs, rollback, unlock."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import privileges
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import plain_argv
from ansible_collections.groundwork.flask.plugins.module_utils.release import command, sandbox, work
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.steps import Step
from ansible_collections.groundwork.flask.tests.unit.release_app import UNIT, App
from ansible_collections.groundwork.flask.tests.unit.release_command_host import HOLDER, Became


@pytest.fixture
def steps(host: App, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """What ran on the operator's terminal; it ends with 7."""
    ran: list[Step] = []

    def interactive(step: Step) -> int:
        ran.append(step)
        return 7

    monkeypatch.setattr(host.system, "interactive", interactive)
    return ran


def call(app: App, *words: str) -> None:
    command.main([app.name, *words], app.root)


class TestRun:
    """A command in the app's environment, as its user."""

    @pytest.mark.parametrize("words", [("flask", "shell"), ("--", "flask", "shell"), ("flask", "--help"), ("ls", "-l")])
    def test_in_its_sandbox(
        self, host: App, steps: list[Step], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("OF_ROOT", "1")
        with pytest.raises(SystemExit) as end:
            call(host, "run", *words)
        assert end.value.code == 7
        (step,) = steps
        # Root looks up no name in the app's PATH: the shell that does is in the sandbox.
        assert step.argv[:4] == ("/bin/sh", "-c", 'exec "$@"', "sh")
        assert list(step.argv[4:]) == [word for word in words if word != "--"]
        release = host.at.release(host.at.live() or "")
        assert (step.app, step.cwd, step.seconds) == (host.name, str(release / "code"), math.inf)
        assert step.sandbox == sandbox.for_app(sandbox.of_unit(UNIT, release.name))
        environment = step.environment
        assert (environment["COLOUR"], environment["TERM"]) == ("blue", "xterm")
        assert environment["PYTHONPATH"] == str(release / "entry")
        assert environment["SECRET_KEY"] == host.at.secret_key.read_text()
        assert "OF_ROOT" not in environment

    def test_in_another_release(self, host: App, steps: list[Step]) -> None:
        other = host.ledger.way_back()[0]
        with pytest.raises(SystemExit):
            call(host, "run", "--release", other, "flask", "--release", "x")
        assert steps[0].environment["COLOUR"] == "red"
        assert steps[0].argv[-3:] == ("flask", "--release", "x")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "APP run: name the command, as in: APP run flask shell"),
            (("--",), "APP run: name the command, as in: APP run flask shell"),
            (("--release", "nonsense", "ls"), "APP has no release nonsense"),
        ],
    )
    def test_refused(self, host: App, words: tuple[str, ...], said: str) -> None:
        with pytest.raises(SystemExit) as end:
            call(host, "run", *words)
        assert end.value.code == said.replace("APP", host.name)

    @pytest.mark.parametrize(
        "words",
        [
            ("echo", "$HOME ${HOME} ~ `id` $(id) \\ * ? %i %% {{ x }} 'a' \"b\"", "a\nb", "", "-x", "--", "\ttab", "ü"),
            ("git", "log", "--", "-x", "--release", "y", "--help"),
        ],
    )
    def test_its_words_are_passed_on_as_they_are(self, host: App, steps: list[Step], words: tuple[str, ...]) -> None:
        with pytest.raises(SystemExit):
            call(host, "run", *words)
        assert steps[0].argv[4:] == words
        started = steps[0].command("x.service")
        assert started[started.index("--") + 1 :] == plain_argv(steps[0].argv)

    @pytest.mark.parametrize("bad", [True, False])
    def test_before_the_first_live_release_it_runs_in_the_newest_that_was_built(
        self, host: App, steps: list[Step], capsys: pytest.CaptureFixture[str], bad: bool
    ) -> None:
        newest = host.at.live() or ""
        host.at.current.unlink()
        os.utime(host.at.release(host.ledger.way_back()[-1]) / "release.json", (1, 1))
        half_built = host.at.release("half-built")
        half_built.mkdir()
        if bad:
            (host.at.release(newest) / "bad").touch()
        with pytest.raises(SystemExit) as end:
            call(host, "run", "ls")
        assert end.value.code == 7
        assert steps[0].environment["RELEASE"] == newest
        assert capsys.readouterr().err == (
            f"{host.name} has no live release yet; this runs in {newest}, the newest that was built"
            f"{', which is marked as bad' if bad else ''}\n"
        )

    def test_without_any_release(self, host: App) -> None:
        host.at.current.unlink()
        for path in host.at.releases.glob("*/release.json"):
            path.unlink()
        with pytest.raises(SystemExit, match=f"{host.name} has no release that was built to its end: deploy it first"):
            call(host, "run", "ls")


class TestRollBack:
    """Going back, and ending a deploy that is stuck."""

    def test_said_in_words(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        live, before = host.at.live(), host.ledger.way_back()[0]
        call(host, "rollback", "--dry-run")
        said = capsys.readouterr().out
        assert said.startswith(f"release {before} (shop (aaaaaaaaaa)) would be made live; before it was {live}.\n")
        assert host.at.live() == live
        call(host, "rollback", "--by", "bob@desk")
        said = capsys.readouterr().out
        assert re.match(
            rf"release {before} \(shop \(aaaaaaaaaa\)\) is live, after \d\.\d s; before it was {live}\.\n", said
        )
        assert "the next deploy or run of site.yml makes that live again" in said
        assert host.at.live() == before
        assert host.ledger.events()[-1]["by"] == "bob@desk"

    def test_as_json(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        before = host.ledger.way_back()[0]
        call(host, "rollback", before, "--json")
        result = json.loads(capsys.readouterr().out)
        assert (result["release"], result["action"]) == (before, "rolled_back")

    def test_refused(self, host: App) -> None:
        with pytest.raises(SystemExit) as end:
            call(host, "rollback", "nonsense")
        assert str(end.value.code).startswith(f"{host.name}: 'nonsense' is no release of {host.name} that is kept")

    def test_unlock(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        call(host, "unlock")
        assert capsys.readouterr().out == f"no run is at work on {host.name}.\n"
        call(host, "unlock", "--json")
        assert json.loads(capsys.readouterr().out) == {"changed": False, "holder": ""}

    def test_unlock_ends_who_is_at_work_and_heals(
        self, host: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        half_built, ended = host.at.release("123456789abc"), []

        def stop(app: str) -> work.ActiveRun:
            assert half_built.exists(), "it is ended before anything is touched"
            ended.append(app)
            return HOLDER

        half_built.mkdir()
        monkeypatch.setattr(work, "stop", stop)
        call(host, "unlock")
        assert capsys.readouterr().out == (
            "ended: a deploy of shop by bob@desk since 2026-01-02T03:04:05Z (process 7, at step command). "
            "What it left was cleaned up.\n"
        )
        assert ended == [host.name]
        assert not half_built.exists()

    def test_unlock_ends_no_pause_for_data_are_exchanged_meanwhile(
        self, host: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pause = work.ActiveRun("a pause of shop by a restore", "2026-01-02T03:04:05Z", "", 7)
        monkeypatch.setattr(work, "active_run", lambda _app: pause)
        monkeypatch.setattr(work, "stop", lambda _app: pytest.fail("it was ended"))
        with pytest.raises(SystemExit, match=r"a pause of shop by a restore .* end what has asked for it"):
            call(host, "unlock")

    def test_a_warning_is_shown_before_the_result(
        self, host: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        done = Result("A", "B", "rolled_back", "v1", warnings=["waited 3 s for a deploy of shop"])
        monkeypatch.setattr(work, "do", lambda _order: done)
        call(host, "rollback")
        assert capsys.readouterr().out.startswith("waited 3 s for a deploy of shop\nrelease A (v1) is live, after ")


class TestErrors:
    """A sentence on stderr and exit status 1."""

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["stauts"], "APP: argument VERB: invalid choice: 'stauts'"),
            (["rollback", "--data", "lost"], "APP rollback: argument --data: invalid choice: 'lost'"),
            (["logs", "-n", "many"], "APP logs: argument -n/--lines: 'many' is no number from 1 to 100000"),
            (["status", "now"], "unrecognized arguments: now"),
        ],
    )
    def test_of_the_parser(self, host: App, words: list[str], said: str) -> None:
        with pytest.raises(SystemExit) as end:
            call(host, *words)
        text = str(end.value.code)
        assert said.replace("APP", host.name) in text
        assert re.search(rf"\nFor help: {host.name}( \w+)? --help$", text)

    def test_help_when_nothing_is_asked(self, host: App, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as end:
            call(host)
        assert end.value.code == 0
        said = capsys.readouterr().out
        for verb in ("run", "logs", "releases", "status", "rollback", "unlock"):
            assert f"\n    {verb} " in said
        with pytest.raises(SystemExit):
            call(host, "unlock", "--help")
        assert "--by" not in capsys.readouterr().out

    @pytest.mark.parametrize("words", [("status",), ("run", "ls"), ("logs",), ("rollback",), ("unlock",)])
    def test_an_app_that_is_not_there(self, host: App, words: tuple[str, ...]) -> None:
        with pytest.raises(SystemExit, match="there is no app blog on this host"):
            command.main(["blog", *words], host.root)

    def test_a_release_error(self, host: App, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_words: Any, **_options: Any) -> None:
            raise ReleaseError("lock", "another run is at work", "log")

        monkeypatch.setattr(Engine, "roll_back", fail)
        with pytest.raises(SystemExit) as end:
            call(host, "rollback")
        assert end.value.code == f"{host.name}: another run is at work\n  log"

    def test_an_interrupted_one(self, host: App, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_words: Any, **_options: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Engine, "roll_back", interrupted)
        with pytest.raises(SystemExit) as end:
            call(host, "rollback")
        assert str(end.value.code).endswith(
            f"goes on: `{host.name} status` says how far it is, `{host.name} unlock` stops it"
        )

    def test_whoever_is_not_root_becomes_it(
        self, app: App, became: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(privileges, "may_become_root", lambda: True)
        with pytest.raises(Became):
            call(app, "run", "flask", "shell")
        assert became["program"] == "/usr/bin/sudo"
        assert became["words"] == ["sudo", sys.argv[0], app.name, "run", "flask", "shell"]

    def test_whoever_cannot_become_root_is_told_what_to_do(
        self, app: App, became: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A play that lacks become: sudo would ask for a password that nobody can type."""
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(privileges, "may_become_root", lambda: False)
        with pytest.raises(SystemExit, match="needs root: set `ansible_become: true`"):
            call(app, "unlock")
        assert became == {}


@pytest.mark.parametrize(
    ("environment", "who"),
    [
        ({"SUDO_USER": "ann", "USER": "root", "SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22"}, "ann@192.0.2.7"),
        ({"USER": "bob"}, f"bob@{os.uname().nodename}"),
        ({}, f"root@{os.uname().nodename}"),
    ],
)
def test_who_is_at_work(environment: dict[str, str], who: str) -> None:
    assert command.whoami(environment) == who


class TestPause:
    """Nothing of the app runs until the command ends."""

    def test_ctrl_c_ends_it_and_a_failure_to_start_again_is_told(
        self, host: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        @contextlib.contextmanager
        def held(order: work.Order) -> Iterator[list[str]]:
            assert order.verb == "pause"
            yield ["the job nightly ran and was ended"]
            raise ReleaseError("start", "release 3f9c was stopped, and could not be started again")

        class Terminal:
            def read(self, _size: int) -> str:
                raise KeyboardInterrupt

        monkeypatch.setattr(command, "held", held)
        monkeypatch.setattr(sys, "stdin", Terminal())
        with pytest.raises(SystemExit, match="could not be started again"):
            call(host, "pause")
        assert "the job nightly ran and was ended\nNothing of" in capsys.readouterr().out
