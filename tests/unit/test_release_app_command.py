"""The app's name as a command: it never hides a program of the host."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import app_command, command
from ansible_collections.groundwork.flask.plugins.module_utils.release.app_command import (
    command_warnings,
    install_command,
    is_command_settled,
    owns_command,
)
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.tests.unit.release_app import App, own_account

OF_0_1 = '#!/bin/sh\nexec {tools}/app {app} "$@"\n'
DIRECTORIES = [directory for directory in app_command.PROGRAMS if directory not in ("/sbin", "/bin")]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The app ``git`` on a host whose programs lie below a root of their own."""
    made = Layout("git", tmp_path)
    monkeypatch.setattr(
        app_command, "SCRIPT", app_command.SCRIPT.replace("program=$directory", f"program={tmp_path}$directory")
    )
    made.tools.mkdir(parents=True)
    (made.tools / "app").write_text('#!/bin/sh\necho ours "$@"\n')
    (made.tools / "app").chmod(0o755)
    return made


def program(path: Path, text: str = 'echo theirs "$@"') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def called(at: Layout) -> str:
    return subprocess.run([at.command, "init", "a b"], capture_output=True, text=True, check=True, timeout=60).stdout


def test_it_is_the_apps_where_the_host_has_no_such_program(at: Layout) -> None:
    install_command(at)
    assert called(at) == "ours git init a b\n"
    assert command_warnings(at) == []
    assert is_command_settled(at)


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_a_program_that_is_installed_later_comes_first_at_once_and_alone_after_the_next_deploy(
    at: Layout, directory: str
) -> None:
    install_command(at)
    program(at.root / directory[1:] / "git")
    assert called(at) == "theirs init a b\n"
    assert not is_command_settled(at)
    install_command(at)
    assert not at.command.exists()
    assert is_command_settled(at)
    (said,) = command_warnings(at)
    assert said == f"`git` is the program {directory}/git on this host, so the app's command is `{at.tools}/app git`"


def test_what_is_no_program_does_not_count(at: Layout) -> None:
    (at.root / "usr/bin/git").mkdir(parents=True)
    program(at.root / "usr/sbin/git").chmod(0o644)
    install_command(at)
    (at.root / "usr/local/sbin").mkdir()
    (at.root / "usr/local/sbin/git").symlink_to(at.command)  # an operator's own way to the app's command
    assert called(at) == "ours git init a b\n"
    assert command_warnings(at) == []


def test_a_program_in_its_own_place_is_left_alone(at: Layout) -> None:
    program(at.command)
    install_command(at)
    assert called(at) == "theirs init a b\n"
    assert "`git` is the program /usr/local/bin/git" in command_warnings(at)[0]


@pytest.mark.parametrize("kind", ["dangling", "directory", "fifo"])
def test_what_is_no_file_is_left_alone(at: Layout, kind: str) -> None:
    at.command.parent.mkdir(parents=True)
    if kind == "dangling":
        at.command.symlink_to("/nowhere")
    elif kind == "directory":
        at.command.mkdir()
    else:
        os.mkfifo(at.command)
    install_command(at)
    assert not owns_command(at)
    assert os.path.lexists(at.command)
    assert len(command_warnings(at)) == 1


@pytest.mark.parametrize("name", ["test", "jobs", "time", "source"])
def test_a_word_of_the_shell(tmp_path: Path, name: str) -> None:
    at = Layout(name, tmp_path)
    install_command(at)
    assert not at.command.exists()
    assert f"`{name}` is a word of the shell on this host" in command_warnings(at)[0]


def test_the_command_of_an_earlier_version_is_renewed(at: Layout) -> None:
    program(at.command).write_text(OF_0_1.format(tools=at.tools, app="git"))
    assert owns_command(at)
    assert not is_command_settled(at)
    install_command(at)
    assert is_command_settled(at)


def test_a_run_that_changes_nothing_still_warns_and_takes_the_command_away(app: App) -> None:
    app.engine().deploy()
    assert app.engine().cleanup.is_settled()
    program(app.root / "usr/bin" / app.name)
    assert not app.engine().cleanup.is_settled()
    again = app.engine().deploy()
    assert (again.action, len(again.warnings)) == ("unchanged", 1)
    assert not app.at.command.exists()
    assert app.engine().cleanup.is_settled()
    assert app.engine().predict().warnings == again.warnings


def test_in_a_build_that_lacks_the_program_it_is_not_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app ``shop`` is built on a host without git, where another app is called that."""
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: own_account("shop"))
    with pytest.raises(SystemExit) as ended:
        command.main(["git", "init"])
    assert ended.value.code == 127
    assert capsys.readouterr().err == "sh: 1: git: not found\n"
