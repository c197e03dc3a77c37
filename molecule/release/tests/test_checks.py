"""What keeps a release from going live though it starts, what is only said, and what an earlier release leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stranger import App, project
from testinfra.host import Host
from testing import on_host

SHOP = """
import os, traceback
from flask import Flask, redirect, request

class Wrapped:
    def __init__(self, app):
        self.app = app
    def __call__(self, environ, start_response):
        return self.app(environ, start_response)

app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], SESSION_COOKIE_SECURE=True)

@app.get("/")
def index():
    return {"version": "good"}
"""
REDIRECT = """
@app.before_request
def to_https():
    if request.path == "/" and not request.is_secure:
        return redirect(request.url.replace("http:", "https:", 1))
"""


@pytest.fixture(scope="module")
def booth(host: Host, tmp_path_factory: pytest.TempPathFactory) -> App:
    app = App(host, "booth", wsgi_app="shop:app")
    app.options["source"] = project(
        tmp_path_factory.mktemp("booth"), {"requirements.txt": "flask==3.1.0\n", "shop.py": SHOP}
    )
    assert app.deploy()["warnings"] == []
    return app


def change(app: App, more: str, **options: Any) -> None:
    """Define the good app with more code at its end."""
    directory = Path(app.options["source"]["directory"])
    project(directory, {"shop.py": SHOP + more})
    app.options = {**app.options, "wsgi_app": "shop:app", "proxy_fix": True, "skip_checks": ["stable"], **options}


def test_what_a_check_of_the_import_finds_does_not_go_live(booth: App) -> None:
    change(
        booth,
        """
app.config["SECRET_KEY"] = "dev"
app.debug = True
wrapped = Wrapped(app)

@app.errorhandler(Exception)
def broken(error):
    return traceback.format_exc(), 500
""",
        wsgi_app="shop:wrapped",
    )
    booth.refused(
        *("step import", "stands in documentation", "`skip_checks: [secret_key]`"),
        *("debug mode", "`skip_checks: [debug]`"),
        *("visitors see its traceback", "`skip_checks: [server_error]`"),
    )


def test_what_a_check_of_the_answers_finds_does_not_go_live(booth: App) -> None:
    change(
        booth,
        f"""
{REDIRECT}
@app.errorhandler(404)
def lost(error):
    return traceback.format_exc(), 404
""",
        proxy_fix=False,
    )
    booth.refused(
        *("step start", "/ redirects to itself", "proxy_fix", "`skip_checks: [https]`"),
        *("a page that is not there is answered with a traceback", "`skip_checks: [not_found]`"),
    )


def test_a_check_can_be_switched_off_and_warnings_are_shown(booth: App) -> None:
    """Nor is the redirect to https of the app above wrong where the app sees that the visitor came so."""
    change(
        booth,
        f"""
{REDIRECT}
app.config.update(SECRET_KEY="dev", SESSION_COOKIE_SECURE=False, MAX_CONTENT_LENGTH=50 * 2**20)
""",
        skip_checks=["stable", "secret_key"],
    )
    session, uploads = booth.deploy()["warnings"]
    assert "the session cookie may travel unencrypted" in session
    assert "uploads up to 50 MB (MAX_CONTENT_LENGTH), and the proxy 1 MB only" in uploads
    assert booth.ask().status == 200


def test_flask_that_signs_with_the_wrong_key_is_refused_once_the_key_has_changed(booth: App) -> None:
    change(booth, "")
    booth.refused("CVE-2025-47278", "take 3.1.1", rotate_secret_key=True)


def test_hashed_static_files_of_earlier_releases_stay(booth: App) -> None:
    """The first of these releases also has the Flask that the test above asks for."""
    directory = Path(booth.options["source"]["directory"])
    project(directory, {"requirements.txt": "flask==3.1.1\n"})
    project(directory, {"static/app.3f9c01d2ab44.css": "old", "static/plain.css": "old", "static/both.css": "old"})
    change(booth, "", proxy={"static": {"/static/": "static"}})
    booth.deploy()
    for name in ("app.3f9c01d2ab44.css", "plain.css"):
        (directory / "static" / name).unlink()
    project(directory, {"static/app.9d21cc07be55.css": "new", "static/both.css": "new"})
    booth.deploy()
    public = f"{on_host('current', 'booth')}/public/static"
    assert booth.sh(f"ls {public}").split() == ["app.3f9c01d2ab44.css", "app.9d21cc07be55.css", "both.css"]
    assert booth.sh(f"cat {public}/both.css {public}/app.3f9c01d2ab44.css") == "newold"
