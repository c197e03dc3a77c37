"""The steps of a deploy: whose they are, and what they see."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.release import build, sandbox
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.steps import Step
from ansible_collections.groundwork.flask.tests.unit.release_app import App

DATA = on_host("data", "shop")
MIGRATE = "flask db upgrade"


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
            assert DATA not in writable, "what the unit lets the app write"
            caches = (str(app.at.source_cache) in writable, str(app.at.package_cache) in writable)
            assert caches == (name == "fetch", name != "fetch")
            assert "hunter22" not in str(step)
            assert "SECRET_KEY" not in step.environment
            assert step.environment["HOME"] == "/tmp"

    def test_a_build_has_a_group_of_its_own_by_which_the_outgoing_rules_know_it(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(build, "build_group", lambda: "builds")
        steps = self.steps(app)
        builds = {name for name, step in steps.items() if "Group=builds" in step.command("x.service")}
        assert builds == {"fetch", "venv", "install", "compile", "publish"}
        assert f"SupplementaryGroups={app.name}" in steps["install"].command("x.service")
        assert f"Group={app.name}" in steps["import"].command("x.service")

    def test_what_acts_for_the_app_has_its_sandbox(self, app: App) -> None:
        steps = self.steps(app)
        for name in ("import", "before", "save", "command"):
            step = steps[name]
            assert ("BindPaths", DATA) in step.sandbox
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
            ReleaseError, match=r"the unit [a-z]+@\.service is not on this host: run groundwork.flask.site"
        ):
            app.engine().deploy()
