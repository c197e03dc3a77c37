"""The measurements of benchmarks/watch."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

from benchmarks.hosts import WORK, run_on, test_host
from benchmarks.provision import guestbook, site, tally

INTERVAL = 30  # seconds between two looks
# Looks, and prints the core-seconds of each and the peak of memory. Every second one asks from outside, as in use.
MEASURE = """
import json, resource, subprocess, sys, time
state, program = sys.argv[1:]
def used():
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime
costs = []
for number in range(20):
    memory = json.load(open(state)) if number else {}
    memory.setdefault("outside", {})["time"] = 0 if number % 2 else time.time()
    if number:
        json.dump(memory, open(state, "w"))
    before = used()
    subprocess.run([program, "look"], check=True)
    costs.append(used() - before)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"plain": min(costs[2::2]), "outside": min(costs[1::2]), "mean": sum(costs[2:]) / 18, "peak": peak}))
"""


@dataclass(frozen=True)
class Cost:
    """What looks cost, in core-seconds: the cheapest without and with the sites asked from outside, and all on average.

    :ivar peak: the most memory of one, in MB.
    """

    plain: float
    outside: float
    mean: float
    peak: float


def main() -> None:
    """Measure, and print the table."""
    suite, many = sys.argv[1], int(sys.argv[2])
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"A fresh {suite} host …", flush=True)
    test_host("create", f"bench-site:{suite}")
    found: dict[int, Cost] = {}
    try:
        for number in (1, many):
            print(f"site.yml, then 20 looks, {number} on the host …", flush=True)
            site({"guestbook": guestbook(), **{f"tally{other}": tally(other) for other in range(1, number)}})
            run_on("bench-site", "systemctl stop groundwork-watch.timer")
            found[number] = Cost(
                **json.loads(
                    run_on(
                        "bench-site",
                        f"python3 -I -c '{MEASURE}' {on_host('watch')}/memory.json {on_host('programs')}/watch",
                    )
                )
            )
    finally:
        test_host("remove", "bench-site")
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, {suite}; core-seconds")
    print(f"{'':16}{'look':>8}{'outside':>9}{'mean':>8}{'of a core':>11}{'peak':>8}")
    for number, cost in found.items():
        share = f"{cost.mean / INTERVAL:.2%}"
        row = f"{cost.plain:8.3f}{cost.outside:9.3f}{cost.mean:8.3f}{share:>11}{cost.peak:6.0f} MB"
        print(f"{f'apps: {number}':16}{row}")


if __name__ == "__main__":
    main()
