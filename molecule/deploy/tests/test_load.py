"""Under a steady load: what deploys, a killed server and requests that hang cost the other visitors.

benchmarks/deploy does the same with more deploys and rollbacks.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import testing
from load import Load, Request
from testinfra.host import Host
from testing import on_host
from visitor import Site

LEAST = 300  # requests, or there was no load; how many a second the machine does is no matter of the product's
BACK = "back"
KILLS = 5


def deploy(host: Host, version: str, **variables: int) -> bool:
    """Deploy a version, or go back to the release before; True if that worked."""
    if version == BACK:
        result = testing.play(host, "rollback.yml", app="shop")
    else:
        result = testing.play(host, "deploy.yml", app="shop", version=version, **variables)
    print(version, result.returncode, result.stdout[-2000:], result.stderr[-2000:])
    return result.returncode == 0


def counted(host: Host) -> int:
    """How many POSTs the app's database has seen."""
    script = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT count FROM hits'))"
    return int(host.check_output("python3 -c %s %s", script, f"{on_host('data', 'shop')}/shop.sqlite3").strip("(,)"))


def kill_master(host: Host) -> tuple[float, float]:
    """Kill the live instance's main process, and wait for the next one; from when to when that was."""
    unit = testing.server_unit(host, "shop")
    before = host.check_output("systemctl show --value --property=MainPID %s", unit)
    began = time.time()
    host.check_output("kill -KILL %s", before)
    assert testing.poll(
        lambda: host.check_output("systemctl show --value --property=MainPID %s", unit) not in (before, "0")
    )
    return began, time.time()


def is_frozen(host: Host) -> bool:
    """Whether a process of the app is stopped."""
    return "T" in host.check_output("ps --no-headers -u shop -o state").split()


def under_way(request: Request, moment: tuple[float, float]) -> bool:
    """Whether a request was not answered yet at some time of these."""
    return request.began < moment[1] and request.began + request.seconds > moment[0]


@pytest.mark.alone
def test_deploys_and_rollbacks_lose_nothing(host: Host, shop: Site) -> None:
    """Nor do they cut short what the old instance is at: requests of five seconds are under way at the first deploy."""
    before = counted(host)
    first = shop.get("/").json
    live = {first["release"]: first["version"]}
    with Load(shop) as load:
        # No more than a worker has threads: one that waits for a thread may not have ended when the worker must.
        with Load(shop, rate=2, visitors=8, get="/slow") as slow:
            assert deploy(host, "v2")
            live[testing.live(host, "shop")] = "v2"
            time.sleep(1)
        for change, version in (("v3", "v3"), (BACK, "v2")):
            assert deploy(host, change)
            live[testing.live(host, "shop")] = version
        assert not deploy(host, "unhealthy", health_timeout=4)
    print(load.summary(), slow.summary(), sep="\n")
    assert list(map(str, load.failures + slow.failures)) == []
    # Each answer is by a release that was live, and its code is that release's.
    answers = {(request.release, request.answer["version"]) for request in load.requests}
    assert answers == set(live.items())
    assert sorted(load.posted + slow.posted) == list(range(before + 1, counted(host) + 1))
    assert len(load.requests) >= LEAST
    assert testing.leftovers(host, "shop") == []
    switched = min(request.began for request in load.requests if request.answer["version"] == "v2")
    ends = [request.began + request.seconds for request in slow.requests if request.release == first["release"]]
    assert [end for end in ends if end > switched + 1], "no slow request was on its way when its instance stopped"


@pytest.mark.alone
def test_a_killed_master_loses_no_get(host: Host, shop: Site) -> None:
    before, kills = counted(host), []
    with Load(shop) as load:
        for _turn in range(KILLS):
            time.sleep(1)
            kills.append(kill_master(host))
            # On a slow machine five servers that do not get as far as this keep visitors waiting for too long.
            assert shop.get("/").status == 200
        time.sleep(1)
    print(load.summary(), *load.failures, sep="\n")
    lost = [request for request in load.failures if request.method == "GET"]
    # The server sends head and body apart: it may die between the two, and then nobody can ask again.
    assert [str(request) for request in lost if not request.cut] == []
    assert [str(request) for request in lost if not any(under_way(request, kill) for kill in kills)] == []
    assert [kill for kill in kills if not any(under_way(request, kill) for request in load.requests)] == []
    # A POST may be lost, for nobody sends it again unasked; one that was answered counts, and counts once.
    after, sent = counted(host), sum(request.method == "POST" for request in load.requests)
    assert len(set(load.posted)) == len(load.posted)
    assert set(load.posted) <= set(range(before + 1, after + 1))
    assert after - before <= sent
    assert len(load.requests) >= LEAST


@pytest.mark.full
@pytest.mark.alone
def test_a_stuck_request_fails_alone(host: Host, shop: Site) -> None:
    """It keeps one thread; the proxy gives up on it five seconds after the server's timeout of 10."""
    with Load(shop) as load:
        began = time.monotonic()
        stuck = shop.get("/stuck")
        lasted = time.monotonic() - began
    kill_master(host)  # the thread would hold up the next stop
    assert stuck.status == 504
    assert 14 < lasted < 40, "nginx by itself waits a minute"
    assert list(map(str, load.failures)) == []
    assert len(load.requests) >= LEAST


@pytest.mark.alone
def test_a_stuck_worker_is_replaced(host: Host, shop: Site) -> None:
    """The server kills it after the timeout. What it had begun when it froze fails, as far as nobody may repeat it.

    Those whose connection it had taken wait for its end, be it all; who comes now is served by the other worker. Nobody
    asks for /hit: if it froze amid a transaction, its lock on the database would keep the other worker waiting too.
    """
    with Load(shop, post="/") as load, ThreadPoolExecutor(1) as one:
        time.sleep(1)
        began = time.time()
        asked = one.submit(shop.post, "/freeze")
        assert testing.poll(lambda: is_frozen(host), pause=0.05)
        froze = time.time()
        with Load(shop, rate=60, post="/") as newcomers:
            stuck = asked.result()
            replaced = time.time()
        time.sleep(1)
    print(froze - began, replaced - began, load.summary(), *load.failures, sep="\n")
    print(newcomers.summary(), *newcomers.failures, sep="\n")
    assert stuck.status == 502
    assert replaced - began > 9, "it may have told that it is well a second before"
    # A request that it was answering right then: a POST, or a GET of which the visitor had the beginning already.
    assert [str(request) for request in load.failures if request.began > froze] == []
    assert len(load.failures) < 8, "it has eight threads, and one of them froze it"
    assert newcomers.failures == []
    assert len([request for request in newcomers.requests if request.began + request.seconds < replaced]) > 100
