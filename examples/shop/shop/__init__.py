"""A small shop: visitors order, a worker sends the mail, a job writes the report of the day."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from . import commands, models, queue, views

SETTINGS = (
    "SECRET_KEY",
    "DATA_DIR",
    "REDIS_URL",
    "MAIL_HOST",
    "MAIL_PORT",
    "MAIL_USERNAME",
    "MAIL_PASSWORD",
    "MAIL_SENDER",
)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application.

    Settings come from, each overriding the one before: the defaults below, environment variables of the names in
    ``SETTINGS`` and ``DATABASE_URL``, and ``config``.
    Raises RuntimeError if there is no SECRET_KEY and the app is neither in debug mode nor under test.
    """
    app = Flask(__name__)
    app.config.from_mapping(
        DATA_DIR=app.instance_path,
        REDIS_URL="redis://localhost:6379/0",
        MAIL_HOST="localhost",
        MAIL_PORT=25,
        MAIL_SENDER="shop@localhost",
        MAX_CONTENT_LENGTH=64 * 1024,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_SAMESITE="Lax",
        # A connection that the database has closed meanwhile is replaced before a visitor notices.
        SQLALCHEMY_ENGINE_OPTIONS={"pool_pre_ping": True},
    )
    app.config.from_mapping({name: os.environ[name] for name in SETTINGS if name in os.environ})
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("DATABASE_URL")
    app.config.from_mapping(config or {})

    if app.debug or app.testing:
        app.config["SESSION_COOKIE_SECURE"] = False
        app.config["SECRET_KEY"] = app.config["SECRET_KEY"] or "for development only"
    else:
        app.logger.setLevel(logging.INFO)
    if not app.config["SECRET_KEY"]:
        raise RuntimeError("SECRET_KEY is not set. Put a long random one into the environment, or run in debug mode.")
    data = Path(app.config["DATA_DIR"]).absolute()
    data.mkdir(parents=True, exist_ok=True)
    app.config["SQLALCHEMY_DATABASE_URI"] = app.config["SQLALCHEMY_DATABASE_URI"] or f"sqlite:///{data}/shop.sqlite3"

    models.init_app(app, migrations=Path(app.root_path).parent / "migrations")
    queue.init_app(app)
    views.init_app(app)
    commands.init_app(app)
    return app
