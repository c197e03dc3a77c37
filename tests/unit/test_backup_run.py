"""A run saves each set in each repository; what fails harms no other set."""

from __future__ import annotations

import json
import math
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.report import report
from ansible_collections.groundwork.flask.plugins.module_utils.backup.repositories import validate
from ansible_collections.groundwork.flask.plugins.module_utils.backup.run import run
from ansible_collections.groundwork.flask.plugins.module_utils.backup.stage import Stage
from ansible_collections.groundwork.flask.plugins.module_utils.backup.status import Status
from ansible_collections.groundwork.flask.tests.unit.backup_host import database
from ansible_collections.groundwork.flask.tests.unit.patience import has_ended, wait_until, written_by


def test_a_run_makes_one_snapshot_in_each_repository_and_forgets_old_ones(scene: SimpleNamespace) -> None:
    config = scene.config()
    assert run(config, [], 2) == (True, [])
    assert [call[0] for call in scene.calls("init")] == ["one", "two"]
    (first, second) = scene.calls("backup")
    assert (first[0], second[0]) == ("one", "two")
    assert first[first.index("--tag") + 1] == "shop"
    assert first[first.index("--host") + 1] == "box"
    assert first[-1]["--files-from-raw"] == [str(scene.data), str(config.state / "stage" / "shop")]
    (forget, _environment) = scene.calls("forget")
    assert "--group-by host,tags --keep-daily=7 --keep-weekly=4 --keep-monthly=6 --prune" in " ".join(forget[:-1])
    reported = report(Status(config))
    assert reported["sets"]["shop"]["repositories"] == ["one", "two"]
    assert reported["sets"]["shop"]["snapshot"] == "01234567"
    assert not (config.state / "stage").exists()


def test_missing_backs_up_only_what_has_no_backup(scene: SimpleNamespace) -> None:
    shop = BackupSet("shop", (str(scene.data),))
    assert run(scene.config(shop, repositories=("one",)), [], 2, only_missing=True) == (True, [])
    assert run(scene.config(shop, repositories=("one",)), [], 2, only_missing=True) == (False, [])
    # A new repository, a new set, and a set of the host of which nothing is there.
    new, later = BackupSet("new", (str(scene.data),)), BackupSet("host", ("/not/there",), optional=True)
    assert run(scene.config(shop, new, later), [], 2, only_missing=True) == (True, [])
    assert [(call[0], call[call.index("--tag") + 1]) for call in scene.calls("backup")] == [
        ("one", "shop"),
        ("two", "shop"),
        ("one", "new"),
        ("two", "new"),
    ]
    # A repository that somebody removed is made again.
    (scene.path / "one" / "config").unlink()
    assert run(scene.config(shop, new, later), [], 2, only_missing=True) == (True, [])
    assert Status(scene.config()).repositories["one"]["recreated"]
    assert (scene.path / "log").read_text().count('"forget"') == 0


def test_missing_leaves_out_the_sets_of_others_and_those_that_were_refused(scene: SimpleNamespace) -> None:
    """Another inventory on the host has a set that cannot be saved."""
    shop, broken = BackupSet("shop", (str(scene.data),)), BackupSet("broken", (str(scene.path / "gone"),))
    config = scene.config(shop, broken, repositories=("one",))
    assert run(config, ["shop", "refused"], 2, only_missing=True) == (True, [])
    assert run(config, ["refused"], 2, only_missing=True) == (False, [])
    (reason, summary) = run(config, [], 2, only_missing=True)[1]
    assert reason.startswith("broken: ")
    assert summary == "not saved, or not everywhere: broken (of 1 sets)"


def test_a_repository_that_fails_holds_up_no_other(scene: SimpleNamespace) -> None:
    run(scene.config(), [], 2)
    (scene.path / "one" / "fail-unlock").write_text("1 Fatal: connection refused")
    changed, problems = run(scene.config(), [], 2)
    assert changed
    assert problems == [
        "restic unlock in one: Fatal: connection refused",
        "not saved, or not everywhere: shop (of 1 sets)",
    ]
    assert [call[0] for call in scene.calls("backup")] == ["one", "two", "two"]
    assert "connection refused" in Status(scene.config()).sets["shop"]["error"]


def test_a_failing_command_leaves_no_snapshot_and_the_last_commands_run(scene: SimpleNamespace) -> None:
    ended = scene.path / "ended"
    failing = BackupSet("shop", (str(scene.data),), before=("echo no dump; exit 3",), after=(f"touch {ended}",))
    other = BackupSet("wiki", (str(scene.data),))
    _changed, problems = run(scene.config(failing, other, repositories=("one",)), [], 2)
    assert problems == [
        "shop: `echo no dump; exit 3` (before) ended with 3: no dump",
        "not saved, or not everywhere: shop (of 2 sets)",
    ]
    assert [call[call.index("--tag") + 1] for call in scene.calls("backup")] == ["wiki"]
    assert ended.exists()


