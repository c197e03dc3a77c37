"""Under a steady load: releases that switch, servers that follow each other, servers that are killed, broken apps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import testing
import visitor
from kinds import FIGURES, FULL, GUNICORN, MOD_WSGI, OTHERS, SERVERS, UWSGI, WAITRESS, Kind, MakeShop, each
from load import Load
from testinfra.host import Host
from testing import on_host
from visitor import Answer, Site

CURRENT = on_host("current", "guestbook")

full = pytest.mark.full

LEAST = 150  # requests a second
CATCH_UP = 120  # seconds in which a busy machine makes up for requests that are late
SLOW = 5  # seconds


def deploy(host: Host, playbook: str = "deploy.yml", **variables: str) -> None:
    result = testing.play(host, playbook, **variables)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def tell(host: Host, what: str, visitors: Load) -> None:
    """Keep the figures, and print what failed for whoever looks into a failure."""
    FIGURES.append(f"{testing.host_name(host)}: {what}: {visitors.summary()}")
    print(*visitors.failures, sep="\n")


def load(site: Site, get: str = "/", post: str = "/hit") -> Load:
    return Load(site, rate=LEAST + 10, get=get, post=post)


def caught_up(visitors: Load) -> bool:
    """Whether the load has come to its rate, for which it is given time: beside a play it may be late."""
    return testing.poll(lambda: visitors.summary().rate >= LEAST, CATCH_UP)


@contextmanager
def slow_requests(site: Site, wanted: bool) -> Iterator[list[Future[Answer]]]:
    """If they are wanted, a GET and a POST that take five seconds and are under way while the block runs."""
    if not wanted:
        yield []
        return
    with ThreadPoolExecutor(2) as visitors:
        asked = [
            visitors.submit(site.get, f"/wait/{SLOW}.0"),
            visitors.submit(site.post, f"/wait/{SLOW}.0", {"some": "form"}),
        ]
        time.sleep(0.3)
        yield asked


def switches_lose_nothing(host: Host, site: Site, kind: Kind, turns: int) -> None:
    """The first is a deploy, with requests of five seconds under way; the others go back and forth."""
    before = site.get("/count").json["count"]
    releases = [testing.live(host, kind.app)]
    with load(site) as visitors:
        for turn in range(turns):
            old = testing.live(host, kind.app)
            with slow_requests(site, wanted=turn == 0) as slow:
                if turn == 0:
                    deploy(host, app=kind.app, version="v2")
                    releases.append(testing.live(host, kind.app))
                else:
                    host.check_output(f"{kind.app} rollback {releases[(turn + 1) % 2]}")
                assert testing.live(host, kind.app) == releases[(turn + 1) % 2] != old
                done = [request.result() for request in slow]
            assert [(answer.status, answer.json["release"]) for answer in done] == [(200, old)] * len(slow)
        assert caught_up(visitors), visitors.summary()
    tell(host, f"{turns} switches of {kind.app}", visitors)
    assert visitors.failures == []
    counted = site.get("/count").json["count"]
    assert sorted(visitors.posted) == list(range(before + 1, counted + 1))
    assert set(visitors.summary().releases) == set(releases)
    assert testing.leftovers(host, kind.app) == []


@pytest.mark.measuring
@each([UWSGI, WAITRESS, MOD_WSGI], full=[GUNICORN])
def test_switches_lose_nothing(host: Host, shop: MakeShop, kind: Kind) -> None:
    """Gunicorn's are in the scenario `deploy`, whose load is higher."""
    switches_lose_nothing(host, shop(kind), kind, 4 if FULL else 2)


@pytest.mark.full
@pytest.mark.measuring
@each(OTHERS)
def test_a_switch_under_other_workers(host: Host, shop: MakeShop, kind: Kind) -> None:
    switches_lose_nothing(host, shop(kind), kind, 1)


def sign(site: Site, name: str) -> Callable[[], bool]:
    """Sign the guestbook; return the question whether the entry is there."""
    assert visitor.sign(site, f"Signed under {name}").status == 303
    return lambda: f"Signed under {name}" in site.get("/").text


