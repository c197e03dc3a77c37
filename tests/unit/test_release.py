"""The release engine against a host that records what it is asked; the file system is real."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import release
from ansible_collections.groundwork.flask.plugins.module_utils.release import (
    STEPS,
    Engine,
    Host,
    Layout,
    ReleaseError,
    Spec,
)

TREE = "a" * 64


class Killed(BaseException):
    """Stands for kill -9: nothing of the engine handles it."""


class FakeHost(Host):
    """systemd, the processes of an app and its health, all well until told otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.active: set[str] = set()
        self.commands: list[str] = []
        self.fail: dict[str, str] = {}
        self.answers: list[int] = []
        self.leaves = False

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        verb, *rest = [word for word in arguments if not word.startswith("--")]
        units = [name for name in rest if "@" in name]
        output = ""
        for unit in units:
            wants = (
                self.root
                / "etc/systemd/system"
                / f"{'sockets' if unit.endswith('.socket') else 'multi-user'}.target.wants"
            )
            if verb == "enable":
                wants.mkdir(parents=True, exist_ok=True)
                (wants / unit).touch()
            if verb == "disable":
                (wants / unit).unlink(missing_ok=True)
        if verb == "enable":
            self.active |= set(units)
        if verb == "stop":
            self.active -= set(units)
        if verb == "show":
            output = "\n".join("active" if unit in self.active else "inactive" for unit in units)
        return subprocess.CompletedProcess(arguments, 1 if verb in self.fail else 0, output, self.fail.get(verb, ""))

    def run_as(
        self,
        user: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: str,
        seconds: float,
        stdin: Any = None,
        umask: int = 0,
    ) -> tuple[int, str]:
        line = " ".join(command)
        self.commands.append(line)
        for part, said in self.fail.items():
            if part in line:
                return 1, said
        if "import groundwork_wsgi" in line:
            return 0, "" if self.leaves else "a warning\nimported\n"
        if command[0] == "tar":
            Path(cwd, "requirements.txt").write_text("flask\n")
            Path(cwd, "static").mkdir()
            Path(cwd, "static/a.css").write_text("x")
        if command[0] == "sh" and "cp -RL" in line:
            return subprocess.run(command, check=False).returncode, ""
        return 0, ""

    def journal(self, app: str, unit: str, since: float) -> str:
        return "Traceback: no such table"

    def ask(self, sock: Path, host: str, path: str, seconds: float) -> tuple[int, str]:
        return (self.answers.pop(0) if self.answers else 200), "body"

    def sleep(self, seconds: float) -> None:
        pass


class App:
    """An app named after this user, so that its files can be given to it."""

    def __init__(self, root: Path) -> None:
        self.root, self.host, self.name = root, FakeHost(root), getpass.getuser()
        self.at = Layout(self.name, root)
        archive = root / "source.tar.gz"
        archive.write_bytes(b"packed")
        self.spec: dict[str, Any] = {
            "name": self.name,
            "source": {"tree": TREE, "directory": "shop", "description": "shop"},
            "environment": {"WSGI_APP": "shop:app"},
            "files": {"start": "#!/bin/sh\n", "entry/groundwork_wsgi.py": ""},
            "requirements": ["gunicorn"],
            "static": {"/static/": "static"},
            "health": {"host": "shop.example.org", "path": "/healthz", "timeout": 1},
            "archive": str(archive),
        }

    def engine(self, secrets: Mapping[str, str] | None = None, keep: int = 5, **changes: Any) -> Engine:
        return Engine(Spec(**{**self.spec, **changes}), secrets or {}, keep=keep, host=self.host, root=self.root)

    def live_units(self) -> set[str]:
        return {f"{self.name}@{self.at.live()}.{kind}" for kind in ("socket", "service")}

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.at.ledger.read_text().splitlines()]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setattr("shutil.which", lambda name, path=None: sys.executable)
    return App(tmp_path)


def test_first_deploy_and_then_nothing(app: App) -> None:
    first = app.engine().deploy()
    assert (first.action, first.previous) == ("deployed", "")
    assert os.readlink(app.at.current) == f"releases/{first.release}"
    assert app.host.active == app.live_units()
    assert (app.at.current / "public/static/a.css").read_text() == "x"
    assert (app.at.current / "env").stat().st_mode & 0o777 == 0o600
    assert app.engine().deploy().action == "unchanged"
    assert app.events() == ["begin", "live"]


def test_a_new_release_takes_over_and_the_old_one_stops(app: App) -> None:
    first = app.engine().deploy()
    second = app.engine(environment={"WSGI_APP": "shop:app", "COLOUR": "red"}).deploy()
    assert second.previous == first.release
    assert second.release != first.release
    assert app.host.active == app.live_units()
    assert app.engine().enabled() == {second.release}


