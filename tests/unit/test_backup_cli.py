"""What the commands of the backup program print, and with which status they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import cli
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import Config
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.status import Status
from ansible_collections.groundwork.flask.plugins.module_utils.common.locks import locked

Program = Callable[..., tuple[int, str, str]]


@pytest.fixture
def program(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Call the program with arguments; its exit status, output and errors."""
    monkeypatch.setattr(Config, "load", lambda: scene.config(repositories=("one",)))
    monkeypatch.setattr("signal.signal", lambda *_arguments: None)

    def call(*argv: str) -> tuple[int, str, str]:
        status = cli.main(argv)
        return status, *capsys.readouterr()

    return call


def test_a_run_is_reported_as_json(program: Program) -> None:
    status, output, errors = program("run", "--json", "--missing")
    outcome = json.loads(output)
    assert (status, outcome["changed"]) == (0, True)
    assert outcome["sets"]["shop"]["snapshot"] == "01234567"
    assert outcome["sets"]["shop"]["attempted"] == outcome["sets"]["shop"]["last"]
    assert errors == "shop: snapshot 01234567 in one, 2 files, 10 B, 5 B of it new\n"
    assert json.loads(program("run", "--json", "--missing")[1])["changed"] is False


def test_what_could_not_be_saved_is_for_the_reader_of_the_json_to_judge(
    program: Program, scene: SimpleNamespace
) -> None:
    """So that a play goes on for the other sets; the timer's run fails."""
    (scene.path / "one").mkdir(exist_ok=True)
    (scene.path / "one/fail-backup").write_text("1 Fatal: disk full")
    status, output, _errors = program("run", "--json", "--missing")
    assert status == 0
    problems = json.loads(output)["problems"]
    assert problems[-1] == "not saved, or not everywhere: shop (of 1 sets)"
    assert program("run")[0] == 1


def test_a_dry_run_says_what_a_run_would_do_and_does_nothing(program: Program, scene: SimpleNamespace) -> None:
    status, output, _errors = program("run", "--json", "--missing", "--dry-run")
    assert (status, json.loads(output)["changed"]) == (0, True)
    assert not (scene.path / "log").exists()
    program("run")
    assert json.loads(program("run", "--json", "--missing", "--dry-run")[1])["changed"] is False


def test_the_status_for_people(program: Program, scene: SimpleNamespace) -> None:
    assert program("status")[1].startswith("shop: no backup (never) in -; no restore drill passed yet\n")
    program("run")
    status = Status(scene.config(repositories=("one",)))
    status.of_set("shop")["drills"]["one"] = {"ok": True, "time": "2026-11-29T05:00:00Z"}
    status.save()
    first, *warnings = program("status")[1].splitlines()
    assert first.endswith("Z (2 files, 10 B) in one; restore drill passed 2026-11-29T05:00:00Z")
    assert warnings[0].startswith("warning: All backups are on this host")


def test_what_went_wrong_is_the_exit_status(program: Program, scene: SimpleNamespace) -> None:
    program("run")
    (scene.path / "one" / "fail-backup").write_text("1 Fatal: no space left")
    status, _output, errors = program("run")
    assert status == 1
    assert "FAILED: shop: restic backup in one: Fatal: no space left\n" in errors


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("run", "--set", "shap"), "FAILED: there is no backup set shap here; there are: shop"),
        (("restore", "shap", "--in-place"), "FAILED: shap is no backup set of this host any more"),
        (("drill",), "FAILED: shop has no backup to restore"),
        (("forget-copies", "shop"), ""),
        (("check",), "FAILED: restic check in one: Fatal: unable to open config file"),
        (("validate",), ""),
    ],
)
def test_commands_before_the_first_backup(program: Program, argv: tuple[str, ...], message: str) -> None:
    status, output, errors = program(*argv)
    assert (status, output) == (1 if message else 0, "")
    assert errors.startswith(message)


def test_two_runs_at_once(program: Program, scene: SimpleNamespace) -> None:
    with locked(scene.path / "run" / "backup.lock"):
        assert program("run") == (75, "", "another backup or restore is running\n")
        assert program("status")[0] == 0, "it needs no lock"


def test_snapshots_and_copies_are_listed(
    program: Program, scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots: dict[str, Any] = {
        "shop": [{"snapshot": "01234567", "time": "2026-11-29T02:30:00.123Z", "repository": "one"}]
    }
    monkeypatch.setattr(cli, "list_snapshots", lambda *_arguments: snapshots)
    assert program("list")[1] == "shop  01234567  2026-11-29T02:30:00  one\n"
    assert json.loads(program("list", "--json")[1]) == snapshots
    copy = scene.path / "data.before-restore-20261129T010203"
    copy.mkdir()
    assert f"left by a restore of shop: {copy}\n" in program("status")[1]
    assert program("forget-copies", "shop")[1] == f"removed {copy}\n"
    assert json.loads(program("forget-copies", "shop", "--json")[1]) == {"removed": []}


@pytest.mark.parametrize("as_root", [True, False])
def test_who_may_not_read_the_configuration_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_root: bool
) -> None:
    def load(*_words: object) -> Config:
        raise BackupError("the configuration cannot be read") from PermissionError(13, "Permission denied")

    monkeypatch.setattr("signal.signal", lambda *_arguments: None)
    monkeypatch.setattr(Config, "load", load)
    monkeypatch.setattr(cli, "is_root", lambda: as_root)
    assert cli.main(["list"]) == cli.EXIT_FAILED
    said = capsys.readouterr().err
    assert ("needs root: set `ansible_become: true`" in said) is not as_root
    assert ("FAILED: the configuration cannot be read" in said) is as_root
