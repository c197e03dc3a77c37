"""What the programs on the host share: files of root's and points in time."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import clock, files


def test_write_replaces_a_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    (tmp_path / ".key.groundwork.new").write_text("left by a killed run")
    files.write(path, "néw", 0o640)
    assert path.read_bytes() == "néw".encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["key"]


def test_a_failed_write_keeps_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    path.write_text("old")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, b"new", 0o600)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["key"]


def test_write_leaves_the_temporary_files_of_other_programs_alone(tmp_path: Path) -> None:
    (tmp_path / ".key.new").write_text("an editor's")
    files.write(tmp_path / "key", "new", 0o600)
    assert (tmp_path / ".key.new").read_text() == "an editor's"


def test_write_follows_no_link_that_waits_under_its_temporary_name(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".key.groundwork.new").symlink_to(victim)
    files.write(tmp_path / "key", "new", 0o600)
    assert victim.read_text() == "mine"


def test_read_json(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert files.read_json(path) == {}
    path.write_text('{"a": 1}')
    assert files.read_json(path) == {"a": 1}
    path.write_text("[1]")
    with pytest.raises(ValueError, match="does not hold a JSON object"):
        files.read_json(path)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2027-02-10T16:20:00Z", 1802276400),
        ("2027-02-10T17:20:00+01:00", 1802276400),
        ("2027-02-10T16:20:00\n", 1802276400),
        ("", 0),
        ("yesterday", 0),
    ],
)
def test_parse(text: str, at: float) -> None:
    assert clock.parse(text) == at


def test_a_time_is_written_as_it_is_read() -> None:
    assert clock.timestamp(1802276400) == "2027-02-10T16:20:00Z"
    assert clock.date(1802276400) == "2027-02-10"
    assert clock.parse(clock.timestamp()) > 1_700_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T16:14:14.835636626Z", datetime(2026, 11, 23, 16, 14, 14, 835636, UTC)),
        ("2026-11-23T16:14:14.5+02:00", datetime(2026, 11, 23, 14, 14, 14, 500000, UTC)),
        ("2026-11-23T16:14:14+00:00", datetime(2026, 11, 23, 16, 14, 14, 0, UTC)),
        ("2026-11-23T16:14:14Z", datetime(2026, 11, 23, 16, 14, 14, 0, UTC)),
    ],
)
def test_a_time_is_read_with_any_fraction_and_zone(text: str, expected: datetime) -> None:
    assert clock.parse(text) == expected.timestamp()