@pytest.mark.parametrize(
    "change",
    [
        {"source": {"tree": "b" * 64}},
        {"environment": {"WSGI_APP": "shop:other"}},
        {"files": {"start": "other", "entry/groundwork_wsgi.py": ""}},
        {"requirements": ["gunicorn==27"]},
        {"static": {}},
        {"release_command": "flask db upgrade"},
        {"unit": {"sandbox": {"UMask": "0027"}}},
    ],
)
def test_whatever_defines_the_process_names_the_release(app: App, change: dict[str, Any]) -> None:
    assert app.engine(**change).predict().action == "deployed"
    engine, other = app.engine(), app.engine(**change)
    for each in (engine, other):
        each.commit = each.resolve()
    assert engine.identify("key") != other.identify("key")
    assert engine.identify("key") != engine.identify("another")


def test_how_health_is_asked_does_not_name_the_release(app: App) -> None:
    app.engine().deploy()
    assert app.engine(health={"path": "/"}).deploy().action == "unchanged"


def test_a_secret_makes_a_new_release_and_reaches_the_app(app: App) -> None:
    app.engine().deploy()
    assert app.engine({"TOKEN": 'a"b$c\\d'}).deploy().action == "deployed"
    assert 'TOKEN="a\\"b\\$c\\\\d"\n' in (app.at.current / "env").read_text()


def test_the_secret_key_is_made_once_and_kept(app: App) -> None:
    app.engine().deploy()
    key = app.at.secret_key.read_text()
    assert len(key) == 64
    assert app.at.secret_key.stat().st_mode & 0o777 == 0o600
    app.engine(requirements=["x"]).deploy()
    assert app.at.secret_key.read_text() == key
    assert f'SECRET_KEY="{key}"' in (app.at.current / "env").read_text()


def test_a_given_secret_key_is_used(app: App) -> None:
    app.engine({"SECRET_KEY": "mine"}).deploy()
    assert 'SECRET_KEY="mine"' in (app.at.current / "env").read_text()
    assert not app.at.secret_key.exists()


FAILURES = [
    ("tar", "fetch", "broken archive", "the source could not be fetched"),
    (
        "pip install",
        "install",
        "error: gcc: No such file or directory",
        "add gcc, libc6-dev and python3-dev to flask_apps.",
    ),
    ("import groundwork_wsgi", "import", "ImportError: no module named x", "the app cannot be imported as shop:app"),
    ("flask db upgrade", "command", "no such revision", "the release command `flask db upgrade` failed"),
    ("enable", "start", "job failed", "did not start"),
]


@pytest.mark.parametrize(("part", "step", "said", "message"), FAILURES, ids=[row[1] for row in FAILURES])
def test_a_failing_step_leaves_the_old_release_serving(app: App, part: str, step: str, said: str, message: str) -> None:
    old = app.engine().deploy()
    app.host.fail = {part: said}
    with pytest.raises(ReleaseError) as error:
        app.engine(release_command="flask db upgrade").deploy()
    assert error.value.step == step
    assert message in str(error.value)
    assert said in str(error.value)
    assert app.at.live() == old.release
    assert app.live_units() <= app.host.active
    assert app.engine().enabled() == {old.release}
    assert app.events()[-1] == "bad"
    app.host.fail = {}
    assert app.engine(release_command="flask db upgrade").deploy().action == "deployed"


def test_an_app_that_leaves_with_status_0_is_not_imported(app: App) -> None:
    app.host.leaves = True
    with pytest.raises(ReleaseError, match="the app cannot be imported"):
        app.engine().deploy()


def test_an_unhealthy_release_never_goes_live(app: App) -> None:
    old = app.engine().deploy()
    app.host.answers = [503] * 1_000_000
    with pytest.raises(ReleaseError, match="was not answered well within 1 s: status 503") as error:
        app.engine(requirements=["x"]).deploy()
    assert "no such table" in str(error.value)
    assert app.host.active == app.live_units()
    assert app.at.live() == old.release


