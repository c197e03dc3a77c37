"""Jobs on a schedule: no overlap, what was missed, a switch while one runs, failures, and their end."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import services
import testing
from testinfra.host import Host
from testing import on_host

APP = "timed"
DATA = on_host("data", APP)
STAMPS = "/var/lib/systemd/timers"


@pytest.fixture(scope="module")
def far(host: Host) -> str:
    """A schedule, once a day, whose time is half a day off."""
    return f"*-*-* {(int(host.check_output('date +%H')) + 12) % 24:02}:30"


@pytest.fixture(scope="module", autouse=True)
def deployed(host: Host, far: str) -> None:
    deploy(host, "1", far)


def deploy(host: Host, version: str, far: str) -> str:
    """Deploy another version; what the play said."""
    done = testing.play(host, "timed.yml", version=version, far=far)
    assert done.returncode == 0, testing.said(done)[-3000:]
    return str(testing.said(done))


def jobs(host: Host) -> dict[str, dict[str, Any]]:
    """How they fared, by name."""
    return {row["job"]: row for row in json.loads(host.check_output(f"{APP} jobs --json"))}


def release(host: Host) -> str:
    return Path(host.check_output("readlink %s", on_host("current", APP))).name


def state(host: Host, unit: str) -> str:
    return str(services.show(host, unit, "ActiveState")["ActiveState"])


def test_a_job_is_confined_as_the_server_is(host: Host) -> None:
    exposure = host.check_output(f"systemd-analyze security {APP}.late.service").splitlines()[-1]
    assert "exposure level for timed.late.service: 1.1" in exposure
    unit = f"/etc/systemd/system/{APP}.late.service"
    assert (host.file(unit).user, host.file(unit).mode) == ("root", 0o644)


def test_a_job_of_twelve_seconds_on_a_schedule_of_five_never_overlaps(host: Host) -> None:
    def runs() -> list[tuple[str, float]]:
        lines = [line.split() for line in host.run("cat %s", f"{DATA}/slow").stdout.splitlines()]
        return [(what, float(when)) for what, when in lines]

    assert testing.poll(lambda: len(runs()) >= 5, seconds=180, pause=1)
    found = runs()
    assert [what for what, _when in found] == (["start", "end"] * len(found))[: len(found)]
    waits = [after - before for (what, before), (_what, after) in pairwise(found) if what == "end"]
    assert max(waits) < 30, "the next one begins when the last has ended"
    host.check_output(f"systemctl stop {APP}.slow.timer {APP}.slow.service")


def test_a_run_that_was_missed_is_made_up_for_once(host: Host) -> None:
    assert not host.file(f"{DATA}/late").exists, "the first start of a timer is no run"
    timer = f"{APP}.late.timer"
    host.check_output(f"systemctl stop {timer}; touch -d '3 days ago' {STAMPS}/stamp-{timer}; systemctl start {timer}")
    assert testing.poll(lambda: host.file(f"{DATA}/late").exists)
    assert testing.poll(lambda: state(host, f"{APP}.late.service") == "inactive")
    assert host.file(f"{DATA}/late").content_string == f"{release(host)}\n"


def test_one_run_now_shows_its_output_and_ends_as_it_does(host: Host) -> None:
    done = host.run(f"{APP} jobs run broken")
    assert (done.rc, done.stdout) == (3, "about to fail\nbroken of timed: exit status 3\n")
    assert host.run(f"{APP} jobs run hang").rc == 124
    found = jobs(host)
    assert (found["broken"]["result"], found["hang"]["result"]) == ("exit status 3", "ended after its timeout")
    assert 2 <= found["hang"]["took"] < 100, "it is ended long before its 600 seconds are over"
    assert found["broken"]["next"]


def test_a_run_that_a_switch_overtakes_ends_on_the_code_that_it_began_with(host: Host, far: str) -> None:
    """The release stays, although one alone is kept; failures are warnings of the run, and a rerun starts timers."""
    before = release(host)
    host.check_output(f"systemctl start {APP}.long.service")
    refused = host.run(f"{APP} jobs run long")
    assert refused.rc == 1
    assert "long of timed runs already" in refused.stderr
    said = deploy(host, "2", far)
    after = release(host)
    assert before != after
    assert "the job broken failed at " in said
    assert state(host, f"{APP}.slow.timer") == "active"
    assert state(host, f"{APP}.long.service") == "active"
    host.check_output(f"touch {DATA}/enough")
    assert testing.poll(lambda: state(host, f"{APP}.long.service") == "inactive", seconds=60)
    log = f"journalctl --namespace={APP} --unit={APP}.long --output=cat"
    assert testing.poll(lambda: f"begins in {before}\nends in {before}" in host.check_output(log))
    assert host.file(f"{on_host('releases', APP)}/{before}").is_directory


def test_nothing_of_it_runs_while_it_is_paused(host: Host) -> None:
    unit = f"{APP}@{release(host)}.service"
    host.check_output(f"systemd-run --quiet --unit=pausing sh -c 'sleep 1000 | {on_host('programs')}/app {APP} pause'")
    assert testing.poll(lambda: state(host, unit) == "inactive", seconds=180)
    assert testing.poll(lambda: f"a pause of {APP}" in host.check_output(f"{APP} status"))
    assert state(host, f"{APP}.slow.timer") == "inactive"
    assert state(host, f"{APP}.slow.service") in ("inactive", "failed")
    host.check_output("systemctl kill --signal=KILL pausing")
    assert testing.poll(lambda: state(host, unit) == "active", 120), "who asked for it was killed"
    assert testing.poll(lambda: state(host, f"{APP}.slow.timer") == "active", 120)
    host.check_output("systemctl reset-failed pausing")


def test_nothing_of_them_is_left_after_a_removal(host: Host) -> None:
    done = testing.play(host, "remove.yml", app=APP)
    assert done.returncode == 0, testing.said(done)[-3000:]
    assert host.check_output(f"find /etc/systemd/system {STAMPS} -name '*{APP}*' ! -type d") == ""
    assert host.run(f"pgrep --uid {APP}").stdout == ""
