"""The setup command: once in the life of an app's data, before the first import."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import TIMED_OUT
from ansible_collections.groundwork.flask.plugins.module_utils.release import probe
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.removal import Removal
from ansible_collections.groundwork.flask.plugins.module_utils.release.setup_command import MARK, SCRIPT
from ansible_collections.groundwork.flask.tests.unit.release_app import App, kill_at

SETUP = "flask create-admin --password 'x y'"
WANTED: dict[str, Any] = {"setup_command": SETUP}
BY_HAND = "If it is to run, do so by `APP run sh -c 'flask create-admin --password '\"'\"'x y'\"'\"''`"


def data_of(app: App) -> Path:
    """The app's data directory, made as the host makes it: empty, but for a directory of uploads."""
    data = app.root / app.at.data[1:]
    (data / "uploads").mkdir(parents=True, exist_ok=True)
    return data


def recorded(app: App) -> tuple[str, str]:
    record = json.loads(app.at.setup.read_text())
    return record["state"], record["command"]


def test_it_runs_once_before_the_first_import_and_as_the_app(app: App) -> None:
    data_of(app)
    app.engine({"TOKEN": "hunter22"}, **WANTED, release_command="flask db upgrade").deploy()
    names = [step.name for step in app.system.steps]
    assert names.index("setup") < names.index("import") < names.index("command")
    step = next(step for step in app.system.steps if step.name == "setup")
    assert step.argv == ("/bin/sh", "-c", SCRIPT, "sh", SETUP)
    assert step.cwd == str(app.at.code(app.at.live() or ""))
    assert step.seconds == 1800
    assert {"TOKEN", "SECRET_KEY", "DATA_DIR"} <= step.environment.keys()
    assert recorded(app) == ("done", SETUP)
    assert app.at.setup.stat().st_mode & 0o777 == 0o600
    app.deploy("blue", **WANTED)
    app.deploy("green", **WANTED)
    assert app.has_run(SETUP) == 1


