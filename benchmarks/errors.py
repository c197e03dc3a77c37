"""The measurements of benchmarks/errors."""

from __future__ import annotations

import json
import os
import platform
import sys
from statistics import median, quantiles

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

from benchmarks import hosts
from benchmarks.errors_host import BAD_GATEWAY, HANGS, TAKES
from benchmarks.hosts import ROOT, WORK, run_on, test_host

HOST = "bench-errors"
WITHOUT, CONTROL = "without", "control"  # twice the same: how far they are apart is what the run cannot tell
# The port of each tracker; nothing listens on the first.
TRACKERS = {"refuses": 9, "badgateway": BAD_GATEWAY, "hangs": HANGS, "takes": TAKES}
STOPS = 5
MOST_RATIO, MOST_SECONDS = 1.05, 1.0


def make_host(suite: str) -> None:
    """A fresh host with the app without a tracker, twice, and with each."""
    test_host("create", f"{HOST}:{suite}")
    app = {
        "source": {"directory": str(ROOT / "benchmarks/errors_app")},
        "wsgi_app": "shop:app",
        "certificate": {"provider": "self_signed"},
        "server": {"workers": 1, "threads": 4},
        "skip_checks": ["secret_key"],
        "watch": 0,
    }
    apps = {name: {**app, "domains": [f"{name}.test"]} for name in (WITHOUT, CONTROL)}
    for name, port in TRACKERS.items():
        dsn = f"http://{'0' * 32}@127.0.0.1:{port}/1"
        apps[name] = {**app, "domains": [f"{name}.test"], "environment": {"SENTRY_DSN": dsn}}
    hosts.write_inventory(HOST, apps)
    hosts.play(HOST, "site")


def measure(requests: int) -> bool:
    """Measure, print the table, and return whether all is within its limits."""
    run_on(
        HOST,
        "systemctl stop groundwork-watch.timer; cat > /root/measure.py",
        (ROOT / "benchmarks/errors_host.py").open(),
    )
    names = " ".join(f"{app}={on_host('current', app)}" for app in (WITHOUT, CONTROL, *TRACKERS))
    found = json.loads(run_on(HOST, f"python3 /root/measure.py {requests} {STOPS} {names}"))
    p95 = {app: quantiles(took, n=20)[-1] for app, took in found["requests"].items()}
    stop = {app: median(took) for app, took in found["stops"].items()}
    print(f"{'':12}{'median':>10}{'p95':>10}{'ratio':>7}{'stop':>8}")
    for app, took in found["requests"].items():
        print(f"{app:12}{median(took):7.2f} ms{p95[app]:7.2f} ms{p95[app] / p95[WITHOUT]:7.3f}{stop[app]:6.2f} s")
    slowest = max(p95[WITHOUT], p95[CONTROL])
    within = all(p95[app] <= MOST_RATIO * slowest for app in TRACKERS)
    return within and all(stop[app] <= stop[WITHOUT] + MOST_SECONDS for app in TRACKERS)


def main() -> None:
    """Measure on a host of its own."""
    suite, requests = sys.argv[1], int(sys.argv[2])
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"A fresh {suite} host with six apps …", flush=True)
    try:
        make_host(suite)
        print(
            f"{requests} requests to each and {STOPS} stops; {platform.machine()}, {os.cpu_count()} cores", flush=True
        )
        within = measure(requests)
    finally:
        test_host("remove", HOST)
    sys.exit(0 if within else "more than the limits allow")


if __name__ == "__main__":
    main()
