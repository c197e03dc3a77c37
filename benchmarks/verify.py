"""The measurements of benchmarks/verify."""

from __future__ import annotations

import os
import platform
import sys

from benchmarks.hosts import WORK, Play, play, test_host
from benchmarks.provision import fastest, guestbook, site, tally

TURNS = 3


def main() -> None:
    """Measure, and print the table."""
    suite, many = sys.argv[1], int(sys.argv[2])
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"A fresh {suite} host …", flush=True)
    test_host("create", f"bench-site:{suite}")
    found: dict[int, list[Play]] = {}
    try:
        for number in (1, many):
            print(f"site.yml, then verify {TURNS} times, {number} on the host …", flush=True)
            site({"guestbook": guestbook(), **{f"tally{other}": tally(other) for other in range(1, number)}})
            found[number] = [play("bench-site", "verify") for _turn in range(TURNS)]
    finally:
        test_host("remove", "bench-site")
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, {suite}")
    print(f"{'':24}{'calls':>6} {'seconds':>8}  ratio")
    for number, runs in found.items():
        ratio = f"{fastest(runs) / fastest(found[1]):.2f} x one app"
        print(f"{f'verify, apps: {number}':24}{runs[0].tasks:6} {fastest(runs):8.1f}  {ratio}")


if __name__ == "__main__":
    main()
