"""The release engine against a host that notes what it is asked; the file system is real."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import trees
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import TIMED_OUT
from ansible_collections.groundwork.flask.plugins.module_utils.release import checks, engine, sandbox
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import STEPS, STEPS_BACK, Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import (
    ReleaseError,
    env_file,
    read_env_file,
)
from ansible_collections.groundwork.flask.plugins.module_utils.release.ledger import states
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import Response, Step
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed

MIGRATE = "flask db upgrade"
MB = 2**20


class TestDeploy:
    """From nothing to live, and from one release to the next."""

    def test_first_deploy_and_then_nothing(self, app: App) -> None:
        first = app.engine().deploy()
        assert (first.action, first.previous, first.changes) == ("deployed", "", [])
        assert list(first.steps) == list(STEPS)
        assert os.readlink(app.at.current) == f"releases/{first.release}"
        assert app.system.active == app.live_units()
        assert (app.at.current / "public/static/a.css").read_text() == "x"
        assert (app.at.current / "env").stat().st_mode & 0o777 == 0o600
        assert (app.at.current / "definition.json").stat().st_mode & 0o777 == 0o600
        assert app.at.facts(first.release)["packages"] == ["flask==3.1.3"]
        assert read_env_file(app.at.current / "env")["RELEASE"] == first.release
        assert app.at.command.read_text() == f'#!/bin/sh\nexec {app.at.tools}/app {app.name} "$@"\n'
        commands = len(app.system.commands)
        again = app.engine().deploy()
        assert (again.action, again.changed, again.release) == ("unchanged", False, first.release)
        assert [line for line in app.system.commands[commands:] if "show" not in line] == []
        assert app.events() == ["begin", "switch", "live"]
        assert app.left_over() == []

    def test_a_setting_makes_a_new_release_in_the_same_environment(self, app: App) -> None:
        first = app.deploy("red")
        venv = (app.at.current / "venv").resolve()
        second = app.deploy("blue")
        assert (second.previous, second.action) == (first.release, "deployed")
        assert second.changes == ["environment.COLOUR"]
        assert (app.at.current / "venv").resolve() == venv
        assert app.has_run("pip install") == 1
        assert read_env_file(app.at.current / "env")["COLOUR"] == "blue"
        assert app.system.active == app.live_units()
        assert app.left_over() == []

    def test_the_old_release_serves_until_the_new_one_is_healthy(self, app: App) -> None:
        app.deploy("red")
        old, seen = app.live_units(), []
        app.system.on["GET"] = lambda: seen.append((old <= app.system.active, app.live_units() == old))
        app.deploy("blue")
        assert seen
        assert set(seen) == {(True, True)}

    def test_an_environment_that_nobody_uses_goes(self, app: App) -> None:
        app.engine(requirements=["gunicorn==26"], settings={"keep": 2}).deploy()
        first = (app.at.current / "venv").resolve()
        app.engine(requirements=["gunicorn==27"], settings={"keep": 2}).deploy()
        assert first.exists(), "the release before needs it"
        app.engine(requirements=["gunicorn==28"], settings={"keep": 2}).deploy()
        assert not first.exists()
        assert len(list(app.at.environments.iterdir())) == 2

    def test_old_releases_go_but_never_the_one_before(self, app: App) -> None:
        done = [app.deploy(str(number), settings={"keep": 1}).release for number in range(4)]
        assert {path.name for path in app.at.releases.iterdir()} == set(done[-2:])
        app.deploy("another", settings={"keep": 4})
        assert len(list(app.at.releases.iterdir())) == 3

    def test_the_scratch_of_a_build_goes_and_costs_no_release_its_place(self, app: App) -> None:
        wheels = {"wheels_archive": app.spec["archive"], "wheels_tree": "b" * 64, "settings": {"keep": 3}}
        first = app.deploy("1", **wheels).release
        app.deploy("2", **wheels)
        app.deploy("3", **{**wheels, "wheels_tree": "c" * 64})
        assert app.at.is_complete(first)
        assert app.left_over() == []

    def test_a_prepared_release_is_finished_later(self, app: App) -> None:
        old = app.deploy("red")
        prepared = app.engine(release_command=MIGRATE).deploy(through="command")
        assert (prepared.action, app.at.live()) == ("prepared", old.release)
        assert list(prepared.steps) == ["fetch", "install", "import", "save", "command"]
        assert app.engine(release_command=MIGRATE, archive="").deploy().action == "deployed"
        assert app.at.live() == prepared.release
        assert app.has_run(MIGRATE) == 1

    def test_a_stopped_live_release_is_started(self, app: App) -> None:
        app.engine().deploy()
        app.system.active.clear()
        assert app.engine().predict().action == "to start"
        assert app.engine().deploy().action == "started"
        assert app.system.active == app.live_units()

    def test_a_source_on_the_controller_is_asked_for_only_when_needed(self, app: App) -> None:
        asked = app.engine(archive="").deploy()
        assert (asked.action, asked.needs_archive, app.at.live()) == ("needs_archive", True, None)
        app.engine().deploy()
        assert app.engine(archive="").deploy().action == "unchanged"

    def test_wheels_are_asked_for_even_if_the_host_has_the_source(self, app: App) -> None:
        package: dict[str, Any] = {
            "source": {"package": "shop==1.4"},
            "static": {},
            "archive": "",
            "wheels_tree": "b" * 64,
        }
        assert app.engine(**package).deploy().needs_archive
        assert app.engine(**package, wheels_archive=app.spec["archive"]).deploy().action == "deployed"

    def test_a_command_of_the_hosts_own_is_left_alone(self, app: App) -> None:
        app.at.command.parent.mkdir(parents=True)
        app.at.command.write_text("#!/bin/sh\necho mine\n")
        app.engine().deploy()
        assert app.at.command.read_text() == "#!/bin/sh\necho mine\n"

    def test_a_host_without_the_account(self, app: App) -> None:
        stranger = Engine(app.engine(name="nobody-of-that-name").spec, system=app.system, root=app.root)
        with pytest.raises(ReleaseError, match=r"no account nobody-of-that-name .* run groundwork\.flask\.site first"):
            stranger.deploy()

    def test_apps_that_nobody_mentions_are_found(self, app: App) -> None:
        app.engine().deploy()
        assert engine.others([], app.root) == [app.name]
        assert engine.others([app.name], app.root) == []


class TestIdentity:
    """What makes a release another one, and what is told of it."""

    @pytest.mark.parametrize(
        "change",
        [
            {"source": {"tree": "b" * 64}},
            {"environment": {"WSGI_APP": "shop:other"}},
            {"files": {"start": "other", "entry/groundwork_wsgi.py": ""}},
            {"requirements": ["gunicorn==27"]},
            {"extras": ["postgres"]},
            {"python": "3.9"},
            {"static": {}},
            {"wheels_tree": "b" * 64},
            {"release_command": MIGRATE},
            {"unit": {"sandbox": {"UMask": "0027"}}},
            {"secrets": {"TOKEN": "another"}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_whatever_defines_the_process_names_the_release(self, app: App, change: dict[str, Any]) -> None:
        one, other = app.engine({"TOKEN": "one"}), app.engine(**{"secrets": {"TOKEN": "one"}, **change})
        for each in (one, other):
            each.identify(create=True)
        assert one.id != other.id

    @pytest.mark.parametrize(
        "change",
        [
            {"health": {"path": "/"}},
            {"skip_checks": ["stable"]},
            {"body_limit": 7},
            {"save_commands": ["true"]},
            {"run_release_command": False},
            {"release_command_timeout": 7},
            {"settings": {"keep": 9, "build": {"PIP_INDEX_URL": "https://pypi.example.org"}}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_how_it_is_built_and_proved_does_not(self, app: App, change: dict[str, Any]) -> None:
        app.engine().deploy()
        assert app.engine(**change).deploy().action == "unchanged"

    def test_a_dry_run_touches_nothing(self, app: App) -> None:
        before = sorted(app.root.rglob("*"))
        first = app.engine(release_command=MIGRATE).predict()
        assert (first.action, first.release, first.commands) == ("to deploy", "", [MIGRATE])
        assert sorted(app.root.rglob("*")) == before
        app.engine().deploy()
        assert app.engine().predict().action == "unchanged"
        second = app.engine(requirements=["x"]).predict()
        assert (second.action, second.changes) == ("to deploy", ["requirements"])
        assert second.release == app.engine(requirements=["x"]).deploy().release

    def test_a_dry_run_says_when_it_cannot_tell(self, app: App) -> None:
        app.system.fail = {"ls-remote": "no route to host"}
        done = app.engine(source={"git": "https://example.org/shop.git"}).predict()
        assert done.action == "to deploy"
        assert "what would be deployed is not known: https://example.org/shop.git cannot be read" in done.warnings[0]

    def test_changes_name_what_differs_and_no_secret(self, app: App) -> None:
        app.engine({"TOKEN": "first-token", "GONE": "gone-token"}).deploy()
        live = app.at.live()
        later = app.engine(
            {"TOKEN": "second-token"},
            files={**app.spec["files"], "start": "#!/bin/sh\nexec\n", "server.json": '{"threads": 4}'},
            extras=["postgres"],
        )
        later.identify(create=False)
        changes = {name: (old, new) for name, old, new in later.changes(live)}
        assert set(changes) == {"extras", "files.start", "secrets.GONE", "secrets.TOKEN", "server.threads"}
        assert changes["extras"] == ("[]", "['postgres']")
        assert changes["server.threads"] == ("8", "4")
        assert changes["secrets.GONE"][1] == ""
        assert changes["secrets.TOKEN"][0].startswith("secret, ")
        assert changes["secrets.TOKEN"][0] != changes["secrets.TOKEN"][1]
        later.deploy()
        texts = str(changes) + "".join(
            path.read_text() for path in app.at.releases.rglob("*.json") if path.name != "server.json"
        )
        texts += app.at.ledger.read_text()
        for secret in ("first-token", "second-token", "gone-token", app.at.secret_key.read_text()):
            assert secret not in texts

    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("the password is hunter22", "the password is ********"),
            ("hunter22-and-more, hunter22", "********, ********"),
            ("a short one, abc, says nothing", "a short one, abc, says nothing"),
        ],
    )
    def test_masked(self, app: App, text: str, masked: str) -> None:
        engine = app.engine({"A": "hunter22", "B": "hunter22-and-more", "C": "abc"})
        assert engine.masked(text) == masked

    def test_what_a_failure_says_is_masked_in_the_ledger(self, app: App) -> None:
        app.system.fail = {"groundwork-probe": "cannot connect as shop:hunter22"}
        with pytest.raises(ReleaseError):
            app.engine({"PASSWORD": "hunter22"}).deploy()
        event = app.ledger.events()[-1]
        assert (event["event"], event["step"]) == ("bad", "import")
        assert event["log"] == "cannot connect as shop:********"


class TestSecretKey:
    """One for each app; a new one logs nobody out."""

    def test_made_once_and_kept(self, app: App) -> None:
        app.engine().deploy()
        key = app.at.secret_key.read_text()
        assert len(key) == 64
        assert app.at.secret_key.stat().st_mode & 0o777 == 0o600
        app.engine(requirements=["x"]).deploy()
        assert app.at.secret_key.read_text() == key
        environment = read_env_file(app.at.current / "env")
        assert environment["SECRET_KEY"] == key
        assert "SECRET_KEY_FALLBACKS" not in environment

    def test_a_given_one_is_used(self, app: App) -> None:
        app.engine({"SECRET_KEY": "mine"}).deploy()
        assert read_env_file(app.at.current / "env")["SECRET_KEY"] == "mine"
        assert not app.at.secret_key.exists()
        with pytest.raises(ReleaseError, match="stands in flask_app_secrets: change it there"):
            app.engine({"SECRET_KEY": "mine"}).deploy(rotate=True)

    def former(self, app: App) -> dict[str, float]:
        """The former keys that the live release accepts, and for how many days."""
        found = json.loads(read_env_file(app.at.current / "env").get("SECRET_KEY_FALLBACKS", "[]"))
        return {entry["key"]: round((entry["until"] - time.time()) / 86400, 2) for entry in found}

    def test_a_former_one_is_accepted_for_a_while(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        app.engine({"SECRET_KEY": "key-1"}).deploy()
        app.engine({"SECRET_KEY": "key-2"}).deploy()
        assert self.former(app) == {"key-1": 31}
        release = app.at.live()
        assert app.engine({"SECRET_KEY": "key-2"}).deploy().action == "unchanged"
        real = time.time
        monkeypatch.setattr(engine, "time", SimpleNamespace(time=lambda: real() + 30 * 86400, monotonic=time.monotonic))
        assert app.engine({"SECRET_KEY": "key-2"}).predict().release == release, "its date is no part of the id"
        app.engine({"SECRET_KEY": "key-3"}).deploy()
        assert self.former(app) == {"key-2": 61, "key-1": 31}
        monkeypatch.setattr(engine, "time", SimpleNamespace(time=lambda: real() + 32 * 86400, monotonic=time.monotonic))
        app.engine({"SECRET_KEY": "key-3"}, requirements=["x"]).deploy()
        assert self.former(app) == {"key-2": 61}
        app.engine({"SECRET_KEY": "key-2"}, requirements=["y"], settings={"fallback_days": 1}).deploy()
        assert self.former(app) == {"key-3": 33}, "the present one is no former one"

    def test_a_new_one_on_demand(self, app: App) -> None:
        first = app.engine().deploy()
        old = app.at.secret_key.read_text()
        second = app.engine().deploy(rotate=True)
        assert second.release != first.release
        assert second.changes == ["secrets.SECRET_KEY"]
        assert app.at.secret_key.read_text() != old
        assert self.former(app) == {old: 31}
        assert app.engine().deploy().action == "unchanged"


FAILURES = [
    ("shutil.move", "fetch", "broken archive", "the source shop (aaaaaaaaaa) could not be fetched"),
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
        "enable --now",
        "start",
        "Unit shop@.service not found.",
        "its unit is not on this host: run groundwork.flask.site first",
    ),
]


class TestFailures:
    """If any step fails, the old release serves on."""

    CHANGE: dict[str, Any] = {"release_command": MIGRATE, "save_commands": ["dump-it"]}

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
        assert app.on_host().enabled() == {old.release}
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
            ReleaseError, match=r"was still at work after 7 s and was ended \(release_command_timeout\)\ntick"
        ):
            app.engine(release_command=MIGRATE, release_command_timeout=7).deploy()
        assert [step.seconds for step in app.system.steps if MIGRATE in step.argv] == [7]

    def test_an_app_that_ends_python_with_status_0_is_not_imported(self, app: App) -> None:
        app.system.ends = {"-probe:": (0, "bye")}
        with pytest.raises(ReleaseError, match=r"the app cannot be imported as shop:app\nbye"):
            app.engine().deploy()

    def test_an_unhealthy_release_never_goes_live(self, app: App) -> None:
        old = app.engine().deploy()
        app.system.answers = [Response(503, "no table")] * 1_000_000
        health = {**app.spec["health"], "timeout": 0.1}
        with pytest.raises(
            ReleaseError, match=r"/healthz was not answered well within 0 s .*: status 503: no table"
        ) as error:
            app.engine(requirements=["x"], health=health).deploy()
        assert "no such table" in str(error.value), "the journal is shown"
        assert app.system.active == app.live_units()
        assert app.at.live() == old.release

    def test_a_release_that_refuses_connections(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(*_arguments: Any) -> Response:
            raise ConnectionRefusedError("refused")

        monkeypatch.setattr(app.system, "ask", refused)
        with pytest.raises(ReleaseError, match="ConnectionRefusedError: refused"):
            app.engine(health={"timeout": 0.1}).deploy()

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
        ("facts", "answers", "check", "message"),
        [
            ({"debug": True}, [], "debug", "the app is in debug mode"),
            ({"secret_key": "short"}, [], "secret_key", "has fewer than 16 characters"),
            ({}, [200, 200, 200, 500], "not_found", ""),
        ],
    )
    def test_proofs_stop_or_warn_and_can_be_switched_off(
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
            patch.setattr(engine, "write", full)
            with pytest.raises(ReleaseError, match="install: .*No space left on device"):
                app.deploy("blue")
        assert app.at.live() == old.release
        app.deploy("blue")
        assert app.left_over() == []


class TestSpace:
    """A build that would not fit is refused before anything is written."""

    def free(self, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=size))

    @pytest.mark.parametrize(
        ("change", "need"),
        [
            ({"environment": {"A": "b"}}, int(1.2 * 100 * MB) + 64 * MB + 40 * MB),
            ({"requirements": ["x"]}, int(1.2 * 400 * MB) + 64 * MB + 40 * MB),
            (
                {"requirements": ["x"], "source": {"package": "shop==2"}, "archive": "", "static": {}},
                int(1.2 * 400 * MB) + 64 * MB,
            ),
        ],
        ids=["code", "environment", "nothing sent"],
    )
    def test_by_what_the_last_build_needed(
        self, app: App, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], need: int
    ) -> None:
        Path(app.spec["archive"]).write_bytes(bytes(10 * MB))
        live = app.engine().deploy().release
        note = app.at.release(live) / "release.json"
        note.write_text(json.dumps({**app.at.facts(live), "bytes": {"code": 100 * MB, "environment": 300 * MB}}))
        before = sorted(app.at.home.rglob("*"))
        self.free(monkeypatch, need - 1)
        numbers = (
            rf"need {need / MB:.0f} MB below {app.at.home}, and {(need - 1) / MB:.0f} MB are free.*release_keep: 5"
        )
        with pytest.raises(ReleaseError, match=numbers):
            app.engine(**change).deploy()
        assert sorted(app.at.home.rglob("*")) == before
        self.free(monkeypatch, need)
        assert app.engine(**change).deploy().action == "deployed"

    def test_of_a_first_build(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free(monkeypatch, 303 * MB)
        with pytest.raises(ReleaseError, match="need 304 MB below .*, and 303 MB are free"):
            app.engine().deploy()
        assert not app.at.home.exists()


class TestKilled:
    """Killed anywhere, whatever is live serves, and the next run finishes the work and leaves nothing over."""

    WANTED: dict[str, Any] = {"requirements": ["x"], "release_command": MIGRATE}

    def kill(self, monkeypatch: pytest.MonkeyPatch, step: str, when: str, run: Callable[[], object]) -> None:
        real = getattr(Engine, f"step_{step}")

        def killed(self: Engine, live: str | None) -> None:
            if when == "after":
                real(self, live)
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Engine, f"step_{step}", killed)
            with pytest.raises(Killed):
                run()

    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_deploy(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        app.engine().deploy()
        self.kill(monkeypatch, step, when, app.engine(**self.WANTED).deploy)
        assert app.live_units() <= app.system.active
        app.engine(**self.WANTED).deploy()
        assert app.left_over() == []
        assert app.has_run(f"sh -c {MIGRATE}") == 1
        assert app.engine(**self.WANTED).deploy().action == "unchanged"

    @pytest.mark.parametrize("step", STEPS_BACK)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_rollback(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        first, second = app.deploy("red").release, app.deploy("blue").release
        self.kill(monkeypatch, step, when, app.on_host().roll_back)
        assert app.live_units() <= app.system.active
        if app.at.live() == second:
            assert app.on_host().roll_back().release == first
            assert app.left_over() == []
        app.deploy("blue")
        assert app.left_over() == []
        assert app.at.live() == second

    def test_a_deploy_at_every_call_of_the_host(self, tmp_path: Path, app: App) -> None:
        app.engine().deploy()
        before = app.system.calls
        app.engine(**self.WANTED).deploy()
        for number in range(1, app.system.calls - before + 1):
            other = App(tmp_path / str(number))
            other.engine().deploy()
            other.system.kill_at = other.system.calls + number
            with pytest.raises(Killed):
                other.engine(**self.WANTED).deploy()
            assert other.live_units() <= other.system.active
            other.engine(**self.WANTED).deploy()
            assert other.left_over() == [], f"killed at call {number}: {other.system.commands}"
            assert other.has_run(f"sh -c {MIGRATE}") <= 2, "it may have done nothing yet when it was killed"

    @pytest.mark.parametrize("step", ["drain", "prune"])
    def test_after_the_switch_of_a_deploy_the_ledger_still_learns_of_it(
        self, app: App, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        app.deploy("red")
        self.kill(monkeypatch, step, "before", lambda: app.deploy("blue"))
        blue = app.deploy("blue").release
        assert [row["release"] for row in states(app.at) if row["state"] == "live"] == [blue]
        app.deploy("green")
        assert app.ledger.way_back()[0] == blue

    def test_after_the_switch_of_a_rollback_nobody_goes_forward_again(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = app.deploy("red").release, app.deploy("blue").release
        third = app.deploy("green").release
        self.kill(monkeypatch, "drain", "before", app.on_host().roll_back)
        assert app.at.live() == second
        assert app.on_host().roll_back().release == first
        assert third not in app.ledger.way_back()

    def test_an_environment_is_complete_only_once_it_is_roots(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[bool] = []
        real = trees.take

        def take(path: Path, *rest: Any) -> None:
            if path.parent == app.at.environments:
                seen.append((path / "complete").exists())
            real(path, *rest)

        monkeypatch.setattr(trees, "take", take)
        app.engine().deploy()
        assert seen == [False]

    def test_what_its_steps_left_behind_goes_with_the_next_run(self, app: App) -> None:
        app.at.run.mkdir(parents=True)
        left, given = app.at.run / "left.env", app.at.run / "given.env"
        for path in (left, given):
            path.write_text('TOKEN="hunter22"\n')
        os.utime(left, (1, 1))
        app.engine().deploy()
        assert not left.exists()
        assert given.exists(), "a step may be about to read it"
        assert app.has_run(f"systemctl reset-failed groundwork-release@{app.name}.*") == 1


class TestRollBack:
    """An earlier release is live again within seconds, if the database lets it."""

    def test_the_way_back(self, app: App) -> None:
        a, b, c = (app.deploy(colour).release for colour in "abc")
        done = app.on_host().roll_back()
        assert (done.action, done.release, done.previous) == ("rolled_back", b, c)
        assert list(done.steps) == list(STEPS_BACK)
        assert done.changes == ["environment.COLOUR"]
        assert read_env_file(app.at.current / "env")["COLOUR"] == "b"
        assert app.on_host().roll_back().release == a
        with pytest.raises(ReleaseError, match=f"there is no earlier good release of {app.name} to go back to"):
            app.on_host().roll_back()
        d = app.deploy("d").release
        assert app.on_host().roll_back().release == a
        assert app.on_host().roll_back(d[:6]).release == d
        assert app.system.active == app.live_units()
        assert app.left_over() == []

    def test_a_dry_run(self, app: App) -> None:
        a, b = (app.deploy(colour).release for colour in "ab")
        lines = app.ledger.events()
        assert app.on_host().roll_back(dry_run=True).release == a
        assert (app.at.live(), app.ledger.events()) == (b, lines)

    def test_what_cannot_be_chosen(self, app: App) -> None:
        a, b = (app.deploy(colour).release for colour in "ab")
        app.system.facts["debug"] = True
        with pytest.raises(ReleaseError):
            app.deploy("c")
        bad = app.ledger.events()[-1]["release"]
        for to, message in [
            ("nonsense", f"'nonsense' is no release of {app.name} that is kept; these are: .*{a}"),
            (b, f"{b} is live already"),
            (bad, rf"{bad} is a bad release \(the app is in debug mode"),
        ]:
            with pytest.raises(ReleaseError, match=message):
                app.on_host().roll_back(to)
        assert app.on_host().roll_back().release == a

    def test_one_that_does_not_start_leaves_the_live_one(self, app: App) -> None:
        a, b = (app.deploy(colour).release for colour in "ab")
        app.system.fail = {f"enable --now {app.name}@{a}.": "failed"}
        with pytest.raises(ReleaseError):
            app.on_host().roll_back()
        assert app.at.live() == b
        assert app.live_units() <= app.system.active
        assert app.ledger.way_back() == [], "what did not start is bad now"

    def test_the_one_a_rollback_needs_is_kept(self, app: App) -> None:
        a, b = (app.deploy(colour, settings={"keep": 2}).release for colour in "ab")
        app.system.facts["debug"] = True
        for colour in "cdefg":
            with pytest.raises(ReleaseError):
                app.deploy(colour, settings={"keep": 2})
        assert app.on_host().roll_back().release == a
        assert app.at.is_good(b)


class TestMigration:
    """A release whose command has migrated a real SQLite database."""

    @pytest.fixture
    def database(self, app: App) -> Path:
        """A database at revision 1 under release A; B's command takes it to revision 2 and adds to it."""
        path = app.root / app.at.data[1:] / "shop.db"
        path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE orders (number)")
        app.system.facts["heads"] = ["rev1"]
        app.deploy("a")
        app.system.on[f"sh -c {MIGRATE}"] = lambda: self.migrate(app, path)
        return path

    def migrate(self, app: App, path: Path) -> None:
        app.system.facts["heads"] = ["rev2"]
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("INSERT INTO orders VALUES (2)")
            connection.commit()

    def orders(self, path: Path) -> int:
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute("SELECT count(*) FROM orders").fetchone()[0])

    def test_the_command_runs_once_and_the_heads_are_noted(self, app: App, database: Path) -> None:
        done = app.deploy("b", release_command=MIGRATE)
        assert (app.at.release(done.release) / "released").exists()
        assert app.ledger.events()[-1]["heads"] == {"before": ["rev1"], "after": ["rev2"]}
        app.deploy("c", release_command=MIGRATE)
        assert app.on_host().roll_back().release == done.release
        app.deploy("c", release_command=MIGRATE)
        assert app.has_run(f"sh -c {MIGRATE}") == 2, "once for each release"

    def test_saved_before_the_command(self, app: App, database: Path) -> None:
        order = []
        app.system.on.update({"dump-it": lambda: order.append("dump"), " save ": lambda: order.append("save")})
        app.system.on[f"sh -c {MIGRATE}"] = lambda: order.append("command")
        done = app.deploy("b", release_command=MIGRATE, save_commands=["dump-it"])
        assert order == ["dump", "save", "command"]
        assert self.orders(app.at.saved / done.release / "shop.db") == 0

    def test_a_host_that_does_not_run_the_command_saves_nothing(self, app: App, database: Path) -> None:
        app.deploy("b", release_command=MIGRATE, run_release_command=False, save_commands=["dump-it"])
        assert (app.has_run(f"sh -c {MIGRATE}"), app.has_run("dump-it"), app.has_run(" save ")) == (0, 0, 0)
        assert app.engine(release_command=MIGRATE, run_release_command=False).predict().commands == []

    def test_a_rollback_across_it_is_refused_with_both_heads_and_both_ways_out(self, app: App, database: Path) -> None:
        a, b = app.at.live(), app.deploy("b", release_command=MIGRATE).release
        with pytest.raises(ReleaseError) as error:
            app.on_host().roll_back()
        said = str(error.value)
        assert f"the database is at rev2, and release {a} was made for rev1" in said
        assert f"`-e data=saved` puts back the copy from before it ({app.at.saved / b}, made at 20" in said
        assert "`-e data=keep` goes back with the database as it is" in said
        assert (app.at.live(), app.events()[-1]) == (b, "live")

    @pytest.mark.parametrize("rerun", [False, True])
    def test_it_is_refused_after_a_kill_behind_the_switch_too(
        self, app: App, database: Path, monkeypatch: pytest.MonkeyPatch, rerun: bool
    ) -> None:
        def killed(self: Engine, live: str | None) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Engine, "step_drain", killed)
            with pytest.raises(Killed):
                app.deploy("b", release_command=MIGRATE)
        if rerun:
            app.deploy("b", release_command=MIGRATE)
        with pytest.raises(ReleaseError, match="the database is at rev2, and release .* was made for rev1"):
            app.on_host().roll_back()

    def test_with_the_database_as_it_is(self, app: App, database: Path) -> None:
        a = app.at.live()
        app.deploy("b", release_command=MIGRATE)
        assert app.on_host().roll_back(data="keep").release == a
        assert self.orders(database) == 1

    def test_with_the_saved_copy(self, app: App, database: Path) -> None:
        a, b = app.at.live(), app.deploy("b", release_command=MIGRATE).release
        stopped = []
        app.system.on[" restore "] = lambda: stopped.append(f"{app.name}@{b}.service" not in app.system.active)
        assert app.on_host().roll_back(data="saved").release == a
        assert stopped == [True]
        assert self.orders(database) == 0
        assert [self.orders(path) for path in database.parent.glob("shop.db.before-rollback-*")] == [1]
        assert app.system.active == app.live_units()

    def test_without_a_saved_copy(self, app: App, database: Path) -> None:
        b = app.deploy("b", release_command=MIGRATE).release
        shutil.rmtree(app.at.saved / b)
        for data in ("", "saved"):
            with pytest.raises(
                ReleaseError, match=r"no copy from before that migration is kept .* groundwork\.flask\.restore"
            ):
                app.on_host().roll_back(data=data)

    def test_a_copy_that_cannot_be_put_back(self, app: App, database: Path) -> None:
        b = app.deploy("b", release_command=MIGRATE).release
        app.system.fail = {" restore ": "disk full"}
        with pytest.raises(ReleaseError, match=r"the saved databases could not be put back \(restore\)\ndisk full"):
            app.on_host().roll_back(data="saved")
        assert app.at.live() == b
        assert app.system.active == app.live_units()

    def test_a_release_that_does_not_start_on_the_saved_copy_leaves_the_live_one_running(
        self, app: App, database: Path
    ) -> None:
        a, b = app.at.live(), app.deploy("b", release_command=MIGRATE).release
        app.system.fail = {f"enable --now {app.name}@{a}.": "failed"}
        with pytest.raises(ReleaseError):
            app.on_host().roll_back(data="saved")
        assert app.at.live() == b
        assert app.live_units() <= app.system.active

    def test_migrated_again_after_the_saved_copy_was_put_back(self, app: App, database: Path) -> None:
        app.deploy("b", release_command=MIGRATE)
        app.on_host().roll_back(data="saved")
        app.system.facts["heads"] = ["rev1"]
        app.deploy("b", release_command=MIGRATE)
        assert self.orders(database) == 1

    def test_saved_copies_go_with_their_releases(self, app: App, database: Path) -> None:
        for colour in "bcd":
            app.deploy(colour, release_command=MIGRATE, settings={"keep": 2})
        assert len(list(app.at.saved.iterdir())) == 2
        assert app.left_over() == []


