# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``shop jobs``: how the jobs of an app fared, and one of them run now, through its unit."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

from ..common import clock
from ..common.programs import ENVIRONMENT
from ..common.systemd import JOURNALCTL, TIMED_OUT
from ..common.text import printable
from . import job_units
from .context import Context
from .job_runs import ENDED, outcome, seconds
from .jobs import Jobs

COLUMNS = ("job", "schedule", "last", "result", "took", "next")
VERBS = ("list", "run", "settle")
PROPERTIES = (
    "ActiveState",
    "Result",
    "ExecMainStatus",
    "ExecMainCode",
    "ExecMainStartTimestamp",
    "ExecMainExitTimestamp",
)
EVERY = 0.2  # seconds
LINE_LIMIT = 2**16  # bytes
FIRST_START = 10.0  # seconds between the writing of a timer and its first start
SETTLE_SECONDS = 30.0  # that a job's last lines get to come, once they are known to be in the journal
ELSEWHERE = "on the first of the app's hosts"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    command.add_argument("what", nargs="?", choices=VERBS, default="list", metavar="list | run", help="default: list")
    command.add_argument("job", nargs="?", default="", metavar="JOB", help="the job to run now")
    command.add_argument("--json", action="store_true", help="list as JSON")
    # Of the playbook: a job that one host runs is run on that one.
    command.add_argument("--in-its-place", action="store_true", help=argparse.SUPPRESS)


def act(context: Context, options: argparse.Namespace) -> int:
    """Do what the command line says; the exit status."""
    jobs = Jobs(context)
    if options.what == "settle":
        if not jobs.at.paused.exists():  # else whoever has stopped the app starts them
            jobs.start_timers()
        return 0
    if options.what == "run":
        return run(jobs, options.job, options.in_its_place)
    rows = listed(jobs)
    write(json.dumps(rows) if options.json else table(context.app, rows, jobs.at.live()))
    return 0


