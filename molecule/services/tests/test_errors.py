"""An exception in a job of each of the four libraries reaches the error tracker, with its release."""

from __future__ import annotations

import inspect
import json
from typing import Any

import error_tracker
import pytest
import testing
from testinfra.host import Host
from testing import on_host

EVENTS = "/run/error-tracker.events"
PORT = 9555
DSN = f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{PORT}/1"
# What each library calls the job.
JOBS = {"rq": "queues.work", "celery": "queues.on_celery", "dramatiq": "on_dramatiq", "huey": "on_huey"}

pytestmark = pytest.mark.full


def test_an_exception_in_a_job_of_each_library_arrives(host: Host) -> None:
    program = inspect.getsource(error_tracker)
    host.check_output(
        "systemd-run --quiet --collect --unit=error-tracker python3 -c %s %s %s", program, str(PORT), EVENTS
    )
    try:
        done = testing.play(host, "queues.yml", version="errors", dsn=DSN)
        assert done.returncode == 0, testing.said(done)[-3000:]
        release = host.check_output("basename $(readlink %s)", on_host("current", "queues"))
        # Nobody can sleep for less than no time.
        fail = f"import queues; queues.feed({','.join(JOBS)!r}, -1, 0, 1)"
        host.check_output("rm -f %s; queues run python -c %s", f"{on_host('data', 'queues')}/jobs.enough", fail)
        testing.poll(lambda: {event.get("transaction") for event in events(host)} >= set(JOBS.values()), 180)
        found = events(host)
        assert {event["transaction"] for event in found} >= set(JOBS.values())
        assert {event["release"] for event in found} == {f"queues@{release}"}
        assert {event["exception"]["values"][0]["type"] for event in found} == {"ValueError"}
    finally:
        host.run("systemctl stop error-tracker; rm -f %s", EVENTS)


def events(host: Host) -> list[dict[str, Any]]:
    """The events that have arrived; not the counts of sessions that the web server sends each minute."""
    lines = host.run("cat %s", EVENTS).stdout.splitlines(keepends=True)
    items = [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be half written
    return [item for item in items if item["item"] == "event"]
