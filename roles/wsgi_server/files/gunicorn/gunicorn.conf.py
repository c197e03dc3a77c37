"""Gunicorn's settings, computed where and when the app starts, so that a resized machine is right after a reboot."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

RELEASE = Path(__file__).resolve().parent
SETTINGS = json.loads((RELEASE / "server.json").read_text())
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


def choose_workers(asked: int | None, count: int, size: int, each: int) -> tuple[int, str]:
    """How many workers, and why: (2 x cores) + 1 as Gunicorn's documentation has it, within half of the memory."""
    if asked is not None:
        return asked, f"{asked} workers, as configured"
    wanted, fitting = 2 * count + 1, max(1, size // 2 // each)
    if fitting < wanted:
        return (
            fitting,
            f"{fitting} workers: {wanted} for {count} cores, but half of {size} MB holds {fitting} of {each} MB",
        )
    return wanted, f"{wanted} workers: (2 x {count} cores) + 1; half of {size} MB would hold {fitting} of {each} MB"


workers, REASON = choose_workers(SETTINGS["workers"], cores(), memory(), SETTINGS["worker_memory"])
worker_class = SETTINGS["worker_class"]
threads = SETTINGS["threads"] if worker_class == "gthread" else 1
worker_connections = SETTINGS["worker_connections"]
timeout = SETTINGS["timeout"]
graceful_timeout = SETTINGS["graceful_timeout"]
keepalive = SETTINGS["keepalive"]
max_requests = SETTINGS["max_requests"]
max_requests_jitter = SETTINGS["max_requests_jitter"]
preload_app = SETTINGS["preload_app"]

wsgi_app = "groundwork_wsgi"
pythonpath = str(RELEASE / "entry")
chdir = str(RELEASE / "code")
worker_tmp_dir = os.environ.get("RUNTIME_DIRECTORY")  # in memory: a slow disk must not look like a stuck worker
control_socket_disable = True
# The entry's ProxyFix decides alone whom to believe; Gunicorn would trust whoever can reach its socket.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


def on_starting(server: object) -> None:
    """Say why there are as many workers as there are, in the log and to whoever asks on the host."""
    server.log.info(REASON)  # type: ignore[attr-defined]
    if worker_tmp_dir:
        Path(worker_tmp_dir, "workers").write_text(REASON + "\n")
