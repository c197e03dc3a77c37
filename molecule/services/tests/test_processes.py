"""Workers of four libraries: what becomes of their jobs at a switch, a rollback, a refused release and a kill."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import services
import testing
from testinfra.host import Host
from testing import on_host

FULL = os.environ.get("TEST_FULL") == "1"
APP = "queues"
LIBRARIES = ("rq", "celery", "dramatiq", "huey")
JOBS = f"{on_host('data', APP)}/jobs"


@pytest.fixture(scope="module", autouse=True)
def deployed(host: Host) -> None:
    deploy(host, version="1")


@pytest.fixture
def _fed(host: Host) -> Iterator[None]:
    """Each library gets a job of three seconds every two seconds, from outside of the releases."""
    feed(host, LIBRARIES, seconds=3, every=2)
    yield
    host.run(f"systemctl stop feed; rm -f {JOBS}.enough")


@pytest.fixture
def release_jobs(host: Host) -> Iterator[Callable[[], object]]:
    """Jobs go on until this is called, however long what is done meanwhile takes."""
    host.check_output("touch %s", f"{JOBS}.hold")

    def release_them() -> object:
        return host.check_output("rm -f %s", f"{JOBS}.hold")

    yield release_them
    release_them()


def deploy(host: Host, **variables: Any) -> str:
    """Deploy another version; what the play said."""
    done = testing.play(host, "queues.yml", **variables)
    said = testing.said(done)
    assert (done.returncode == 0) is ("broken" not in variables), said[-3000:]
    return str(said)


def feed(host: Host, libraries: tuple[str, ...], seconds: float, every: float, count: int = 10_000) -> None:
    """Give jobs to libraries beside the test."""
    host.run(f"systemctl stop feed; rm -f {JOBS} {JOBS}.enough")
    program = f"import queues; queues.feed({','.join(libraries)!r}, {seconds}, {every}, {count})"
    host.check_output("systemd-run --quiet --collect --unit=feed /usr/local/bin/queues run python -c %s", program)
    assert testing.poll(lambda: runs(host), 120)


def runs(host: Host) -> dict[str, dict[str, list[str]]]:
    """What was noted of each job, by library and number."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in host.run("cat %s", JOBS).stdout.splitlines():
        library, number, what, _release = line.split()
        found[library][number].append(what)
    return found


def ended(host: Host) -> dict[str, dict[str, list[str]]]:
    """The same, when no more jobs are sent and each has ended, or ten minutes are over, for some may be queued."""
    host.check_output("touch %s", f"{JOBS}.enough")
    assert testing.poll(lambda: host.run("systemctl is-active feed").stdout.strip() == "inactive", 120)
    testing.poll(lambda: all("end" in notes for jobs in runs(host).values() for notes in jobs.values()), 600, 1)
    return runs(host)


def lost_and_twice(found: dict[str, dict[str, list[str]]]) -> dict[str, tuple[int, int]]:
    """How many jobs of each library did not end, and how many began more than once."""
    return {
        library: (
            sum("end" not in notes for notes in jobs.values()),
            sum(notes.count("begin") > 1 for notes in jobs.values()),
        )
        for library, jobs in found.items()
    }


def running(host: Host) -> dict[str, str]:
    """The units of processes of all releases, and their states."""
    return {
        name: state for name, state in services.units(host, APP).items() if name.startswith(f"{APP}.") and "@" in name
    }


def gone(host: Host, release: str) -> bool:
    """Whether no process of a release runs any more, when it has had the time to end its jobs."""

    def none() -> bool:
        return not [name for name, state in running(host).items() if release in name and state != "inactive"]

    return testing.poll(none, 180)


def shown(host: Host) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(host.check_output("queues processes --json"))
    return found


def test_a_process_is_confined_as_the_server_is(host: Host) -> None:
    release = testing.live(host, APP)
    for unit in (f"{APP}@{release}.service", *services.process_units(host, APP, "rq")):
        said = host.run("systemd-analyze security --no-pager %s", unit).stdout
        assert float(re.findall(r"exposure level for \S+: ([\d.]+)", said)[0]) <= 1.1, said
    for library in LIBRARIES:
        (unit,) = services.process_units(host, APP, library)
        signal = "2" if library == "huey" else "15"
        wanted = {"KillMode": "mixed", "KillSignal": signal, "User": APP, "TimeoutStopUSec": "10min"}
        assert services.show(host, unit, *wanted) == wanted
        main = services.show(host, unit, "MainPID")["MainPID"]
        assert "python" in host.check_output("readlink /proc/%s/exe", main), "no shell is in the way of a signal"