class TestStatic:
    """A page from before a deploy still finds its assets."""

    @pytest.mark.parametrize(
        ("name", "hashed"),
        [
            ("main.3f9c01d2.js", True),
            ("main.3f9c01d2.js.map", True),
            ("index-BxK3f9aZ.js", True),
            ("index-DpQaXyzw.js", True),  # a quarter of Vite's hashes have no digit
            ("index-B_x-3f9a.css", True),
            ("app_0123456789abcdef0123456789abcdef.css", True),
            ("style.css", False),
            ("jquery-3.7.1.min.js", False),
            ("bootstrap-5.3.2.bundle.min.js", False),
            ("logo-small.png", False),
            ("product-overview.html", False),
            ("3f9c01d2.js", False),
            ("favicon.ico", False),
        ],
    )
    def test_hashed_names(self, name: str, hashed: bool) -> None:
        assert bool(engine.HASHED_NAME.search(name)) is hashed

    def test_hashed_files_are_inherited_and_no_others(self, app: App) -> None:
        def build(number: int, *names: str) -> None:
            app.system.code = {"requirements.txt": "flask\n", **{f"static/{name}": str(number) for name in names}}
            app.engine(source={"tree": str(number) * 64, "directory": "shop"}).deploy()

        def public() -> dict[str, str]:
            base = app.at.current / "public/static"
            return {str(path.relative_to(base)): path.read_text() for path in base.rglob("*") if path.is_file()}

        build(1, "js/main.11111111.js", "style.css", "old.css", "same.99999999.js")
        build(2, "js/main.22222222.js", "style.css", "same.99999999.js")
        assert public() == {
            "js/main.11111111.js": "1",
            "js/main.22222222.js": "2",
            "style.css": "2",
            "same.99999999.js": "2",
        }
        build(3, "style.css")
        assert set(public()) == {"js/main.11111111.js", "js/main.22222222.js", "same.99999999.js", "style.css"}
        app.on_host().roll_back()
        assert app.at.facts(app.at.live() or "")["static"] == ["static/js/main.22222222.js", "static/same.99999999.js"]


