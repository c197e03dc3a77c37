"""A step of the backup is a transient unit that ends with the backup, and is stopped when the backup is interrupted."""

from __future__ import annotations

import pwd
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import steps
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import plain_argv


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The argument vectors of what is started, which prints "done" and ends with 3."""
    found: list[list[str]] = []

    def run(argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        found.append(list(argv))
        return subprocess.CompletedProcess(argv, 3, "done", "")

    monkeypatch.setattr(programs, "run", run)
    return found


@pytest.mark.parametrize("unit", ["groundwork-backup.service", ""])
def test_a_step_has_its_sandbox_and_ends_with_the_backup(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    monkeypatch.setattr(steps, "own_unit", lambda: unit)
    assert steps.in_unit(("/bin/sh", "-c", "echo $HOME"), [("User", "shop")], 10) == (3, "done")
    (argv,) = started
    assert argv[0] == "/usr/bin/systemd-run"
    assert {"--pipe", "--wait", "--collect", "User=shop", "RuntimeMaxSec=70"} <= set(argv)
    assert (f"BindsTo={unit}" in argv) == bool(unit)
    assert argv[argv.index("--") + 1 :] == plain_argv(("/bin/sh", "-c", "echo $HOME"))


def test_a_step_that_is_interrupted_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], **_options: Any) -> None:
        asked.append(argv)
        if len(asked) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(programs, "run", run)
    with pytest.raises(KeyboardInterrupt):
        steps.in_unit(("/bin/true",), [], 10)
    (name,) = [word.removeprefix("--unit=") for word in asked[0] if word.startswith("--unit=")]
    assert asked[1] == ("/usr/bin/systemctl", "stop", name)


def test_the_account_of_a_step() -> None:
    assert ("User", "nobody") in steps.account(65534, 65534)
    assert ("CapabilityBoundingSet", "") in steps.account(65534, 65534)
    unknown = next(uid for uid in range(40000, 50000) if uid not in {entry.pw_uid for entry in pwd.getpwall()})
    assert [("User", str(unknown)), ("Group", "7")] == steps.account(unknown, 7)[:2]
    assert [name for name, _value in steps.account(0, 0)] == ["CapabilityBoundingSet"]


def test_a_path_is_one_word_of_a_directive() -> None:
    assert steps.quoted('/a b"c\\d') == '"/a b\\"c\\\\d"'


def test_a_unit_that_cannot_be_read(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.exists", lambda _path: True)
    with pytest.raises(BackupError, match=r"systemctl cat nobody-there@\.service: done"):
        steps.unit_sandbox("nobody-there")
    assert started == [["/usr/bin/systemctl", "cat", "nobody-there@none.service"]]
