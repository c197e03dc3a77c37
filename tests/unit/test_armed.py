"""Armed changes on the host: who has the say, the timer or the confirmation, and what is said of it."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import armed as armed_module
from ansible_collections.groundwork.flask.plugins.module_utils.armed import Armed, ArmedError, carry_out

APPLY, CONFIRM = ["/bin/apply"], ["/bin/confirm"]


class Host:
    """Runs the revert's script for real; of everything else it notes that it was run.

    :ivar states: what systemctl says of the timer and its service, one answer after the other.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[list[str]] = []
        self.states: list[str] = []
        self.failing: set[str] = set()

    def run(self, argv: Sequence[str], _seconds: float | None) -> subprocess.CompletedProcess[str]:
        """Run a program, or act as if."""
        self.calls.append(list(argv))
        if argv[0] == "/bin/sh":
            return subprocess.run(argv, capture_output=True, text=True, check=False)
        out = self.states.pop(0) if "show" in argv and self.states else ""
        status = int(argv[0] in self.failing)
        return subprocess.CompletedProcess(list(argv), status, out, "it does not work" if status else "")

    def programs(self) -> list[str]:
        """What was run, each by its name, but for looks."""
        return [Path(argv[0]).name for argv in self.calls if "show" not in argv]

    def armed(self, serial: str = "one") -> Armed:
        """An attempt."""
        return Armed("trial", serial, self.run, self.root)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose clocks do not make the tests wait."""
    monkeypatch.setattr(armed_module, "STEP", 0)
    return Host(tmp_path / "armed")


def begin(host: Host, revert: Sequence[str] = ("true",), serial: str = "one") -> Armed:
    """An attempt that is applied."""
    attempt = host.armed(serial)
    attempt.begin(APPLY, revert, 30)
    return attempt


def let_the_timer_fire(attempt: Armed) -> None:
    """What the timer runs."""
    subprocess.run(["/bin/sh", str(attempt.file("revert"))], check=True)


def test_the_timer_is_armed_before_the_change_and_stopped_before_it_is_made_permanent(host: Host) -> None:
    attempt = begin(host)
    assert attempt.confirm(CONFIRM) == "confirmed"
    assert host.programs() == ["systemd-run", "apply", "systemctl", "confirm"]
    run = next(argv for argv in host.calls if argv[0].endswith("systemd-run"))
    assert {"--unit=groundwork-trial-revert", "--on-active=30", "--timer-property=AccuracySec=100ms"} <= set(run)
    assert run[-2:] == ["/bin/sh", str(attempt.file("revert"))]


def test_a_confirmed_change_is_not_reverted_by_a_timer_that_fires_late(host: Host, tmp_path: Path) -> None:
    attempt = begin(host, ["touch", str(tmp_path / "reverted")])
    attempt.confirm(CONFIRM)
    let_the_timer_fire(attempt)
    assert not (tmp_path / "reverted").exists()


def test_a_confirmation_that_comes_too_late_changes_nothing(host: Host, tmp_path: Path) -> None:
    attempt = begin(host, ["touch", str(tmp_path / "it's reverted; $HOME")])
    let_the_timer_fire(attempt)
    assert (tmp_path / "it's reverted; $HOME").exists()
    assert attempt.confirm(CONFIRM) == "reverted"
    assert "confirm" not in host.programs()
    assert attempt.outcome(1) == "The host has put back what stood before; what it loads at boot is unchanged."


def test_a_confirmation_whose_answer_was_lost_may_come_again(host: Host) -> None:
    attempt = begin(host)
    assert [attempt.confirm(CONFIRM), attempt.confirm(CONFIRM)] == ["confirmed"] * 2


def test_an_attempt_that_never_reached_the_host_is_told_from_one_that_was_reverted(host: Host) -> None:
    assert host.armed().confirm(CONFIRM) == "absent"


def test_another_attempt_is_not_confirmed(host: Host) -> None:
    attempt = begin(host)
    assert host.armed("other").confirm(CONFIRM) == "absent"
    assert attempt.confirm(CONFIRM) == "confirmed"


def test_a_change_that_fails_is_reverted_at_once(host: Host, tmp_path: Path) -> None:
    host.failing = {"/bin/apply"}
    with pytest.raises(ArmedError, match=r"`/bin/apply` failed: it does not work\. The host has put back what stood"):
        begin(host, ["touch", str(tmp_path / "reverted")])
    assert (tmp_path / "reverted").exists()
    assert host.calls[-1][1:] == ["stop", "groundwork-trial-revert.timer"]


def test_a_change_cut_off_half_way_is_reverted_and_not_confirmed(host: Host, tmp_path: Path) -> None:
    attempt = begin(host, ["touch", str(tmp_path / "reverted")])
    attempt.file("applied").unlink()
    with pytest.raises(ArmedError, match="was not applied to its end"):
        attempt.confirm(CONFIRM)
    assert (tmp_path / "reverted").exists()


def test_without_a_timer_nothing_is_changed(host: Host) -> None:
    host.failing = {"/usr/bin/systemd-run"}
    with pytest.raises(ArmedError, match=r"could not be started: it does not work\. Nothing was changed\."):
        begin(host)
    assert host.programs() == ["systemd-run"]
    assert host.armed().confirm(CONFIRM) == "absent"


def test_what_cannot_be_made_permanent_says_that_a_reboot_takes_it_back(host: Host) -> None:
    host.failing = {"/bin/confirm"}
    attempt = begin(host)
    with pytest.raises(ArmedError, match="in force and lets connections in, but it is not permanent"):
        attempt.confirm(CONFIRM)


def test_a_revert_that_fails_is_told_with_what_it_printed(host: Host) -> None:
    attempt = begin(host, ["sh", "-c", "echo no such table >&2; exit 3"])
    let_the_timer_fire(attempt)
    assert "failed with status 3: no such table. What the host loads at boot is unchanged" in attempt.outcome(1)


def test_a_host_that_does_not_revert_is_not_waited_for_for_ever(host: Host) -> None:
    assert "is not known: look at `journalctl -u groundwork-trial-revert.service`" in begin(host).outcome(0.01)


def test_an_earlier_attempt_is_waited_for(host: Host) -> None:
    host.states = ["active\n\ninactive\n", "inactive\n\nactivating\n", "inactive\n\ninactive\n"]
    begin(host)
    assert not host.states


def test_an_earlier_attempt_that_does_not_end_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(armed_module, "WAIT_SECONDS", -1)
    host.states = ["active\n\ninactive\n"]
    with pytest.raises(ArmedError, match="of another run was still armed"):
        begin(host)
    assert host.programs() == []


def test_two_runs_at_the_same_moment_do_not_take_each_other_s_files_for_left_ones(host: Host) -> None:
    """Each looks whether a timer is armed, then arms its own: nothing may come between."""
    inside, order = threading.Event(), list[str]()

    def run(argv: Sequence[str], _seconds: float | None) -> subprocess.CompletedProcess[str]:
        if "show" not in argv:
            order.append(argv[-1])
            inside.set()
        return subprocess.CompletedProcess(list(argv), 0, "inactive\n\ninactive\n", "")

    with host.armed().alone():
        other = threading.Thread(target=Armed("trial", "two", run, host.root).begin, args=(["two"], ["true"], 30))
        other.start()
        assert not inside.wait(0.3)
        assert order == []
    other.join(60)
    assert order[-1] == "two"


def test_a_run_that_was_slower_waits_for_the_one_that_was_faster(host: Host) -> None:
    """No timer when it looks, one when it has the lock, none at last."""
    host.states = ["", "active\n\ninactive\n", "active\n\ninactive\n", "", ""]
    begin(host)
    assert not host.states


def test_applying_ends_before_the_timer_reverts(host: Host) -> None:
    limits: dict[str, float | None] = {}
    plain = host.run

    def run(argv: Sequence[str], seconds: float | None) -> subprocess.CompletedProcess[str]:
        limits[argv[0]] = seconds
        return plain(argv, seconds)

    Armed("trial", "one", run, host.root).begin(APPLY, ["true"], 30)
    assert limits[APPLY[0]] == 20


def test_files_of_old_attempts_go_and_those_of_the_last_minutes_stay(host: Host) -> None:
    first = begin(host)
    let_the_timer_fire(first)
    begin(host, serial="two")
    assert first.outcome(1).startswith("The host has put back")
    stale = host.armed("stale").file("pending")
    stale.touch()
    first.file("output").touch()
    os.utime(first.file("output"), (0, time.time() - 3600))
    begin(host, serial="three")
    assert not stale.exists()
    assert not first.file("output").exists()
    assert first.file("reverted").exists()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("begin", {"changed": True, "state": "pending"}),
        ("all", {"changed": True, "state": "confirmed"}),
        ("confirm", {"changed": True, "state": "absent"}),
    ],
)
def test_the_steps_of_the_module(host: Host, step: str, expected: dict[str, Any]) -> None:
    options = {"apply": APPLY, "revert": ["true"], "confirm": CONFIRM, "seconds": 30}
    assert carry_out(step, options, host.armed()) == expected
