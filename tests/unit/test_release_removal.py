"""What goes with an app, and what stays."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import trees
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.tests.unit.release_app import App

MIGRATE = "flask db upgrade"


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

    def test_its_redis_stops_before_its_processes_are_ended_and_keeps_its_data_unless_purged(self, app: App) -> None:
        app.engine().deploy()
        unit = app.root / "etc/systemd/system" / f"{app.name}.redis.service"
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.touch()
        data = app.root / "var/lib" / f"{app.name}.redis"
        data.mkdir(parents=True)
        app.on_host().remove()
        assert app.has_run(f"systemctl stop {app.name}.redis.service") == 1
        assert data.exists()
        app.on_host().remove(purge=True)
        assert not data.exists()

    def test_its_jobs_end_first_and_its_pooler_before_its_processes_are_killed(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app.engine(jobs={"nightly": {"command": "flask report", "schedule": "*-*-* 03:00"}}).deploy()
        pooler = [f"{app.name}.pooler.socket", f"{app.name}.pooler.service"]
        for unit in (*pooler, f"{app.name}.redis.service"):
            (app.at.units / unit).touch()
        app.system.active.add(f"{app.name}.nightly.service")
        monkeypatch.setattr(app.system, "kill", lambda _uid: app.system.note("kill") or [])
        live = app.at.live()
        app.on_host().remove()
        order = [
            f"systemctl stop {app.name}.nightly.service",
            f"systemctl stop {app.name}@{live}.service {app.name}@{live}.socket",
            f"systemctl stop {' '.join(pooler)} {app.name}.redis.service",
            "kill",
        ]
        assert [line for line in app.system.commands if line in order] == order

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


class TestNotTheApps:
    """What was on the host before the app, or came after it, is neither removed nor ended."""

    @staticmethod
    def human(app: App) -> None:
        """The account is a human's, as an earlier version allowed."""
        own = app.system.account
        fields = (own.pw_name, "x", own.pw_uid, own.pw_gid, "Ann", "/home/ann", "/bin/bash")
        app.system.account = pwd.struct_passwd(fields)

    @pytest.mark.parametrize("purge", [False, True])
    def test_a_name_that_was_never_an_apps(self, app: App, purge: bool) -> None:
        self.human(app)
        places = [app.at.home, app.root / app.at.data[1:], app.root / app.at.cache[1:]]
        for place in places:
            (place / "releases").mkdir(parents=True)
        job = app.root / "var/spool/cron/crontabs" / app.name
        job.parent.mkdir(parents=True)
        job.touch()
        app.system.undead = [7]
        result = app.on_host().remove(purge)
        assert not result.changed
        assert all((place / "releases").is_dir() for place in places)
        assert job.exists()
        assert app.system.commands == []
        assert f"the account {app.name} (uid" in result.warnings[0]
        assert len(result.warnings) == (4 if purge else 1)

    @pytest.mark.parametrize("purge", [False, True])
    def test_an_app_of_an_earlier_version_that_ran_as_a_human(self, app: App, purge: bool) -> None:
        app.engine().deploy()
        self.human(app)
        data = app.root / app.at.data[1:]
        data.mkdir(parents=True)
        (app.at.home / "repository.git").mkdir()
        app.system.undead = [7]
        result = app.on_host().remove(purge)
        assert result.action == "removed"
        assert os.listdir(app.at.home) == ["repository.git"]
        assert f"{app.at.home} stays: it holds repository.git" in result.warnings
        assert data.exists()
        assert app.system.active == set()
        assert app.has_run("userdel") == app.has_run("KILL") == 0

    def test_other_files_beside_the_releases(self, app: App) -> None:
        app.engine().deploy()
        (app.at.home / "notes").touch()
        result = app.on_host().remove(purge=True)
        assert os.listdir(app.at.home) == ["notes"]
        assert result.warnings == [f"{app.at.home} stays: it holds notes"]
        assert app.has_run("userdel") == 1

    def test_data_of_another_account(self, app: App) -> None:
        app.engine().deploy()
        data = app.root / app.at.data[1:]
        data.mkdir(parents=True)
        os.chown(data, 1, 1)
        result = app.on_host().remove(purge=True)
        assert data.exists()
        said = f"{app.at.data} (directory of daemon)"
        assert result.warnings == [f"left as it is, for it was not made for this app: {said}"]

    def test_a_deploy_of_an_app_whose_name_another_account_has(self, app: App) -> None:
        self.human(app)
        with pytest.raises(ReleaseError, match=r"flask_apps\..*: this name is taken .* home /home/ann"):
            app.engine().deploy()
        assert not app.at.releases.exists()
        assert not app.at.build_cache.exists()
