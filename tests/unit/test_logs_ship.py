"""What hands batches to the command of the user."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.logs import delivery, ship
from ansible_collections.groundwork.flask.plugins.module_utils.logs.batch import Batch
from ansible_collections.groundwork.flask.tests.unit.patience import has_ended, wait_until, written_by
from ansible_collections.groundwork.flask.tests.unit.test_logs_batch import CURSOR, entry


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("cat >/dev/null", ""),
        ("true", ""),  # it need not read
        ("exit 7", "exit status 7"),
        ("printf 'no\\nroute\\033[2J' >&2; exit 1", "exit status 1: no route\\x1b[2J"),
        ("head -c 3000000 /dev/zero | tr '\\0' x >&2; kill -9 $$", "exit status -9: xxx"),
    ],
)
def test_a_batch_is_delivered_if_the_command_exits_with_0(command: str, reason: str) -> None:
    said = delivery.deliver(command, b"x" * 1_000_000, {"PATH": "/usr/bin:/bin"})
    assert said.startswith(reason) if "x" in reason[-1:] else said == reason
    assert len(said) < 250


def test_a_command_that_hangs_is_ended_with_what_it_has_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"

    def deliver(seconds: float) -> None:
        monkeypatch.setattr(delivery, "SECONDS", seconds)
        said = delivery.deliver(f"sleep 600 & echo $! > {pid}; sleep 600", b"", {"PATH": "/usr/bin:/bin"})
        assert said == f"it took more than {seconds:.0f} s"

    started = int(written_by(pid, deliver))
    wait_until(lambda: has_ended(started))


def shipper(tmp_path: Path, command: str) -> ship.Shipper:
    return ship.Shipper("shop", command, ship.Cursor(tmp_path / "cursor"))


def batch() -> Batch:
    found = Batch()
    found.add([entry("hello") + b"\n"])
    return found


def test_the_cursor_is_kept_once_the_command_has_taken_the_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = shipper(tmp_path, f"test -e {tmp_path}/up && cat >{tmp_path}/got")
    assert not one.hand_over(batch())
    assert not one.hand_over(batch())
    assert one.cursor.read() == ""
    assert capsys.readouterr().err.count("The command that ships the journal of shop has failed (exit status 1)") == 1
    (tmp_path / "up").touch()
    assert one.hand_over(batch())
    assert one.cursor.read() == CURSOR
    assert (tmp_path / "got").read_bytes() == entry("hello") + b"\n"
    assert "is shipped again" in capsys.readouterr().err


def test_a_cursor_that_journalctl_would_not_take_counts_as_none(tmp_path: Path) -> None:
    cursor = ship.Cursor(tmp_path / "cursor")
    cursor.file.write_text("s=1;--output=cat\n")
    assert cursor.read() == ""


def test_it_says_that_it_is_ready_when_it_knows_where_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a line that is logged right after its start might count as one from before."""
    one, order = shipper(tmp_path, "true"), list[str]()

    def notify(text: str) -> None:
        order.append(text.split()[0])
        one.stop.set()

    monkeypatch.setattr(signal, "signal", lambda *_given: None)
    monkeypatch.setattr(ship, "notify", notify)
    monkeypatch.setattr(ship.Shipper, "begin_now", lambda _self: order.append("begin"))
    one.run()
    assert order == ["begin", "READY=1"]