class TestRemove:
    """What goes with an app, and what stays."""

    def test_without_its_data(self, app: App) -> None:
        app.engine().deploy()
        data = app.root / "var/lib" / app.name
        data.mkdir(parents=True)
        assert app.on_host().remove().action == "removed"
        assert app.system.active == set()
        assert not app.at.home.exists()
        assert not app.at.command.exists()
        assert not app.at.build_cache.exists()
        assert data.exists()
        assert app.at.secret_key.exists()
        assert app.events() == ["begin", "switch", "live", "removed"]
        assert not app.on_host().remove().changed
        assert app.engine().deploy().previous == ""
        assert app.ledger.way_back() == []

    def test_with_all_of_it(self, app: App) -> None:
        app.deploy("red", release_command=MIGRATE)
        (app.root / app.at.data[1:]).mkdir(parents=True)
        spool, linger = app.root / "var/spool/cron/crontabs", app.root / "var/lib/systemd/linger"
        jobs = [spool / app.name, linger / app.name]
        others = [linger / "somebody", spool / "somebody"]
        for path in (*jobs, *others):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        os.chown(others[1], 1, 1)
        assert app.on_host().remove(purge=True).changed
        gone = (app.root / app.at.data[1:], app.at.secret_key.parent, app.at.saved, app.at.ledger, *jobs)
        assert [path for path in gone if path.exists()] == []
        assert all(path.exists() for path in others)
        assert app.has_run(f"userdel {app.name}") == 1

    def test_a_command_of_the_hosts_own_stays(self, app: App) -> None:
        app.engine().deploy()
        app.at.command.write_text("#!/bin/sh\necho mine\n")
        app.on_host().remove()
        assert app.at.command.exists()

    def test_what_is_left_is_named_and_the_rest_is_gone(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        app.engine().deploy()
        data = app.root / app.at.data[1:]
        data.mkdir(parents=True)
        real = trees.remove

        def remove(*paths: Path) -> None:
            if data in paths:
                raise OSError(16, "Device or resource busy")
            real(*paths)

        monkeypatch.setattr(trees, "remove", remove)
        app.system.fail = {"userdel": f"userdel: user {app.name} is in use"}
        app.system.undead = [7, 8]
        with pytest.raises(ReleaseError) as error:
            app.on_host().remove(purge=True)
        assert error.value.step == "remove"
        assert error.value.message == (
            f"these could not be removed: processes of {app.name} (7, 8); {data} (Device or resource busy). "
            "End what uses them, and run again"
        )
        assert not app.at.home.exists()
        assert not app.at.secret_key.parent.exists()
        assert app.has_run("userdel") == 0, "what is left would belong to whoever gets its number next"
        app.system.undead = []
        monkeypatch.setattr(trees, "remove", real)
        with pytest.raises(ReleaseError, match=rf"the account {app.name} \(userdel: user {app.name} is in use\)"):
            app.on_host().remove(purge=True)
        app.system.fail = {}
        assert app.on_host().remove(purge=True).action == "removed"


class TestSteps:
    """What acts for the app or builds it is a step, as the app's user and in a sandbox; systemd is told how far."""

    def steps(self, app: App) -> dict[str, Step]:
        """The steps of a deploy, by name."""
        git = {"git": "https://example.org/shop.git", "version": "a" * 40}
        app.system.on["-o pipefail"] = lambda: self.fetched(app)
        app.engine({"TOKEN": "hunter22"}, source=git, release_command=MIGRATE, save_commands=["dump-it"]).deploy()
        return {step.name: step for step in app.system.steps}

    def fetched(self, app: App) -> None:
        code = Path(app.system.steps[-1].cwd)
        (code / "static").mkdir()
        (code / "requirements.txt").touch()

    def test_each_is_the_apps_and_none_is_trusted(self, app: App) -> None:
        steps = self.steps(app)
        assert set(steps) == {"fetch", "venv", "install", "compile", "publish", "import", "before", "save", "command"}
        for step in steps.values():
            assert step.app == app.name
            assert dict(step.sandbox).items() >= dict(sandbox.ALWAYS).items()
            assert step.seconds <= 1800

    def test_a_build_sees_neither_data_nor_secrets_and_one_cache(self, app: App) -> None:
        steps = self.steps(app)
        for name in ("fetch", "venv", "install", "compile", "publish"):
            step = steps[name]
            writable = " ".join(value for directive, value in step.sandbox if directive == "BindPaths")
            assert "/var/lib/shop" not in writable, "what the unit lets the app write"
            caches = (str(app.at.source_cache) in writable, str(app.at.package_cache) in writable)
            assert caches == (name == "fetch", name != "fetch")
            assert "hunter22" not in str(step)
            assert "SECRET_KEY" not in step.environment
            assert step.environment["HOME"] == "/tmp"

    def test_what_acts_for_the_app_has_its_sandbox(self, app: App) -> None:
        steps = self.steps(app)
        for name in ("import", "before", "save", "command"):
            step = steps[name]
            assert ("BindPaths", "/var/lib/shop") in step.sandbox
            assert str(app.at.build_cache) not in str(step.sandbox)
        for name in ("import", "before", "command"):
            assert steps[name].environment["TOKEN"] == "hunter22"
        assert dict(steps["save"].environment) == {"LANG": "C.UTF-8"}
        assert ("BindPaths", f"-{app.at.saved / (app.at.live() or '')}") in steps["save"].sandbox

    def test_systemd_is_told_how_far_the_work_is(self, app: App) -> None:
        seen: list[str] = []
        app.system.on["-probe:"] = lambda: seen.extend(app.system.said[-1:])
        app.engine().deploy()
        assert seen == ["import"]
        assert app.system.said == list(STEPS)

    def test_a_host_without_the_unit(self, app: App) -> None:
        app.system.fail = {"systemctl cat": "No files found"}
        with pytest.raises(
            ReleaseError, match=r"the unit .*@none.service is not on this host: run groundwork.flask.site"
        ):
            app.engine().deploy()


class TestTrust:
    """Root follows no link of an app's, and takes nobody's word for what is whole."""

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        """A file of the host's that a build would like to have changed or read."""
        path = tmp_path / "important.js"
        path.write_text("root's")
        path.chmod(0o666)
        os.chown(path, 1, 1)
        return path

    def plant(self, app: App, outside: Path) -> None:
        (release,) = (path for path in app.at.releases.iterdir() if not app.at.is_complete(path.name))
        for name in ("code", "public"):
            (release / name / "file.3f9c01d2.js").symlink_to(outside)
            (release / name / "directory").symlink_to(outside.parent)
            os.mkfifo(release / name / "fifo.3f9c01d2.js")

    def test_links_of_a_build_are_not_followed(self, app: App, outside: Path) -> None:
        app.system.on["cp -RL"] = lambda: self.plant(app, outside)
        first = app.engine().deploy().release
        found = outside.stat()
        assert (found.st_uid, found.st_mode & 0o7777, outside.read_text()) == (1, 0o666, "root's")
        assert sorted(path.name for path in (app.at.current / "public").iterdir()) == ["static"]
        assert (app.at.current / "code/file.3f9c01d2.js").is_symlink()
        assert not (app.at.current / "code/fifo.3f9c01d2.js").exists()
        assert app.at.facts(first)["static"] == []

    def test_a_link_in_a_release_of_before_is_not_inherited(self, app: App, outside: Path) -> None:
        first = app.deploy("red").release
        note, public = app.at.release(first) / "release.json", app.at.release(first) / "public"
        (public / "file.3f9c01d2.js").symlink_to(outside)
        (public / "directory").symlink_to(outside.parent)
        names = ["file.3f9c01d2.js", f"directory/{outside.name}", f"../../../../../{outside.name}"]
        note.write_text(json.dumps({**app.at.facts(first), "static": names}))
        app.deploy("blue")
        assert sorted(path.name for path in (app.at.current / "public").iterdir()) == ["static"]

    @pytest.mark.parametrize("name", ["code", "public"])
    def test_nobody_keeps_the_right_to_write(self, app: App, name: str) -> None:
        def widen() -> None:
            for path in app.at.releases.iterdir():
                (path / name).chmod(0o2777)
                (path / name / "wide").touch()
                (path / name / "wide").chmod(0o6777)

        app.system.on["cp -RL"] = widen
        app.engine().deploy()
        for path in (app.at.current / name, app.at.current / name / "wide"):
            assert oct(path.stat().st_mode & 0o7022) == "0o0"

    def test_a_marker_that_the_app_made_does_not_count(self, app: App) -> None:
        app.engine().deploy()
        (venv,) = app.at.environments.iterdir()
        (venv / "planted").touch()
        for path in (venv, venv / "complete"):
            os.chown(path, 1, 1)
        app.deploy("blue")
        assert app.has_run("pip install") == 2
        assert not (venv / "planted").exists()

    def test_a_link_to_an_environment_does_not_count(self, app: App, tmp_path: Path) -> None:
        app.engine().deploy()
        (venv,) = app.at.environments.iterdir()
        venv.rename(tmp_path / "elsewhere")
        venv.symlink_to(tmp_path / "elsewhere")
        app.deploy("blue")
        assert app.has_run("pip install") == 2
        assert not venv.is_symlink()

    def test_a_build_cache_that_belongs_to_the_app_is_thrown_away(self, app: App) -> None:
        """As it did before fetching and installing had caches of their own."""
        (app.at.build_cache / "packages").mkdir(parents=True)
        (app.at.build_cache / "packages/uv.toml").touch()
        (app.at.build_cache / "source").symlink_to(app.root)
        os.chown(app.at.build_cache, 1, 1)
        app.engine().deploy()
        assert app.at.build_cache.stat().st_uid == os.geteuid()
        assert not app.at.source_cache.is_symlink()
        assert list(app.at.package_cache.iterdir()) == []

    def test_a_link_in_place_of_the_build_cache_is_not_followed(self, app: App, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        app.at.build_cache.parent.mkdir(parents=True)
        app.at.build_cache.symlink_to(tmp_path / "elsewhere")
        app.engine().deploy()
        assert not app.at.build_cache.is_symlink()
        assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ModuleNotFoundError: No module named 'pkg_resources'", "add setuptools<81 to its requirements"),
        ("ModuleNotFoundError: No module named 'psycopg2'", "the database's driver is missing"),
        ("sqlite3.OperationalError: unable to open database file", "DATA_DIR alone (/var/lib/shop)"),
        ("PermissionError: [Errno 13] Permission denied: '/srv/shop/x'", "DATA_DIR alone (/var/lib/shop)"),
        (
            "MemoryError: Cannot allocate write+execute memory for ffi.callback()",
            "`sandbox: {MemoryDenyWriteExecute: fa",
        ),
        (
            "OSError: [Errno 97] Address family not supported by protocol",
            "`sandbox: {RestrictAddressFamilies: …}` in fla",
        ),
    ],
)
def test_what_helps_an_app_that_is_new_to_servers(app: App, said: str, remedy: str) -> None:
    assert remedy in engine.hint("shop", said)
    app.system.fail = {"-probe:": said}
    with pytest.raises(ReleaseError, match="the app cannot be imported as shop:app; "):
        app.engine().deploy()


