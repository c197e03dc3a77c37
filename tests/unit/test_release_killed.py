"""Runs that are killed, and the runs after them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import trees
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS, STEPS_BACK
from ansible_collections.groundwork.flask.plugins.module_utils.release.ledger import states
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed, kill_at

MIGRATE = "flask db upgrade"


class TestKilled:
    """Killed anywhere, whatever is live serves, and the next run finishes the work and leaves nothing over."""

    WANTED: ClassVar[dict[str, Any]] = {"requirements": ["x"], "release_command": MIGRATE}

    @pytest.mark.parametrize("step", STEPS)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_deploy(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        app.engine().deploy()
        kill_at(monkeypatch, step, when, app.engine(**self.WANTED).deploy)
        assert app.live_units() <= app.system.active
        app.engine(**self.WANTED).deploy()
        assert app.left_over() == []
        assert app.has_run(f"sh -c {MIGRATE}") == 1
        assert app.engine(**self.WANTED).deploy().action == "unchanged"

    @pytest.mark.parametrize("step", STEPS_BACK)
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_a_rollback(self, app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
        first, second = app.deploy("red").release, app.deploy("blue").release
        kill_at(monkeypatch, step, when, app.on_host().roll_back)
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
        kill_at(monkeypatch, step, "before", lambda: app.deploy("blue"))
        blue = app.deploy("blue").release
        assert [row["release"] for row in states(app.at) if row["state"] == "live"] == [blue]
        app.deploy("green")
        assert app.ledger.way_back()[0] == blue

    def test_after_the_switch_of_a_rollback_nobody_goes_forward_again(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = app.deploy("red").release, app.deploy("blue").release
        third = app.deploy("green").release
        kill_at(monkeypatch, "drain", "before", app.on_host().roll_back)
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
