"""Runs the parts of a plan in lanes, and says what each of them cost and why one failed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from plan import Task

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
LOGS = CACHE / "log"
COSTS = CACHE / "costs"
HERE = Path(__file__).resolve().parent
PASSED, FAILED, LEFT_OUT = "passed", "failed", "left out"
LONGEST = 120  # lines that are shown of a failed part
TO_END = 90  # seconds that an interrupted part may take to remove its hosts

Say = Callable[[str], None]


@dataclass
class Outcome:
    """How a part ended.

    :param seconds: wall-clock time.
    :param core_seconds: of its processes and of its hosts.
    """

    name: str
    result: str
    seconds: float = 0.0
    core_seconds: float = 0.0


@dataclass
class Running:
    """A part that runs, in a process group of its own."""

    task: Task
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    began: float = field(default_factory=time.monotonic)


def needs_to_be_alone(task: Task) -> bool:
    """Say whether the part is a scenario with tests that run when nothing else does, and are in this suite."""
    tests = ROOT / "molecule" / task.part.name / "tests"
    files = [path.read_text() for path in tests.glob("*.py")]
    if task.environment.get("TEST_FULL") != "1":
        files = [text for text in files if not re.search(r"^pytestmark = .*mark\.full", text, re.MULTILINE)]
    return bool(task.part.family) and any("mark.alone" in text for text in files)


class Lanes:
    """Runs parts side by side.

    :param lanes: how many at a time.
    :param deadline: when what still runs is ended and what has not begun is left out (time.monotonic()), or None.
    :param say: prints a line.
    """

    def __init__(self, lanes: int, say: Say, deadline: float | None = None) -> None:
        self.lanes, self.say, self.deadline = lanes, say, deadline
        self.running: dict[int, Running] = {}
        self.outcomes: list[Outcome] = []
        self.records: list[dict[str, Any]] = []
        LOGS.mkdir(parents=True, exist_ok=True)
        COSTS.mkdir(parents=True, exist_ok=True)

    def run(self, tasks: Sequence[Task], kept: bool = False) -> list[Outcome]:
        """Run them all; what has tests that run alone has these last, one after the other.

        :param kept: scenarios keep their hosts, for the next change.
        """
        begun_before = len(self.outcomes)
        alone = [] if kept else [task for task in tasks if needs_to_be_alone(task)]
        waiting = [(task, "kept" if kept else "beside" if task in alone else "whole") for task in tasks]
        while waiting or self.running:
            ready = next((pair for pair in waiting if self.is_ready(pair[0])), None)
            if ready and len(self.running) < self.lanes:
                waiting.remove(ready)
                self.start(*ready)
            else:
                self.finish_one()
        for task in alone:
            if any(one.name == task.part.name and one.result != LEFT_OUT for one in self.outcomes[begun_before:]):
                self.start(task, "alone")
                while self.running:
                    self.finish_one()
        return self.outcomes[begun_before:]

    def is_ready(self, task: Task) -> bool:
        """A scenario whose hosts start from the image that `default` keeps waits while that one runs."""
        return not task.part.image or all(one.task.part.name != "default" for one in self.running.values())

    def start(self, task: Task, manner: str) -> None:
        """Start a part in a process group of its own; its output goes to a log of its own."""
        name = f"{task.part.name}-alone" if manner == "alone" else task.part.name
        if self.deadline and time.monotonic() + task.part.full_cost > self.deadline:
            self.outcomes.append(Outcome(name, LEFT_OUT))
            return
        log, costs = LOGS / f"test-{name}.log", COSTS / f"{name}.jsonl"
        costs.write_text("")
        environment = {**os.environ, **task.environment, "TEST_COSTS": str(costs), "TEST_IMAGES_READY": "1"}
        command = ["bash", str(HERE / "parts.sh"), task.part.name, manner, *task.arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        self.running[process.pid] = Running(task, name, process, log)
        self.say(f"{name} begins{on_which(task)}")

    def finish_one(self) -> None:
        """Wait until one of the running parts ends, and say how it did."""
        seconds = max(0.0, self.deadline - time.monotonic()) if self.deadline else None
        ended = wait_for_one(list(self.running), seconds)
        if ended is None:
            self.stop()
            self.outcomes += [Outcome(one.name, LEFT_OUT) for one in self.running.values()]
            self.running.clear()
            return
        pid, status, core_seconds = ended
        one = self.running.pop(pid)
        one.process.returncode = status
        records = read_records(COSTS / f"{one.name}.jsonl")
        self.records += records
        core_seconds += sum(record["core_seconds"] for record in records if record["kind"] == "host")
        seconds = time.monotonic() - one.began
        self.outcomes.append(Outcome(one.name, FAILED if status else PASSED, seconds, core_seconds))
        if status:
            self.say(f"{one.name} failed after {seconds:.0f} s; all of its output is in {one.log}:")
            for line in excerpt(one.log.read_text(errors="replace")):
                self.say(f"    {line}")
        else:
            self.say(f"{one.name}: {seconds:.0f} s, {core_seconds:.0f} core-s")

    def stop(self) -> None:
        """End what runs, and give it time to remove its hosts."""
        for one in self.running.values():
            os.killpg(one.process.pid, signal.SIGINT)
        deadline = time.monotonic() + TO_END
        while (
            self.running
            and time.monotonic() < deadline
            and any(one.process.poll() is None for one in self.running.values())
        ):
            time.sleep(0.2)
        for one in self.running.values():
            if one.process.poll() is None:
                os.killpg(one.process.pid, signal.SIGKILL)


def wait_for_one(pids: Sequence[int], seconds: float | None) -> tuple[int, int, float] | None:
    """Wait for one of these processes; return its number, exit status and core-seconds, children included.

    None if none has ended after so many seconds.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while deadline is None or time.monotonic() < deadline:
        for pid in pids:
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                return pid, os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        time.sleep(0.2)
    return None


