"""Runs a server with the number of its workers, computed where and when the app starts.

    workers.py COMMAND [ARGUMENT…]

The command finds the number in GROUNDWORK_WORKERS. A resized machine is so right after a reboot, and all servers
follow one rule. The reason for the number is printed, and kept in the runtime directory for whoever asks on the host.
"""

import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def limits(name: str, root: Path = CGROUPS, own: str = "/proc/self/cgroup") -> Iterator[list[str]]:
    """The words of a cgroup file (cgroup v2) of this process's group and of every group above it."""
    try:
        group = root / Path(own).read_text().rpartition("0::/")[2].strip()
    except OSError:
        return
    for directory in (group, *group.parents):
        try:
            yield (directory / name).read_text().split()
        except OSError:
            continue


def cores(root: Path = CGROUPS, own: str = "/proc/self/cgroup") -> int:
    """The processors this process may really use: its affinity, less any CPUQuota= on its unit or a slice above."""
    count = len(os.sched_getaffinity(0))
    for words in limits("cpu.max", root, own):
        if len(words) == 2 and words[0] != "max":
            count = min(count, math.ceil(int(words[0]) / int(words[1])))
    return max(count, 1)


def memory(root: Path = CGROUPS, own: str = "/proc/self/cgroup", meminfo: str = "/proc/meminfo") -> int:
    """The memory in MB this process may really use: the machine's, less any MemoryMax= on its unit or a slice above."""
    total = next(line for line in Path(meminfo).read_text().splitlines() if line.startswith("MemTotal:"))
    size = int(total.split()[1]) // 1024
    for words in limits("memory.max", root, own):
        if words and words[0] != "max":
            size = min(size, int(words[0]) // 2**20)
    return size


def several(number: int, word: str) -> str:
    """A number of things, ``1 worker`` or ``5 workers``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def choose_workers(asked: int | None, count: int, size: int, each: int, others: int = 0) -> tuple[int, str]:
    """How many workers, and why: (2 x cores) + 1 as Gunicorn's documentation has it, within half of the memory.

    :param others: the processes of the release that share this memory, each reckoned as a worker is.
    """
    if asked is not None:
        return asked, f"{several(asked, 'worker')}, as configured"
    wanted, holds = 2 * count + 1, max(1, size // 2 // each)
    fitting = max(1, holds - others)
    beside = f" beside {others} other process{'es' * (others > 1)}" if others else ""
    if fitting < wanted:
        return (
            fitting,
            f"{several(fitting, 'worker')}: {wanted} for {several(count, 'core')}, "
            f"but half of {size} MB holds {fitting} of {each} MB{beside}",
        )
    return (
        wanted,
        f"{wanted} workers: (2 x {several(count, 'core')}) + 1; "
        f"half of {size} MB would hold {fitting} of {each} MB{beside}",
    )


def other_processes(release: Path) -> int:
    """How many processes the release runs beside its server, as its record says."""
    try:
        record = json.loads((release / "release.json").read_text())
    except OSError:
        return 0
    return sum(unit["kind"] == "process" for unit in record.get("units", []))


def main() -> None:
    """Say the number and become the server."""
    settings = json.loads(Path(__file__).with_name("server.json").read_text())
    others = other_processes(Path(__file__).parent)
    workers, reason = choose_workers(settings["workers"], cores(), memory(), settings["worker_memory"], others)
    print(reason, flush=True)
    if runtime := os.environ.get("RUNTIME_DIRECTORY"):
        Path(runtime, "workers").write_text(reason + "\n")
    for_server = {"GROUNDWORK_WORKERS": str(workers), "GROUNDWORK_STARTS_SERVER": "1"}
    # The server takes the place of this process, which systemd watches; the command is that of the unit.
    os.execve(sys.argv[1], sys.argv[1:], {**os.environ, **for_server})  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main()