@pytest.mark.measuring
@pytest.mark.parametrize(
    "servers", [["waitress"], pytest.param(["uwsgi", "mod_wsgi", "gunicorn"], marks=full)], ids="-".join
)
def test_each_server_follows_another(host: Host, guestbook: Site, servers: list[str]) -> None:
    """The guestbook moves from Gunicorn to other servers, and back to the one before the last by a rollback."""
    followed = ["gunicorn", *servers][-2]
    signed = [sign(guestbook, "gunicorn")]
    with load(guestbook, "/api/entries", "/healthz") as visitors:
        for server in servers:
            deploy(host, app="guestbook", guestbook_server=server)
            assert server in host.check_output(f"cat {CURRENT}/server.json")
            signed.append(sign(guestbook, server))
            assert guestbook.get("/static/style.css").status == 200
        host.check_output("guestbook rollback")
        assert followed in host.check_output(f"cat {CURRENT}/server.json")
        assert caught_up(visitors), visitors.summary()
    tell(host, f"gunicorn, {', '.join(servers)}, and back to {followed}", visitors)
    assert all(question() for question in signed)
    # /healthz takes no POST: the app says so each time, under every server.
    assert {(request.method, request.status) for request in visitors.requests} == {("GET", 200), ("POST", 405)}
    assert testing.leftovers(host, "guestbook") == []


def kill(host: Host, unit: str) -> tuple[float, float]:
    """Kill the main process of a unit; when that began, and when systemd had started another."""
    ask = f"systemctl show --value --property=MainPID {unit}"
    main, began = host.check_output(ask), time.time()
    host.check_output("kill -KILL %s", main)
    assert testing.poll(lambda: host.check_output(ask) not in ("0", main))
    return began, time.time()


@pytest.mark.alone
@each([UWSGI], full=[GUNICORN, WAITRESS, MOD_WSGI])
def test_a_killed_server_comes_back(host: Host, shop: MakeShop, kind: Kind) -> None:
    """With nginx no GET without an answer is lost, because it asks again; Apache does not.

    Gunicorn's kill in the default suite is in the scenario `deploy`.
    """
    site = shop(kind)
    repeats = host.service("nginx").is_running
    unit = testing.server_unit(host, kind.app)
    killed = []
    with load(site) as visitors:
        for _turn in range(3):
            time.sleep(1)
            killed.append(kill(host, unit))
            assert site.get("/").status == 200  # it answers again before it is killed again
        time.sleep(2)
    lost = [request for request in visitors.failures if request.method == "GET"]
    tell(host, f"3 kills of {kind.app}, {len(lost)} GETs lost", visitors)
    if repeats:
        # A server that sends head and body apart may die between the two.
        assert [request for request in lost if not request.cut] == []
        assert len(lost) <= len(killed)
    # Its workers die a moment after it, before systemd starts another. Whoever came while that started waited in the
    # socket's queue.
    late = [
        one
        for one in visitors.failures
        if not any(one.began <= ended and one.began + one.seconds >= began for began, ended in killed)
    ]
    assert late == []
    assert site.get("/").status == 200


@pytest.mark.parametrize(
    ("version", "words"),
    [
        # It is imported well, and breaks under the server.
        ("service", ["step start", "Traceback", "RuntimeError: service broken on purpose"]),
        # The others are found before any server starts.
        pytest.param("import", ["cannot be imported", "RuntimeError: import broken on purpose"], marks=full),
        pytest.param("factory", ["cannot be imported", "RuntimeError: factory broken on purpose"], marks=full),
        pytest.param("callable", ["TypeError: shop:create_app('EUR'): 7 is not a WSGI application"], marks=full),
    ],
)
def test_a_broken_app_is_refused(host: Host, shop: MakeShop, version: str, words: list[str]) -> None:
    """Under every server, in one play."""
    live = {kind: testing.live(host, kind.app) for kind in SERVERS}
    apps = ",".join(kind.app for kind in SERVERS)
    result = testing.play(host, "deploy.yml", app=apps, shop_version=version, health_timeout=30)
    said = testing.said(result)
    assert result.returncode != 0, said
    assert [word for word in words if said.count(word) < len(SERVERS)] == [], said
    for kind in SERVERS:
        assert testing.live(host, kind.app) == live[kind]
        assert testing.leftovers(host, kind.app) == []
        running = {word for word in host.check_output(f"ps -u {kind.app} -o args=").split() if "/releases/" in word}
        assert running
        assert [word for word in running if f"/{live[kind]}" not in word] == []
        assert shop(kind).get("/").json["release"] == live[kind]