def test_a_wrong_password_is_told(scene: SimpleNamespace) -> None:
    run(scene.config(), [], 2)
    (scene.path / "one" / "fail-unlock").write_text("1 Fatal: wrong password or no key found")
    _changed, problems = run(scene.config(), [], 2)
    assert "was made with another password than the one in" in problems[0]


def test_another_password_is_refused_until_it_opens(scene: SimpleNamespace) -> None:
    config = scene.config(repositories=("one",))
    run(config, [], 2)
    validate(config)
    (scene.path / "password").write_text("other")
    (scene.path / "one" / "fail-cat").write_text("1 Fatal: wrong password or no key found")
    with pytest.raises(BackupError, match=r"was made with another password\. Put the old one back"):
        validate(config)
    (scene.path / "one" / "fail-cat").unlink()
    validate(config)
    (scene.path / "one" / "config").unlink()
    validate(config)


@pytest.mark.parametrize(
    ("there", "ok"), [(False, True), (True, False)], ids=["the file went away meanwhile", "the file could not be read"]
)
def test_an_incomplete_snapshot(scene: SimpleNamespace, there: bool, ok: bool) -> None:
    item = scene.data / "note" if there else scene.data / "gone"
    said = json.dumps({"message_type": "error", "during": "archival", "item": str(item), "error": {}})
    config = scene.config(repositories=("one",))
    run(config, [], 2)
    (scene.path / "one" / "fail-backup").write_text(f"3 {said}")
    _changed, problems = run(config, [], 2)
    assert (problems == []) == ok
    taken_back = [call for call in scene.calls("forget") if call[2:-1] == ["01234567"]]
    assert bool(taken_back) != ok


def test_long_lists_reach_restic_by_file(scene: SimpleNamespace) -> None:
    for number in range(300):
        database(scene.data / f"{number:0200}.db", rows=1)
    assert run(scene.config(repositories=("one",)), [], 2) == (True, [])
    ((*argv, lists),) = scene.calls("backup")
    assert len(" ".join(argv)) < 1000
    assert len(lists["--exclude-file"]) > 1200


class Hostile:
    """What a step of one set does to the program."""

    @staticmethod
    def unlisted(*_arguments: Any, **_options: Any) -> None:
        raise OSError(36, "File name too long")

    @staticmethod
    def wrong(*_arguments: Any, **_options: Any) -> None:
        raise RecursionError

    @staticmethod
    def slow(*_arguments: Any, **_options: Any) -> None:
        threading.Event().wait(600)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        (Hostile.unlisted, "preparing it: OSError: [Errno 36] File name too long"),
        (Hostile.wrong, "preparing it: RecursionError: "),
        (Hostile.slow, "preparing it took longer than 1 s, and was ended"),
    ],
)
def test_what_one_set_does_fails_that_set_alone(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, how: Any, error: str
) -> None:
    paths = (str(scene.data),)
    bad, good = BackupSet("bad", paths, timeout=1 if how is Hostile.slow else 60), BackupSet("good", paths)
    fill = Stage.fill

    def filling(stage: Any, seconds: float) -> None:
        if stage.item.name == "bad":
            how()
        fill(stage, seconds)

    monkeypatch.setattr(Stage, "fill", filling)
    config = scene.config(bad, good, repositories=("one",))
    _changed, problems = run(config, [], 2)
    assert problems == [f"bad: {error}", "not saved, or not everywhere: bad (of 2 sets)"]
    reported = report(Status(config))["sets"]
    assert (reported["bad"]["error"], reported["good"]["error"]) == (error, None)
    assert reported["bad"]["attempted"]
    assert reported["good"]["snapshot"] == "01234567"


def test_a_command_that_hangs_is_ended_with_what_it_started(scene: SimpleNamespace) -> None:
    paths, pid = (str(scene.data),), scene.path / "pid"

    def back_up(seconds: float) -> None:
        (scene.path / "log").unlink(missing_ok=True)
        limit = math.ceil(seconds)
        hanging = BackupSet("bad", paths, before=(f"sleep 600 & echo $! > {pid}; wait",), timeout=limit)
        config = scene.config(hanging, BackupSet("good", paths), repositories=("one",))
        _changed, problems = run(config, [], 2)
        assert problems[0] == f"bad: preparing it took longer than {limit} s, and was ended"
        assert [call[call.index("--tag") + 1] for call in scene.calls("backup")] == ["good"]

    started = int(written_by(pid, back_up))
    wait_until(lambda: has_ended(started))
