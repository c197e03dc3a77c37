"""The SECRET_KEY of an app."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import secret_key
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import read_env_file
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.tests.unit.release_app import App


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
        monkeypatch.setattr(
            secret_key, "time", SimpleNamespace(time=lambda: real() + 30 * 86400, monotonic=time.monotonic)
        )
        assert app.engine({"SECRET_KEY": "key-2"}).predict().release == release, "its date is no part of the id"
        app.engine({"SECRET_KEY": "key-3"}).deploy()
        assert self.former(app) == {"key-2": 61, "key-1": 31}
        monkeypatch.setattr(
            secret_key, "time", SimpleNamespace(time=lambda: real() + 32 * 86400, monotonic=time.monotonic)
        )
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
