"""What the tests of the programs on the host share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import build, checks, python, supervisor
from ansible_collections.groundwork.flask.tests.unit import release_command_host
from ansible_collections.groundwork.flask.tests.unit.backup_host import make_scene
from ansible_collections.groundwork.flask.tests.unit.certificate_host import FakeCA, FakeHost
from ansible_collections.groundwork.flask.tests.unit.release_app import App


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """Each test begins with the usual umask; programs set one of their own, and tests have `umask` as a parameter."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app on a host with every Python that is asked for, and nothing of this machine's configuration."""
    monkeypatch.setattr("shutil.which", lambda name, **_options: sys.executable if name.startswith("python") else None)
    monkeypatch.setattr(python, "PIP_WHEELS", tmp_path / "no-wheels")
    monkeypatch.setattr(build, "PIP_CONFIGURATION", tmp_path / "pip.conf")
    monkeypatch.setattr(checks, "STABLE_SECONDS", 0)
    monkeypatch.setattr(supervisor, "PROCESS_SECONDS", 0)
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)  # safe on the disk is slow, and no test looks at it
    return App(tmp_path / "host")


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Which program the app's command becomes, with which arguments."""
    return release_command_host.watch_exec(monkeypatch)


@pytest.fixture
def host(app: App, became: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> App:
    """A host with two releases of the app and no run at work; the engine runs here instead of in its unit."""
    return release_command_host.prepare(app, became, monkeypatch)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The directory that holds the app's code."""
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host with data, a password, two repositories, and a restic that only pretends."""
    return make_scene(tmp_path, monkeypatch)


@pytest.fixture
def fake(tmp_path: Path) -> FakeHost:
    """A host with the certificate program's configuration, and no names yet."""
    return FakeHost(tmp_path)


@pytest.fixture
def ca_server(fake: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeCA:
    """The CA of that host."""
    return FakeCA(fake, monkeypatch)