def on_which(task: Task) -> str:
    """Which hosts and tests a task is confined to, in words; empty if it is not."""
    suite = task.environment.get("TEST_HOSTS", "").strip("-$")
    tests = f": {', '.join(task.arguments)}" if task.arguments and task.part.name != "lint" else ""
    return f" on {suite}{tests}" if suite else tests


def read_records(file: Path) -> list[dict[str, Any]]:
    """The records of costs that a part has written; none if it wrote no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# --- what a person reads ----------------------------------------

PYTEST = re.compile(r"^=+ (FAILURES|ERRORS) =+$", re.MULTILINE)
ANSIBLE = re.compile(r"^(fatal|failed): |^\[ERROR\]|^CRITICAL ", re.MULTILINE)


def excerpt(log: str) -> list[str]:
    """The lines of a failed part's output that say why: pytest's failures, else the failed task, else the end."""
    if found := PYTEST.search(log):
        return shortened(log[found.start() :].splitlines())
    if found := ANSIBLE.search(log):
        begin = max(log.rfind("\nTASK [", 0, found.start()), log.rfind("\nPLAY [", 0, found.start()), 0)
        return shortened(log[begin:].strip("\n").splitlines())
    return log.splitlines()[-40:]


def shortened(lines: list[str]) -> list[str]:
    """At most LONGEST lines: the beginning, and the end with the summary."""
    if len(lines) <= LONGEST:
        return lines
    return [*lines[: LONGEST - 20], f"… {len(lines) - LONGEST} lines …", *lines[-20:]]


def summary(outcomes: Sequence[Outcome], records: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each part, the most costly plays and tests, and the count."""
    lines = [f"{one.name:<18}{one.seconds:6.0f} s {one.core_seconds:6.0f} core-s   {one.result}" for one in outcomes]
    lines.append(f"{'':<18}{'':>8} {sum(one.core_seconds for one in outcomes):6.0f} core-s in all")
    for kind, title in (("play", "plays"), ("test", "tests")):
        costly = sorted((one for one in records if one["kind"] == kind), key=lambda one: -one["core_seconds"])[:5]
        if costly:
            lines += ["", f"The most costly {title}:"]
            lines += [f"{one['core_seconds']:8.1f} core-s  {one['host']}: {one['name']}" for one in costly]
    if left_out := [one.name for one in outcomes if one.result == LEFT_OUT]:
        lines += ["", f"Left out, for the time was up: {', '.join(left_out)}."]
    counts = {result: sum(one.result == result for one in outcomes) for result in (PASSED, FAILED)}
    return [*lines, "", f"{counts[PASSED]} passed, {counts[FAILED]} failed"]


def report(outcomes: Sequence[Outcome], records: Sequence[dict[str, Any]], out: TextIO) -> bool:
    """Print the summary; say whether all is well."""
    print("", *summary(outcomes, records), sep="\n", file=out, flush=True)
    return not any(one.result == FAILED for one in outcomes)


# --- hosts that are kept between runs of `changed` ----------------------------------------


def kept_key(scenario: str) -> str:
    """A hash of what a scenario's hosts are made and prepared by: while it stays, they may be kept."""
    directory = ROOT / "molecule" / scenario
    names = ["molecule.yml", "prepare.yml", "inventory/hosts.yml", "converge.yml"]
    files = [directory / name for name in names]
    files += sorted((directory / "files").rglob("*"))
    files += sorted((ROOT / "molecule" / "shared").glob("*.*"))
    files.append(ROOT / "script" / "test-host")
    digest = hashlib.sha256((os.environ.get("TEST_HOSTS", "") + os.environ.get("TEST_INSTEAD", "")).encode())
    for file in files:
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]
