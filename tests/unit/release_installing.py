"""What the tests of installing share: an installer, a host with uv, requirements with hashes."""

from __future__ import annotations

from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.release.installer import Installer
from ansible_collections.groundwork.flask.plugins.module_utils.release.pins import UV_VERSION
from ansible_collections.groundwork.flask.tests.unit.release_app import App

WITH_UV: dict[str, Any] = {"settings": {"installer": "uv"}}
HASHED = "flask==3.1.3 \\\n    --hash=sha256:00\n"


def installer(app: App, **options: Any) -> Installer:
    """The installer of an app; ``settings`` are the call's, the others the app's."""
    found = app.engine(**options).installer
    found.at.releases.mkdir(parents=True, exist_ok=True)
    return found


def with_uv(app: App) -> str:
    """Let the host have uv."""
    path = app.at.tools / f"uv-{UV_VERSION}/bin/uv"
    path.parent.mkdir(parents=True)
    path.touch()
    return str(path)
