"""A guestbook: visitors leave a message, and a photo if they like."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response

from . import errors, models, views

MEBIBYTE = 1024 * 1024
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application.

    Settings come from, each overriding the one before: the defaults below, environment variables that start with
    ``FLASK_``, the variables ``SECRET_KEY``, ``DATABASE_URL`` and ``DATA_DIR``, and ``config``.
    Raises RuntimeError if there is no SECRET_KEY and the app is neither in debug mode nor under test.
    """
    app = Flask(__name__)
    app.config.from_mapping(
        DATA_DIR=app.instance_path,
        MAX_PHOTO_SIZE=5 * MEBIBYTE,
        MAX_CONTENT_LENGTH=6 * MEBIBYTE,
        ENTRIES_PER_PAGE=10,
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.from_prefixed_env()
    for name in ("SECRET_KEY", "DATABASE_URL", "DATA_DIR"):
        if value := os.environ.get(name):
            app.config[name] = value
    app.config.from_mapping(config or {})

    in_development = app.debug or app.testing
    if in_development:
        # A browser keeps a secure cookie to itself when the page came over plain HTTP, and then no form works.
        app.config["SESSION_COOKIE_SECURE"] = False
    if not app.config["SECRET_KEY"]:
        if not in_development:
            raise RuntimeError(
                "SECRET_KEY is not set. Put a long random one into the environment, for example "
                "SECRET_KEY=$(python3 -c 'import secrets; print(secrets.token_hex(32))'), "
                "or run in debug mode (FLASK_DEBUG=1) on your own machine."
            )
        app.config["SECRET_KEY"] = "for development only"

    data = Path(app.config["DATA_DIR"]).absolute()
    app.config["UPLOAD_DIR"] = data / "uploads"
    app.config["UPLOAD_DIR"].mkdir(parents=True, exist_ok=True)
    app.config["SQLALCHEMY_DATABASE_URI"] = app.config.get("DATABASE_URL") or f"sqlite:///{data}/guestbook.sqlite3"

    if not in_development:
        app.logger.setLevel(logging.INFO)
    models.init_app(app, migrations=Path(app.root_path).parent / "migrations")
    views.init_app(app)
    errors.init_app(app)
    app.after_request(add_security_headers)
    app.url_defaults(lambda endpoint, values: add_static_version(app, endpoint, values))
    return app


def add_security_headers(response: Response) -> Response:
    """Tell browsers to run and load nothing but what this site serves. A stricter header set by a view stays."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    # Not "no-referrer": CSRFProtect wants to see on HTTPS that a form was sent from this very site.
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    return response


def add_static_version(app: Flask, endpoint: str, values: dict[str, Any]) -> None:
    """Add ``?v=<hash of the content>`` to links to static files, so that browsers may keep them for long."""
    if endpoint == "static" and app.static_folder and "filename" in values:
        values.setdefault("v", _content_hash(Path(app.static_folder) / values["filename"]))


@lru_cache
def _content_hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    except OSError:
        return None