def write(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


# --- how they fared ----------------------------------------


def listed(jobs: Jobs) -> list[dict[str, Any]]:
    """The jobs of the live release; times in ISO 8601, "" for none."""
    live, timers = jobs.at.live(), elapses(jobs)
    armed = jobs.armed(live)
    return [
        row(jobs, name, one, timers.get(jobs.timer(name), {}), name in armed)
        for name, one in jobs.of_release(live).items()
    ]


def row(jobs: Jobs, name: str, one: job_units.Job, timer: Mapping[str, Any], is_armed: bool) -> dict[str, Any]:
    """How one job fared."""
    shown = jobs.properties(name, *PROPERTIES)
    began, ended = (seconds(shown.get(f"ExecMain{which}Timestamp", "")) for which in ("Start", "Exit"))
    is_running = shown.get("ActiveState", "inactive") not in ENDED
    last = began or elapsed(jobs, name, float(timer.get("last") or 0) / 1e6)
    coming = float(timer.get("next") or 0) / 1e6
    held = "maintenance" if jobs.in_maintenance() else "paused" if jobs.at.paused.exists() else "its timer is stopped"
    held = "after this run" if is_running else held
    return {
        "job": name,
        "schedule": one["schedule"],
        "on": one.get("on", "first"),
        "last": clock.timestamp(last) if last else "",
        "result": "running" if is_running else outcome(shown),
        "took": round(ended - began, 1) if began and ended >= began and not is_running else None,
        "next": clock.timestamp(coming) if coming and is_armed else "",
        "held": "" if coming and is_armed else held if is_armed else ELSEWHERE,
    }


def elapsed(jobs: Jobs, name: str, last: float) -> float:
    """When a job was started before the host was: a boot forgets the run, and not that there was one. 0 for never.

    :param last: when its timer elapsed, as systemd has it; of a new timer that is when it was started first.
    """
    with contextlib.suppress(FileNotFoundError):
        if last > (jobs.at.units / jobs.timer(name)).stat().st_mtime + FIRST_START:
            return last
    return 0.0


def elapses(jobs: Jobs) -> dict[str, dict[str, Any]]:
    """When the timers elapsed last, and will next, by their names; in microseconds."""
    shown = jobs.system.systemctl("list-timers", "--all", "--output=json", f"{jobs.app}.*.timer")
    try:
        return {one["unit"]: one for one in json.loads(shown.stdout)}
    except (ValueError, KeyError, TypeError):
        return {}


def coming(jobs: Jobs) -> str:
    """When each job of the live release runs next, on one line; "" for an app without jobs."""
    live = jobs.at.live()
    named = jobs.of_release(live)
    if not named:
        return ""
    timers, armed = elapses(jobs), jobs.armed(live)
    found = {name: float(timers.get(jobs.timer(name), {}).get("next") or 0) / 1e6 for name in named}
    return ", ".join(
        f"{name} {f'next at {clock.timestamp(at)}' if at else 'stopped'}" if name in armed else f"{name} {ELSEWHERE}"
        for name, at in found.items()
    )


def table(app: str, rows: Sequence[Mapping[str, Any]], live: str | None) -> str:
    """The jobs as a person reads them."""
    if not live:
        return f"{app} has no live release, and so no jobs: `{app} status` says why"
    if not rows:
        return f"{app} has no jobs: name them in flask_apps, as in `jobs: {{nightly: {{command: …, schedule: …}}}}`"
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    """A line of the table."""
    took = "" if one["took"] is None else f"{one['took']:.0f} s"
    coming = moment(one["next"]) or f"({one['held']})"
    return one["job"], one["schedule"], moment(one["last"]) or "never", one["result"], took, coming


def moment(when: str) -> str:
    """A time without its seconds."""
    return when.replace("T", " ").rstrip("Z")[:16]


# --- running one now ----------------------------------------


@dataclass
class Run:
    """A run of a job that was started by hand."""

    jobs: Jobs
    job: str

    def state(self) -> dict[str, str]:
        """What systemd says of it."""
        return self.jobs.properties(self.job, *PROPERTIES, "InvocationID")

    def begin(self) -> str:
        """Start it; the number of the run, by which the journal knows its lines."""
        service = self.jobs.service(self.job)
        started = self.jobs.system.systemctl("start", service)
        if started.returncode and not self.state().get("InvocationID"):
            raise SystemExit(f"{service} could not be started: {printable(started.stderr).strip()}")
        return self.state()["InvocationID"]

    def follow(self, number: str) -> None:
        """Show what it prints until it has ended."""
        which = (f"--namespace=+{self.jobs.app}", f"_SYSTEMD_INVOCATION_ID={number}")
        # Quiet, or it says of a job that prints nothing that there are no entries, which no reader is to wait for.
        command = (JOURNALCTL, "--quiet", "--lines=all", "--output=cat", *which)
        with subprocess.Popen(
            (*command, "--follow"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd="/",
        ) as process:
            stream = cast("IO[bytes]", process.stdout)
            try:
                shown = 0
                while self.state().get("ActiveState", "inactive") not in ENDED:
                    shown += show_lines(stream, EVERY)
                self.jobs.system.sync_journal(self.jobs.app)
                whole, until = size_of_output(command), time.monotonic() + SETTLE_SECONDS
                shown += show_lines(stream, EVERY)  # at least once: of much output the journal may have dropped a part
                while shown < whole and time.monotonic() < until:
                    shown += show_lines(stream, EVERY)
            finally:
                process.terminate()


def size_of_output(command: Sequence[str]) -> int:
    """How many bytes a program prints."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT, cwd="/"
    ) as process:
        stream = cast("IO[bytes]", process.stdout)
        return sum(len(block) for block in iter(lambda: stream.read(LINE_LIMIT), b""))


def show_lines(stream: IO[bytes], wait: float) -> int:
    """Print what comes within so many seconds, its control characters shown and not sent; how many bytes came."""
    until, shown = time.monotonic() + wait, 0
    while (left := until - time.monotonic()) > 0 and select.select([stream], [], [], left)[0]:
        block = os.read(stream.fileno(), LINE_LIMIT)
        if not block:
            time.sleep(left)
            break
        shown += len(block)
        sys.stdout.write(printable(block.decode(errors="replace")))
        sys.stdout.flush()
    return shown


def run(jobs: Jobs, job: str, in_its_place: bool) -> int:
    """Run a job now through its unit, and follow it; its exit status."""
    app, known = jobs.app, jobs.of_release(jobs.at.live())
    if job not in known or job not in jobs.on_host():
        names = ", ".join(known) or "none"
        raise SystemExit(
            f"{app} has no job {job!r}; the live release has: {names}" if job else f"name the job: {names}"
        )
    if in_its_place and job not in jobs.armed(jobs.at.live()):
        write(f"{job} runs {ELSEWHERE}: nothing was done here")
        return 0
    if jobs.at.paused.exists():
        raise SystemExit(
            f"nothing of {app} may run while its data are restored or a deploy has stopped it: run it after that"
        )
    this = Run(jobs, job)
    before = this.state()
    if before.get("ActiveState", "inactive") not in ENDED:
        since = clock.timestamp(seconds(before.get("ExecMainStartTimestamp", "")))
        raise SystemExit(f"{job} of {app} runs already, since {since}: wait for its end, which `{app} jobs` shows")
    number = this.begin()
    try:
        this.follow(number)
    except KeyboardInterrupt:
        write(f"{job} goes on; `{app} jobs` shows its end, `systemctl stop {jobs.service(job)}` ends it")
        return 128 + signal.SIGINT
    ended = this.state()
    status = exit_status(ended)
    write(f"{job} of {app}: {outcome(ended) or 'success'}")
    return status


def exit_status(shown: Mapping[str, str]) -> int:
    """The exit status of a run, as a shell has it."""
    result, status = shown.get("Result", ""), shown.get("ExecMainStatus", "")
    number = int(status) if status.isdigit() else 1
    if result == "success":
        return 0
    if result == "timeout":
        return TIMED_OUT
    return 128 + number if shown.get("ExecMainCode") in ("2", "3") else number or 1
