"""Programs of root's, locks, and what an app can have printed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import units
from ansible_collections.groundwork.flask.plugins.module_utils.backup.cli import write_report
from ansible_collections.groundwork.flask.plugins.module_utils.backup.commands import shell
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import (
    BackupError,
    TimeLimitError,
    limited,
)
from ansible_collections.groundwork.flask.plugins.module_utils.backup.links import follow_no_link
from ansible_collections.groundwork.flask.plugins.module_utils.backup.report import report
from ansible_collections.groundwork.flask.plugins.module_utils.backup.run import run
from ansible_collections.groundwork.flask.plugins.module_utils.backup.status import Status
from ansible_collections.groundwork.flask.plugins.module_utils.backup.units import stop
from ansible_collections.groundwork.flask.plugins.module_utils.common.locks import BusyError, locked
from ansible_collections.groundwork.flask.plugins.module_utils.common.programs import run_to_files
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import escaped
from ansible_collections.groundwork.flask.tests.unit.backup_host import as_root, damaged, database


def test_limits_in_each_other() -> None:
    def work() -> None:
        with limited(0.05, "outer"):
            with limited(60, "inner"):
                pass
            threading.Event().wait(60)

    with pytest.raises(TimeLimitError, match="outer"):
        work()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        ("one\nFAILED: two\r\t", "one\\nFAILED: two\\r\\t"),
        ("\x9b31m \u202e \udcff", "\\x9b31m \\u202e \\udcff"),
        ("größer 大 ✓", "größer 大 ✓"),
        ("x" * 5000, "x" * 999 + "…"),
    ],
)
def test_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert str(BackupError(text)) == shown


def test_the_name_of_a_file_does_nothing_to_a_terminal(
    scene: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged(scene.data / "\x1b[2J\nFAILED: wiki")
    config = scene.config(repositories=("one",))
    run(config, [], 2)
    write_report(report(Status(config)))
    (note,) = Status(config).sets["shop"]["warnings"]
    said = capsys.readouterr()
    for text in (note, said.out.replace("\n", ""), said.err.replace("\n", "")):
        assert "\\x1b[2J\\nFAILED: wiki" in text
        assert text.isprintable()


def test_programs_are_not_looked_up_where_an_app_could_put_them(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = scene.path / "planted"
    planted.mkdir()
    for name in ("restic", "sh", "rm", "cp", "systemctl", "systemd-run", "sleep", "env"):
        (planted / name).write_text(f"#!/bin/sh\necho {name} >> {scene.path}/hit\n")
        (planted / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{planted}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(planted))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(planted))
    monkeypatch.chdir(planted)
    database(scene.data / "app.db")
    command = "env; pwd; sleep 0; exit 1"
    shop = BackupSet("shop", (str(scene.data),))
    run(scene.config(shop), [], 2)
    with pytest.raises(BackupError) as told:
        shell(command, shop, "before", 60)
    assert not (scene.path / "hit").exists()
    assert str(planted) not in str(told.value)
    assert str(told.value).rstrip().endswith("\\n/")


@as_root
def test_nobody_can_hold_the_lock(tmp_path: Path) -> None:
    """Not even of an earlier version that made it for all to open."""
    tmp_path.chmod(0o755)
    lock = tmp_path / "run" / "backup.lock"
    lock.parent.mkdir(mode=0o755)
    lock.touch(mode=0o644)
    with locked(lock):
        pass
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX)"
    other = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(lock)],
        user=65534,
        group=65534,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in other.stderr
    assert (stat.S_IMODE(lock.parent.stat().st_mode), stat.S_IMODE(lock.stat().st_mode)) == (0o700, 0o600)


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "run" / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "lock"
    with locked(lock):
        code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = subprocess.run([sys.executable, "-c", code, str(lock)], capture_output=True, text=True, check=False)
        assert "BlockingIOError" in other.stderr
        with pytest.raises(BusyError), locked(lock):
            pass
    with locked(lock):
        pass


@as_root
def test_a_program_follows_no_link_below_what_others_can_change(tmp_path: Path) -> None:
    """An app exchanges a directory for a link while restic goes through it: no other's file is saved as the app's."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("foreign")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "d").symlink_to(tmp_path / "secret")
    key = str(tmp_path / "data" / "d" / "key")
    free = run_to_files(("/usr/bin/cat", key), tmp_path)
    bound = run_to_files(("/usr/bin/cat", key), tmp_path, before=lambda: follow_no_link([str(tmp_path / "data")]))
    assert (free.stdout, bound.stdout) == ("foreign", "")
    assert "Too many levels of symbolic links" in bound.stderr
    assert (tmp_path / "data" / "d").resolve() == tmp_path / "secret"  # for everybody else


def test_a_unit_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may ask systemd for ever more time (EXTEND_TIMEOUT_USEC)."""
    asked: list[tuple[str, ...]] = []

    def systemctl(*words: str) -> None:
        asked.append(words)
        if words[0] == "stop" and len(asked) == 1:
            signal.raise_signal(signal.SIGALRM)  # as when the time is up

    monkeypatch.setattr(units, "systemctl", systemctl)
    stop("shop@1.service")
    assert asked == [
        ("stop", "shop@1.service"),
        ("kill", "--signal=KILL", "shop@1.service"),
        ("stop", "shop@1.service"),
    ]
