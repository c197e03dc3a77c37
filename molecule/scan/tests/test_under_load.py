"""What visitors get while others attack, while nginx is reloaded, and after it was killed."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable

import pytest
import scanning
import testing
from load import asking, failed
from testinfra.host import Host
from visitor import Site

Figure = Callable[[str, object], None]
# slowhttptest's option and parameters for each of its modes; all open 2000 connections from one address.
SLOW = {
    "headers": "-H -i 10 -r 400",
    "body": "-B -i 10 -r 400 -s 8192",
    "read": "-X -r 400 -w 512 -y 1024 -n 5 -z 32",
}
ATTACK = 30  # seconds
# Seconds after which a visitor gives up; nginx has patience with what is slow for ten, and nobody shall wait for that.
BUDGET = 8


def visit(site: Site) -> tuple[str, float]:
    """Ask once over a new connection; "" or what went wrong, and the seconds."""
    began, problem = time.monotonic(), ""
    try:
        answer = site.get("/healthz")
        problem = "" if answer.status == 200 else f"status {answer.status}"
    except OSError as error:
        problem = f"{type(error).__name__}: {error}"
    return problem, time.monotonic() - began


def connections(host: Host) -> int:
    """Return how many connections the site has."""
    return int(host.check_output("ss -Hnt state established '( sport = :443 )' | wc -l"))


@pytest.mark.measuring
@pytest.mark.parametrize("mode", SLOW)
def test_a_visitor_beside_slow_attackers(host: Host, guestbook: Site, figure: Figure, mode: str) -> None:
    """The attack comes from the scanners' host, the visitor from this machine: no limit per address is both's."""
    scanning.wait_until_installed()
    name = guestbook.name
    command = f"slowhttptest {SLOW[mode]} -c 2000 -l {ATTACK} -p {BUDGET} -u https://{name}/"
    attack = subprocess.Popen(
        ("podman", "exec", testing.container(scanning.SCANNER), "timeout", str(ATTACK + 15), *command.split()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    guestbook.timeout = BUDGET
    visits, began = [], time.monotonic()
    held = 0
    while time.monotonic() < began + ATTACK:
        visits.append(visit(guestbook))
        if len(visits) % 5 == 0:
            held = max(held, connections(host))
        time.sleep(max(0, began + len(visits) - time.monotonic()))
    said, _none = attack.communicate(timeout=300)
    good = sorted(seconds for problem, seconds in visits if not problem and seconds <= BUDGET)
    share = 100 * len(good) / len(visits)
    slowest = good[int(len(good) * 0.95)] if good else 0
    figure(f"slow {mode}", f"{share:.1f} % answered, p95 {slowest * 1000:.0f} ms, up to {held} connections held")
    assert "connected" in said, said[-3000:]
    assert share >= 99, f"{[line for line in visits if line[0]]}\n{said[-2000:]}"
    assert testing.poll(lambda: connections(host) < 50)  # what comes next comes from the same address


def test_sane_load(guestbook: Site, figure: Figure) -> None:
    scanning.wait_until_installed()
    run = scanning.on_scanner(f"h2load --requests=600 --clients=10 --rps=3 https://{guestbook.name}/")
    done = re.search(r"requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", run.stdout)
    assert done, run.stdout + run.stderr
    statuses = re.search(r"status codes: (\d+) 2xx", run.stdout)
    mean = re.search(r"time for request: +\S+ +\S+ +(\S+)", run.stdout)
    figure("sane load (h2load)", f"{done[1]} of 600 answered, mean {mean and mean[1]}")
    assert (done[1], statuses and statuses[1]) == ("600", "600"), run.stdout


def test_reloads_cost_nobody_anything(host: Host, guestbook: Site, figure: Figure) -> None:
    with asking(guestbook, "/healthz", 4) as answers:
        turns = 0
        while turns < 20 or len(answers) <= 100:  # on a slow machine these take longer than those
            host.check_output("systemctl reload nginx.service")
            turns += 1
    lost = failed(answers)
    figure(f"{turns} reloads", f"{len(lost)} of {len(answers)} new connections failed")
    assert lost == []


def test_a_killed_master_comes_back(host: Host, guestbook: Site, figure: Figure) -> None:
    master = host.check_output("systemctl show --property=MainPID --value nginx.service")
    host.check_output(f"kill -KILL {master}")
    began = time.monotonic()

    def back() -> bool:
        another = host.check_output("systemctl show --property=MainPID --value nginx.service")
        return another not in ("0", master) and not visit(guestbook)[0]

    assert testing.poll(back, 60, 0.05), testing.journal(host, "nginx.service")
    seconds = time.monotonic() - began
    figure("kill -9 of nginx's master", f"answers again after {seconds:.1f} s")
    # How long the rest takes is the machine's affair.
    assert host.check_output("systemctl show --property=RestartUSec --value nginx.service") == "100ms"
