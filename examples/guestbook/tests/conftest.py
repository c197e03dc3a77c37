"""An app with an empty database of its own for every test, migrated as on a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade

from guestbook import create_app


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the caller's environment might set."""
    for name in ("SECRET_KEY", "DATABASE_URL", "DATA_DIR", "FLASK_DEBUG", "FLASK_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """The app, with its data in a temporary directory."""
    app = create_app({"TESTING": True, "WTF_CSRF_ENABLED": False, "DATA_DIR": str(tmp_path)})
    with app.app_context():
        upgrade()
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor."""
    return app.test_client()
