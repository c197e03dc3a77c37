"""What plays and tests cost, written down for the budget of plays and for the summary of script/test.

A core-second is one second of one processor core. Core-seconds hardly depend on what else the machine does; seconds do.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def records_file() -> Path:
    """Return the file of records: TEST_COSTS, which script/test sets, else one of the scenario's own."""
    return Path(os.environ.get("TEST_COSTS") or Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "costs.jsonl")


def write(kind: str, began: float, **facts: Any) -> None:
    """Append one record; a line of this length is written at once, whatever other processes append."""
    line = json.dumps({"kind": kind, "began": began, **facts})
    with records_file().open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read(since: float) -> list[Record]:
    """Return the records of what began at this time (seconds since the epoch) or later."""
    file = records_file()
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [record for record in records if record["began"] >= since]


def own_seconds() -> float:
    """Return the core-seconds of this process and of those it has started and waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def container_seconds(pid: str) -> float:
    """Return the core-seconds of the container with this main process since it started; 0 if it does not run."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        for _number, controllers, path in (line.split(":", 2) for line in lines):
            if (level := next(_container_level(path), None)) is None:
                continue  # a controller that podman leaves alone
            directory = "/".join(path.split("/")[: 1 + level])
            if "cpuacct" in controllers:
                return int(Path(f"/sys/fs/cgroup/cpuacct{directory}/cpuacct.usage").read_text()) / 1e9
            if not controllers and (stat := Path(f"/sys/fs/cgroup{directory}/cpu.stat")).exists():
                return int(stat.read_text().split()[1]) / 1e6
    except OSError:
        pass
    return 0.0


def _container_level(path: str) -> Iterator[int]:
    """Yield where in a cgroup's path the container itself stands: systemd makes groups below it."""
    return (number for number, name in enumerate(path.split("/")) if name.startswith("libpod-"))


@contextmanager
def recorded(kind: str, container_pid: str = "", **facts: Any) -> Iterator[Record]:
    """Record what the block costs: wall-clock seconds, core-seconds of this process and of a host's container.

    The block may add facts to the dictionary that it gets.
    """
    began, clock = time.time(), time.monotonic()
    own, host = own_seconds(), container_seconds(container_pid) if container_pid else 0.0
    more: Record = {}
    try:
        yield more
    finally:
        # A host that was restarted in between counts from its start.
        on_host = container_seconds(container_pid) if container_pid else 0.0
        on_host -= host if on_host >= host else 0.0
        write(
            kind,
            began,
            seconds=round(time.monotonic() - clock, 2),
            core_seconds=round(own_seconds() - own + on_host, 2),
            **facts,
            **more,
        )
