"""Apps on several hosts: which they are, and that their releases have one SECRET_KEY and one id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.shared_apps import shared_apps
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import read_env_file
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.tests.unit.release_app import App

KEY, OTHER = "k" * 64, "o" * 64


def deploy(app: App, key: str = "", secrets: dict[str, str] | None = None, **changes: Any) -> Result:
    """Deploy with a key that all hosts share."""
    return app.engine(secrets, shared_key=key, **changes).deploy()


def live_environment(app: App) -> dict[str, str]:
    return read_env_file(app.at.current / "env")


@pytest.fixture
def second(tmp_path: Path) -> App:
    """The same app on another host."""
    return App(tmp_path / "second")


def test_hosts_that_share_a_key_have_releases_of_the_same_id(app: App, second: App) -> None:
    assert app.engine().deploy().release != second.engine().deploy().release
    first = deploy(app, KEY)
    assert first.changes == ["secrets.SECRET_KEY"]
    assert deploy(second, KEY).release == first.release
    assert live_environment(app)["SECRET_KEY"] == live_environment(second)["SECRET_KEY"] == KEY


def test_a_host_with_a_key_of_its_own_keeps_its_sessions(app: App) -> None:
    app.engine().deploy()
    own = live_environment(app)["SECRET_KEY"]
    deploy(app, KEY)
    (former,) = json.loads(live_environment(app)["SECRET_KEY_FALLBACKS"])
    assert former["key"] == own


def test_a_host_keeps_the_shared_key_when_it_is_deployed_alone(app: App) -> None:
    release = deploy(app, KEY).release
    assert app.at.secret_key.read_text() == KEY
    assert app.at.secret_key.stat().st_mode & 0o777 == 0o600
    assert app.engine().deploy().action == "unchanged"
    assert app.at.live() == release


def test_another_shared_key_replaces_it_everywhere(app: App, second: App) -> None:
    deploy(app, KEY)
    deploy(second, KEY)
    assert deploy(app, OTHER).release == deploy(second, OTHER).release
    assert [entry["key"] for entry in json.loads(live_environment(second)["SECRET_KEY_FALLBACKS"])] == [KEY]


def test_a_dry_run_keeps_nothing_on_the_host(app: App) -> None:
    app.engine().deploy()
    own = app.at.secret_key.read_text()
    assert app.engine(shared_key=KEY).predict().action == "to deploy"
    assert app.at.secret_key.read_text() == own


def test_a_key_of_the_user_goes_before_the_shared_one(app: App) -> None:
    deploy(app, KEY, {"SECRET_KEY": "mine"})
    assert live_environment(app)["SECRET_KEY"] == "mine"
    assert not app.at.secret_key.exists()


@pytest.mark.parametrize(
    ("hosts", "shared"),
    [
        (["web1", "web2", "db"], ["shop"]),
        (["web1"], []),
        (["web1", "db"], []),
        (["web1", "web2", "blank"], ["shop"]),
        (["web1", "web2", "nowhere"], ["shop"]),
        ([], []),
    ],
)
def test_shared_apps(hosts: list[str], shared: list[str]) -> None:
    hostvars = {
        "web1": {"flask_apps": {"shop": {}, "blog": {}}},
        "web2": {"flask_apps": {"shop": {}, "wiki": {}}},
        "db": {},
        "blank": {"flask_apps": None},
    }
    assert shared_apps(hosts, hostvars) == shared
