"""A deploy: from nothing to live, and from one release to the next; the file system is real, the host is not."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import probe
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import read_env_file
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import other_apps
from ansible_collections.groundwork.flask.tests.unit.release_app import App

MIGRATE = "flask db upgrade"


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
        assert app.at.command.read_text().endswith(f'\nexec {app.at.tools}/app {app.name} "$@"\n')
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

    def test_what_names_a_directory_is_replaced_in_the_environment_and_not_in_a_secret(self, app: App) -> None:
        written = {"STORE": "$DATA_DIR/x", "SETTINGS": "${RELEASE_DIR}/settings.py", "OTHER": "$HOME"}
        done = app.engine(environment=written, secrets={"PASSWORD": "pa$DATA_DIR"}).deploy()
        found = read_env_file(app.at.current / "env")
        code = f"{app.at.release(done.release)}/code"
        assert (found["STORE"], found["SETTINGS"]) == (f"{app.at.data}/x", f"{code}/settings.py")
        assert (found["OTHER"], found["PASSWORD"], found["RELEASE_DIR"]) == ("$HOME", "pa$DATA_DIR", code)
        assert [warning for warning in done.warnings if "environment.OTHER: $HOME stays" in warning]

    def test_an_app_that_makes_its_own_key_is_imported_twice_and_refused_when_they_differ(self, app: App) -> None:
        app.system.facts["own_key"] = "0" * 16
        app.deploy("red")
        imports = app.has_run(probe.MARK)
        assert imports == 2
        app.system.on[probe.MARK] = lambda: app.system.facts.update(own_key=f"{app.has_run(probe.MARK):016x}")
        with pytest.raises(ReleaseError, match="makes another SECRET_KEY each time it starts") as error:
            app.deploy("blue")
        assert error.value.step == "import"
        imports = app.has_run(probe.MARK)
        app.engine(environment={"COLOUR": "blue"}, skip_checks=["secret_key"]).deploy()
        assert app.has_run(probe.MARK) == imports + 1

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
        assert list(prepared.steps) == ["fetch", "install", "stop", "setup", "import", "save", "command"]
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
        stranger = Engine(app.engine(name="nobody-of-that-name").context.spec, system=app.system, root=app.root)
        with pytest.raises(ReleaseError, match=r"no account nobody-of-that-name .* run groundwork\.flask\.site first"):
            stranger.deploy()

    def test_apps_that_nobody_mentions_are_found(self, app: App) -> None:
        app.engine().deploy()
        assert other_apps([], app.root) == [app.name]
        assert other_apps([app.name], app.root) == []