def test_a_release_may_need_a_moment_to_be_healthy(app: App) -> None:
    app.host.answers = [503, 502, 200]
    assert app.engine().deploy().action == "deployed"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_step_a_rerun_heals(app: App, monkeypatch: pytest.MonkeyPatch, step: str, when: str) -> None:
    app.engine().deploy()
    wanted: dict[str, Any] = {"requirements": ["x"], "release_command": "flask db upgrade"}
    real = getattr(Engine, f"step_{step}")

    def killed(self: Engine, live: str | None) -> None:
        if when == "after":
            real(self, live)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Engine, f"step_{step}", killed)
        with pytest.raises(Killed):
            app.engine(**wanted).deploy()
    assert app.live_units() <= app.host.active, "whatever is live must be serving"
    app.engine(**wanted).deploy()
    assert app.host.active == app.live_units()
    assert app.engine().enabled() == {app.at.live()}
    assert sum("flask db upgrade" in command for command in app.host.commands) == 1
    assert app.engine(**wanted).deploy().action == "unchanged"


def test_a_stopped_live_release_is_started(app: App) -> None:
    app.engine().deploy()
    app.host.active.clear()
    assert app.engine().deploy().action == "started"
    assert app.host.active == app.live_units()


def test_a_source_on_the_controller_is_asked_for_only_when_needed(app: App) -> None:
    assert app.engine(archive="").deploy().needs_archive
    app.engine().deploy()
    assert app.engine(archive="").deploy().action == "unchanged"


def test_old_releases_go_but_never_the_one_before(app: App) -> None:
    for number in range(6):
        app.engine(keep=2, requirements=[str(number)]).deploy()
    assert len(list(app.at.releases.iterdir())) == 2


def test_a_dry_run_touches_nothing(app: App) -> None:
    assert app.engine().predict().action == "deployed"
    assert not (app.root / "srv").exists()
    assert not app.at.secret_key.exists()
    app.engine().deploy()
    assert app.engine().predict().action == "unchanged"
    assert app.engine(requirements=["x"]).predict().action == "deployed"


def test_a_second_deploy_is_told_who_is_at_work(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "LOCK_SECONDS", 0)
    app.engine().deploy()
    with release.lock(app.at.lock, "ann@laptop"), pytest.raises(ReleaseError, match="ann@laptop since"):
        app.engine().deploy()
    assert app.engine().deploy().action == "unchanged"


def test_a_second_deploy_waits_for_the_first(app: App) -> None:
    """A killed play's work on the host goes on; the rerun must not fail because of it."""
    with release.lock(app.at.lock, "ann@laptop"):
        waiting = threading.Thread(target=lambda: app.engine().deploy())
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive()
        assert app.at.live() is None
    waiting.join(20)
    assert app.at.live() is not None


def test_hashed_requirements_are_installed_alone(app: App, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("flask==3.1.3 --hash=sha256:00\n")
    assert app.engine().installs(tmp_path) == [["--require-hashes", "-r", "requirements.txt"], ["gunicorn"]]


def test_a_project_without_requirements(app: App, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="neither requirements.txt nor pyproject.toml"):
        app.engine().installs(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert app.engine().installs(tmp_path) == [[".", "gunicorn"]]


def test_a_tag_is_taken_before_a_branch_of_its_name(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = f"{'1' * 40}\trefs/heads/v1\n{'2' * 40}\trefs/tags/v1\n{'3' * 40}\trefs/tags/v1^{{}}\n"
    monkeypatch.setattr(app.host, "run_as", lambda *_arguments, **_words: (0, refs))
    engine = app.engine(source={"git": "https://example.org/shop.git", "version": "v1"})
    assert engine.resolve() == "3" * 40
    with pytest.raises(ReleaseError, match="has no branch or tag 'v2'"):
        app.engine(source={"git": "https://example.org/shop.git", "version": "v2"}).resolve()


def test_apps_that_nobody_mentions_are_found(app: App) -> None:
    app.engine().deploy()
    assert release.others([], app.root) == [app.name]
    assert release.others([app.name], app.root) == []


def test_removed_without_its_data(app: App) -> None:
    app.engine().deploy()
    data = app.root / "var/lib" / app.name
    data.mkdir(parents=True)
    assert app.engine().remove()
    assert app.host.active == set()
    assert not app.at.home.exists()
    assert data.exists()
    assert app.at.secret_key.exists()
    assert not app.engine().remove()


@pytest.mark.parametrize(
    ("said", "package"),
    [
        ("Error: pg_config executable not found.", "libpq-dev"),
        ("src/x.c:1:10: fatal error: Python.h: No such file or directory", "python3-dev"),
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "gcc"),
        ("error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'", "gcc"),
        ("fatal error: ffi.h: No such file", "libffi-dev"),
    ],
)
def test_a_failed_build_names_the_packages(said: str, package: str) -> None:
    assert package in release.build_hint("shop", said)


def test_a_failed_build_for_another_reason_names_none() -> None:
    assert release.build_hint("shop", "No matching distribution found for flsk") == ""