@pytest.mark.usefixtures("_fed")
def test_switches_and_a_rollback_lose_no_job(host: Host) -> None:
    for version in ("2", "3", "4") if FULL else ("2",):
        before = testing.live(host, APP)
        deploy(host, version=version)
        assert testing.live(host, APP) != before
        assert {row["process"] for row in shown(host)} >= {"web", *LIBRARIES}
        assert gone(host, before), running(host)
    after = testing.live(host, APP)
    host.check_output("queues rollback")
    assert testing.live(host, APP) == before
    assert gone(host, after), running(host)
    found = ended(host)
    assert {library: len(jobs) > 5 for library, jobs in found.items()} == dict.fromkeys(LIBRARIES, True)
    assert lost_and_twice(found) == dict.fromkeys(LIBRARIES, (0, 0))


def test_a_rollback_does_not_wait_for_a_job_of_the_release_it_goes_to(
    host: Host, release_jobs: Callable[[], object]
) -> None:
    old = testing.live(host, APP)
    feed(host, ("rq",), seconds=0, every=1, count=1)
    assert testing.poll(lambda: "begin" in runs(host)["rq"]["0"], 60)
    host.check_output("queues rollback %s", next(row for row in kept(host) if row != old))
    (worker,) = [name for name, state in running(host).items() if old in name and ".rq@" in name]
    assert services.show(host, worker, "ActiveState")["ActiveState"] == "deactivating"
    said = host.check_output("queues rollback %s", old)
    assert f"{worker} finishes its job first, and starts again after that" in said
    assert runs(host)["rq"]["0"].count("end") == 0
    release_jobs()
    assert lost_and_twice(ended(host)) == {"rq": (0, 0)}
    assert testing.poll(lambda: services.show(host, worker, "ActiveState")["ActiveState"] == "active", 120)


def kept(host: Host) -> list[str]:
    """The releases that may go live again, newest first."""
    rows = json.loads(host.check_output("queues releases --json"))
    return [row["release"] for row in rows if row["kept"] and row["state"] != "bad"]


def test_a_worker_that_cannot_start_is_refused_and_the_old_ones_go_on(host: Host) -> None:
    old = testing.live(host, APP)
    assert testing.poll(lambda: all(row["state"] == "active" for row in shown(host)), 120), shown(host)
    before = {name: services.show(host, name, "MainPID") for name in running(host) if old in name}
    said = deploy(host, version="9", broken="nothing")
    assert re.search(r"queues\.huey@\w+\.service does not stay up: it (is|ended)", said), said[-3000:]
    assert "nothing" in said, "its journal says what it did not find"
    assert testing.live(host, APP) == old
    assert {name: services.show(host, name, "MainPID") for name in before} == before


def test_a_process_is_restarted_when_its_job_is_done(host: Host, release_jobs: Callable[[], object]) -> None:
    feed(host, ("dramatiq",), seconds=0, every=1, count=1)
    assert testing.poll(lambda: "begin" in runs(host)["dramatiq"]["0"], 60)
    (unit,) = services.process_units(host, APP, "dramatiq")
    before = services.show(host, unit, "MainPID")
    said = host.check_output("queues restart dramatiq")
    assert "finishes its job first" in said
    assert services.show(host, unit, "MainPID") == before
    release_jobs()
    assert lost_and_twice(ended(host)) == {"dramatiq": (0, 0)}
    assert testing.poll(lambda: services.show(host, unit, "ActiveState")["ActiveState"] == "active", 120)
    assert services.show(host, unit, "MainPID") != before
    refused = host.run("queues restart nothing")
    assert refused.rc == 1
    assert "'nothing' is no process of queues; it has web, rq, celery, dramatiq, huey" in refused.stderr


@pytest.mark.full
def test_a_kill_takes_what_the_library_has_not_secured(host: Host, release_jobs: Callable[[], object]) -> None:
    """Celery with late acknowledgement brings its jobs back; RQ with Retry when a worker of it starts."""
    feed(host, (*LIBRARIES, "late"), seconds=2, every=0.5, count=6)
    assert testing.poll(lambda: all("begin" in runs(host)[library]["0"] for library in (*LIBRARIES, "late")), 120)
    host.check_output(f"systemctl kill --kill-whom=all --signal=KILL '{APP}.*@{testing.live(host, APP)}.service'")
    release_jobs()
    assert testing.poll(lambda: all(row["state"] == "active" for row in shown(host)), 120)
    testing.poll(lambda: not lost_and_twice(runs(host))["late"][0], 300, 2)
    host.check_output("queues restart rq")
    testing.poll(lambda: not lost_and_twice(runs(host))["rq"][0], 180, 2)
    found = lost_and_twice(runs(host))
    print(f"library: (not done, run twice): {found}")
    assert (found["late"][0], found["rq"][0]) == (0, 0)
    assert sum(twice for _lost, twice in found.values()) > 0, "what is not lost is run again"


def test_nothing_of_it_is_left_after_its_removal(host: Host) -> None:
    host.run("systemctl stop feed")
    done = testing.play(host, "remove.yml", app=APP)
    assert done.returncode == 0, testing.said(done)[-3000:]
    assert host.check_output("find /etc/systemd/system -name 'queues*' ! -type d") == ""
    assert host.run("pgrep --uid queues --full rq\\|celery\\|dramatiq\\|huey").stdout == ""
