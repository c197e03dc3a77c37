"""How root's programs are run: with a fixed environment, within their time, and with bounded output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE, has_ended, wait_until, written_by

SH = "/bin/sh"


def test_what_is_started_gets_a_fixed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", on_host("home", "shop"))
    lines = programs.run(["/usr/bin/env"]).stdout.splitlines()
    assert dict(row.split("=", 1) for row in lines) == dict(programs.ENVIRONMENT)
    assert programs.run(["/usr/bin/env"], environment={"A": "1"}).stdout == "A=1\n"
    assert programs.run(["/usr/bin/pwd"]).stdout == "/\n"


def test_the_status_and_both_streams_are_returned() -> None:
    done = programs.run([SH, "-c", "printf out; printf err >&2; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "out", "err")
    merged = programs.run([SH, "-c", "printf 1; printf 2 >&2; printf 3"], merge=True)
    assert (merged.stdout, merged.stderr) == ("123", "")


def test_a_payload_is_the_standard_input() -> None:
    payload = b"x" * 3_000_000
    assert programs.run(["/usr/bin/wc", "-c"], payload=payload).stdout.strip() == "3000000"
    assert programs.run(["/bin/cat"]).stdout == ""


def test_of_a_long_output_the_end_is_kept() -> None:
    done = programs.run([SH, "-c", "head -c 3000000 /dev/zero; printf end; printf err >&2"])
    assert (len(done.stdout), done.stdout[-3:], done.stderr) == (programs.OUTPUT_LIMIT, "end", "err")
    assert programs.run([SH, "-c", "printf 123456"], limit=3).stdout == "456"


def test_output_that_is_not_utf_8() -> None:
    argv = [SH, "-c", r"printf 'a\377'"]
    assert programs.run(argv).stdout == "a\ufffd"
    assert programs.run(argv, errors="surrogateescape").stdout == "a\udcff"


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        programs.run(["/usr/bin/no-such-program"])


def test_a_program_that_closes_its_output_is_waited_for() -> None:
    began = time.monotonic()
    done = programs.run([SH, "-c", "exec >&- 2>&-; sleep 0.5; exit 4"])
    assert done.returncode == 4
    assert time.monotonic() - began >= 0.5


def test_what_a_program_leaves_behind_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example a hook that starts a service, which inherits the hook's output."""
    monkeypatch.setattr(programs, "OUTPUT_GRACE", 0.2)
    pid = tmp_path / "pid"
    began = time.monotonic()
    done = programs.run([SH, "-c", f"(while :; do echo more; sleep 0.05; done) & echo $! > {pid}; echo done"])
    assert done.returncode == 0
    assert "done\n" in done.stdout
    assert time.monotonic() - began < PATIENCE
    os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("output", ["", "while :; do echo more; done &"])
def test_a_program_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path, output: str) -> None:
    pid = tmp_path / "pid"

    def run(seconds: float) -> None:
        with pytest.raises(subprocess.TimeoutExpired):
            programs.run([SH, "-c", f"{output} sleep 600 & echo $! > {pid}; wait"], seconds=seconds)

    started = int(written_by(pid, run))
    wait_until(lambda: has_ended(started))


def test_a_program_that_ignores_the_request_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SECONDS_TO_END", 0.2)
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run([SH, "-c", "trap '' TERM; while :; do sleep 0.1; done"], seconds=0.3)


def test_a_time_limit_around_it_ends_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    argv = [SH, "-c", f"echo $$ > {pid}; exec sleep 600"]

    def run(seconds: float) -> None:
        with pytest.raises(TimeoutError, match=f"more than {seconds:.0f} s"), programs.time_limit(seconds):
            programs.run(argv)

    def run_to_files(seconds: float) -> None:
        with pytest.raises(TimeoutError), programs.time_limit(seconds):
            programs.run_to_files(argv, tmp_path)

    for way in (run, run_to_files):
        started = int(written_by(pid, way))
        wait_until(lambda: has_ended(started))  # noqa: B023 - called before the next


def sleep_twice(seconds: float) -> None:
    """Sleep until a time limit of a block's own, then until that of the caller."""
    with contextlib.suppress(IndexError), programs.time_limit(seconds, IndexError()):
        time.sleep(5)
    time.sleep(5)


def test_of_nested_time_limits_the_shorter_counts() -> None:
    with pytest.raises(KeyError), programs.time_limit(0.2, KeyError()), programs.time_limit(60):
        time.sleep(5)
    with pytest.raises(KeyError), programs.time_limit(0.4, KeyError()):
        sleep_twice(0.2)
    with programs.time_limit(0):
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    with programs.time_limit(60):
        pass
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_time_that_is_up_as_the_block_ends_takes_no_limit_away(monkeypatch: pytest.MonkeyPatch) -> None:
    real = signal.setitimer

    def late(which: int, seconds: float, interval: float = 0.0) -> tuple[float, float]:
        if not seconds:
            signal.raise_signal(signal.SIGALRM)
        return real(which, seconds, interval)

    with contextlib.suppress(KeyError), programs.time_limit(60, KeyError()):
        before = signal.getsignal(signal.SIGALRM)
        monkeypatch.setattr(signal, "setitimer", late)
        with pytest.raises(IndexError), programs.time_limit(30, IndexError()):
            pass
        assert signal.getsignal(signal.SIGALRM) == before
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
        monkeypatch.undo()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_long_output_is_read_item_by_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """printf '{"a": 1}\\nno JSON\\n[1]\\n{"b": "\\377"}'; printf 'first\\nlast' >&2; exit 3"""
    done = programs.run_to_files([SH, "-c", script], tmp_path)
    assert done.returncode == 3
    assert list(done.objects(done.out)) == [{"a": 1}, {"b": "\udcff"}]
    assert done.stderr == "first\nlast"
    assert done.stdout.startswith('{"a": 1}\n')
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(programs, "ANSWER_LIMIT", 5)
    with pytest.raises(OSError, match="longer than 5 bytes"):
        str(done.stdout)
    monkeypatch.setattr(programs, "LINE_LIMIT", 4)
    assert done.stderr == "last"


def test_a_descriptor_and_a_preparation_are_handed_on(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w") as stream:
        done = programs.run_to_files(
            [SH, "-c", f"echo held > /proc/self/fd/{stream.fileno()}; umask"],
            tmp_path,
            pass_fds=[stream.fileno()],
            before=lambda: (os.umask(0o077), None)[1],
        )
    assert done.stdout.strip() == "0077"
    assert (tmp_path / "lock").read_text() == "held\n"


@pytest.mark.parametrize(
    ("script", "limit", "shown"),
    [
        ("printf out; printf 'err\\n' >&2; exit 1", 500, "err out"),
        ("printf '\\033[2J'", 500, "\\x1b[2J"),
        ("exit 3", 500, "exit status 3"),
        ("printf 123456", 5, "1234…"),
    ],
)
def test_explanation(script: str, limit: int, shown: str) -> None:
    assert programs.explanation(programs.run([SH, "-c", script]), limit) == shown
