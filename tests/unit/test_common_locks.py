"""Locks of root's programs: one holder at a time, and out of reach of every other account."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.locks import BusyError, locked


def test_no_other_account_can_open_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "run/groundwork/certificate/lock"
    with locked(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.parent.parent.stat().st_mode & 0o777 == 0o755


def test_modes_that_are_too_wide_are_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "certificate/lock"
    path.parent.mkdir()
    path.parent.chmod(0o755)
    path.touch()
    path.chmod(0o644)
    with locked(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_second_holder_waits_and_gives_up(tmp_path: Path) -> None:
    path = tmp_path / "certificate/lock"
    with locked(path):
        began = time.monotonic()
        with pytest.raises(BusyError), locked(path, 0.3):
            pytest.fail("the lock has two holders")
        assert time.monotonic() - began >= 0.3
    with locked(path):
        pass


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "certificate").mkdir()
    (tmp_path / "certificate/lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"), locked(tmp_path / "certificate/lock"):
        pass
    assert not (tmp_path / "victim").exists()
    (tmp_path / "linked").symlink_to(tmp_path / "certificate")
    with pytest.raises(OSError, match="Not a directory"), locked(tmp_path / "linked/lock"):
        pass


def test_a_directory_of_another_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="does not belong to root"), locked(tmp_path / "certificate/lock"):
        pass
