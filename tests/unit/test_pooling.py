"""Which apps of a host have a pooler, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.pooling import pooling
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils.pooling import plan

FACTS = {"processor_nproc": 2, "memtotal_mb": 4096}


def app(name: str = "shop", **more: Any) -> dict[str, Any]:
    """An app as the role takes it: 5 workers of 8 threads, unless it is told otherwise."""
    base = {"provider": "postgresql", "pool": None, "workers": 5, "worker_memory": 100, "threads": 8}
    return {"name": name, **base, "processes": 0, "jobs": 0, **more}


@pytest.mark.parametrize(
    ("apps", "limit", "sizes"),
    [
        ([], 100, {}),
        ([app()], 100, {}),  # 80 + 10
        ([app(processes=6, jobs=4)], 100, {}),  # 100, the last that fits
        ([app(processes=6, jobs=5)], 100, {"shop": 20}),
        ([app()], 50, {"shop": 20}),
        ([app(), app("blog", workers=2, threads=2)], 100, {}),  # 80 + 8 + 10
        ([app(), app("blog", workers=2, threads=4)], 100, {"shop": 20, "blog": 20}),
        ([app(pool=True)], 100, {"shop": 20}),
        ([app(pool=True), app("blog", workers=1)], 100, {"shop": 20}),  # 20 + 16 + 10
        ([app(pool=False), app("blog")], 100, {"blog": 10}),  # 10 are left beside the direct 80
        ([app(pool=False), app("blog", pool=False)], 100, {}),
        ([app(str(number)) for number in range(9)], 100, {str(number): 10 for number in range(9)}),
        ([app(str(number)) for number in range(50)], 100, {str(number): 4 for number in range(50)}),
        ([app(), app("wiki", provider="mariadb")], 100, {}),
    ],
)
def test_poolers(apps: list[dict[str, Any]], limit: int, sizes: dict[str, int]) -> None:
    assert {pooler["name"]: pooler["size"] for pooler in pooling(apps, limit, FACTS)["poolers"]} == sizes


@pytest.mark.parametrize(
    ("cores", "memory", "connections"),
    [(2, 4096, 80), (1, 4096, 48), (32, 1024, 80), (2, 512, 32)],
)
def test_without_a_number_of_workers_the_servers_rule_counts(cores: int, memory: int, connections: int) -> None:
    (demand,) = plan([app(workers=None)], 100, cores, memory).demands
    assert demand.connections == connections


def test_a_pooler_that_nobody_asked_for_says_why_with_the_numbers() -> None:
    apps = [app(processes=2, jobs=1), app("blog", pool=True, workers=1)]
    shop, blog = pooling(apps, 100, FACTS)["poolers"]
    assert (blog["automatic"], blog["reason"]) == (False, "as configured")
    assert shop["automatic"]
    assert shop["reason"] == (
        "shop 83 (2 x 5 workers x 8 threads + 2 processes + 1 job) + blog's pooler 20 + 10 for release commands and "
        "backups = 113 connections during a deploy, and PostgreSQL takes 100 (max_connections)"
    )


def test_connections_that_may_be_refused_are_a_warning_with_remedies() -> None:
    assert pooling([app(pool=False)], 100, FACTS)["warnings"] == []
    (warning,) = pooling([app(pool=False), app("blog", pool=True)], 90, FACTS)["warnings"]
    assert warning == (
        "PostgreSQL takes 90 connections (max_connections), and shop 80 (2 x 5 workers x 8 threads) + blog's pooler 4 "
        "+ 10 for release commands and backups make 94: some may be refused during a deploy. To make room, take "
        "`pool: false` away from shop, or raise database_max_connections, or lower workers and threads in `server`."
    )


@pytest.mark.parametrize(("release", "prepares"), [("bookworm", False), ("trixie", True), ("noble", True)])
def test_what_a_release_is_to_know_of_its_pooler(release: str, prepares: bool) -> None:
    found = pooling([app(pool=True), app("blog")], 1000, {**FACTS, "distribution_release": release})
    assert found["records"] == {
        "shop": {
            "socket": on_host("pooler", "shop"),
            "port": 6432,
            "automatic": False,
            "reason": "as configured",
            "prepared_statements": prepares,
        }
    }


@pytest.mark.parametrize(("threads", "clients"), [(8, 200), (100, 1010)])
def test_a_pooler_takes_all_connections_of_its_app(threads: int, clients: int) -> None:
    (pooler,) = pooling([app(pool=True, threads=threads)], 100, FACTS)["poolers"]
    assert pooler["clients"] == clients


def test_its_units_start_and_leave_together() -> None:
    found = pooling([app(pool=True)], 100, FACTS, absent=["blog"])
    assert [(unit["name"], unit["state"]) for unit in (*found["units"], *found["absent_units"])] == [
        ("shop.pooler.socket", "started"),
        ("shop.pooler.service", "started"),
        ("blog.pooler.socket", "stopped"),
        ("blog.pooler.service", "stopped"),
    ]