def test_it_is_no_part_of_the_release_and_a_new_text_is_told_of_until_the_next(app: App) -> None:
    app.deploy("red", **WANTED)
    other: dict[str, Any] = {"setup_command": "flask other"}
    sentence = (
        "setup_command has changed, and is not run again, for it runs once. If it is to run, do so by "
        f"`{app.name} run sh -c 'flask other'`"
    )
    again = app.deploy("red", **other)
    assert (again.action, again.warnings) == ("unchanged", [sentence])
    assert app.engine(environment={"WSGI_APP": "shop:app", "COLOUR": "red"}, **other).predict().warnings == [sentence]
    assert app.deploy("blue", **other).warnings == [sentence]
    assert app.deploy("blue", **other).warnings == app.deploy("green", **other).warnings == []
    assert not app.has_run("flask other")
    assert recorded(app) == ("done", "flask other")


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (3, "failed with exit status 3"),
        (TIMED_OUT, "was still at work after 7 s and was ended (release_command_timeout)"),
    ],
)
def test_one_that_fails_runs_again_at_the_next_deploy(app: App, status: int, how: str) -> None:
    data = data_of(app)
    app.system.ends[SETUP] = (status, "no such user")
    for _attempt in range(2):
        with pytest.raises(ReleaseError) as failed:
            app.deploy(**WANTED, release_command_timeout=7)
        assert failed.value.step == "setup"
        assert failed.value.message == f"the setup command `{SETUP}` {how}; the next deploy runs it again"
        assert failed.value.log == "no such user"
        (data / "half.db").touch()
    assert not app.has_run(probe.MARK)
    assert recorded(app) == ("begun", SETUP)
    del app.system.ends[SETUP]
    app.deploy(setup_command="flask mended")
    assert recorded(app) == ("done", "flask mended")
    assert app.has_run("flask mended") == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_next_run_makes_up_for_one_that_was_killed(app: App, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    kill_at(monkeypatch, "setup", when, app.engine(**WANTED).deploy)
    app.engine(**WANTED).deploy()
    assert app.has_run(SETUP) == 1
    assert recorded(app) == ("done", SETUP)


def test_one_that_had_succeeded_when_its_run_was_killed_is_not_run_again(app: App) -> None:
    """It may make the first user, and fail where there is one."""
    data = data_of(app)
    app.engine(**WANTED).setup.write("begun", "abc")
    (data / MARK).touch()
    app.deploy("red", **WANTED)
    app.deploy("blue", **WANTED)
    assert not app.has_run(SETUP)
    assert recorded(app) == ("done", SETUP)


def test_a_first_deploy_that_failed_before_the_command_was_given_does_not_count(app: App) -> None:
    """Its first deploy leaves an empty database, and the operator then reads of the option."""
    data = data_of(app)
    app.system.ends[probe.MARK] = (1, "sqlite3.OperationalError: no such table: user")
    with pytest.raises(ReleaseError, match="have setup_command make them"):
        app.deploy()
    (data / "shop.db").touch()
    app.system.ends.clear()
    app.deploy(**WANTED)
    assert app.has_run(SETUP) == 1


class TestLeftOut:
    """Where data are in use already, it does not run over them, and says so once."""

    def left_out(self, app: App, reason: str) -> None:
        first = app.deploy("blue", **WANTED)
        said = f"setup_command was not run: {reason}. {BY_HAND}"
        assert first.warnings == [said.replace("APP", app.name).replace("DATA", app.at.data)]
        assert recorded(app) == ("left out", SETUP)
        assert app.deploy("green", **WANTED).warnings == []
        assert not app.has_run(SETUP)

    def test_the_app_has_been_live(self, app: App) -> None:
        app.deploy("red")
        self.left_out(app, f"{app.name} has been live on this host before")

    def test_the_app_was_taken_off_and_comes_back_to_its_data(self, app: App) -> None:
        app.deploy("red")
        app.ledger.append("removed", "", by="ann", purged=False)
        app.at.current.unlink()
        self.left_out(app, f"{app.name} has been live on this host before")

    def test_data_of_another_host(self, app: App) -> None:
        """A restore before the first deploy, from a backup made before the command was given."""
        (data_of(app) / "uploads/shop.db").touch()
        self.left_out(app, "there are data in DATA already")

    def test_data_that_were_set_up_elsewhere(self, app: App) -> None:
        """The mark comes back with the data, also between two deploys that fail."""
        data = data_of(app)
        app.system.ends[probe.MARK] = (1, "Traceback")
        with pytest.raises(ReleaseError):
            app.deploy()
        app.system.ends.clear()
        (data / MARK).touch()
        self.left_out(app, "the data in DATA have been set up before")

    def test_a_mark_is_a_file_of_the_apps_and_no_link_is_followed(self, app: App, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").touch()
        (data_of(app) / MARK).symlink_to(tmp_path / "elsewhere")
        app.deploy(**WANTED)
        assert app.has_run(SETUP) == 1

    def test_another_host_runs_it(self, app: App) -> None:
        app.deploy(**WANTED, run_release_command=False)
        assert not app.has_run(SETUP)
        assert not app.at.setup.exists()


def test_a_dry_run_tells_whether_it_would_run(app: App) -> None:
    data_of(app)
    assert app.engine(**WANTED).predict().commands == [SETUP]
    app.deploy(**WANTED)
    assert app.engine(**WANTED, environment={"COLOUR": "blue"}).predict().commands == []


def test_purge_forgets_it(app: App) -> None:
    app.deploy(**WANTED)
    removal = app.on_host()
    assert app.at.setup in removal_paths(removal, purge=True)
    assert app.at.setup not in removal_paths(removal, purge=False)


def removal_paths(engine: Any, purge: bool) -> list[Path]:
    return Removal(engine.context, engine.supervisor, engine.jobs).paths(purge)


@pytest.mark.parametrize(
    ("command", "status", "printed", "marked"),
    [
        ("""echo "it's $HOME" '%i' "$0" $#; false || true""", 0, "it's /home/of-app %i /bin/sh 0\n", True),
        ("exit 5", 5, "", False),
        ("a=1\nexit $a", 1, "", False),
        ("unset DATA_DIR; cd /", 0, "", True),
    ],
)
def test_the_command_is_a_shell_command_and_its_success_is_marked(
    tmp_path: Path, command: str, status: int, printed: str, marked: bool
) -> None:
    done = subprocess.run(
        ("/bin/sh", "-c", SCRIPT, "sh", command), env={"HOME": "/home/of-app", "DATA_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (status, printed)
    assert (tmp_path / MARK).exists() is marked


def test_the_remedy_is_named_where_it_is_known(app: App) -> None:
    app.system.ends[SETUP] = (1, "ModuleNotFoundError: No module named 'pkg_resources'")
    with pytest.raises(ReleaseError, match="again; it uses setuptools without asking for it: add setuptools<81"):
        app.deploy(**WANTED)