def test_against_another_error_nothing_is_known_to_help() -> None:
    assert engine.hint("shop", "KeyError: 'x'") == ""


@pytest.mark.parametrize(
    "value",
    [
        "plain", "", " spaces ", 'a "quoted" word', "it's", "two\nlines\n", "back\\slash\\", "\\n is no newline",
        "$HOME ${HOME}", "`id`", "ünïcödé ☃ \U0001f40d", '"\nNAME="x"\n', "-----BEGIN KEY-----\r\nabc\r\n", "a#b;c",
        "tab\there", "%h %%", "\\", '\\"',
    ],
)  # fmt: skip
def test_an_environment_survives_its_file(tmp_path: Path, value: str) -> None:
    environment = {"A": "first", "VALUE": value, "Z": "last"}
    (tmp_path / "env").write_bytes(env_file(environment).encode())
    assert read_env_file(tmp_path / "env") == environment


def test_a_shell_reads_the_same_from_an_environments_file(tmp_path: Path) -> None:
    """Its quoting is systemd's, which is the shell's."""
    values = {"A": 'a"b$c\\d`e', "B": "two\nlines", "C": "it's ☃"}
    (tmp_path / "env").write_text(env_file(values))
    said = os.popen(f'. {tmp_path}/env; printf "%s|" "$A" "$B" "$C"').read()
    assert said == "".join(f"{value}|" for value in values.values())
