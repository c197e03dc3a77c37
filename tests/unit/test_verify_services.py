"""What the apps stand on: a database that answers, Redis that runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected, ExpectedApp
from ansible_collections.groundwork.flask.plugins.module_utils.verify.services import services
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost, bad

PLACE = on_host("services", "shop")
RUNS = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


@contextmanager
def listening(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


def test_a_database_that_answers_and_one_that_does_not(host: FakeHost) -> None:
    noted = {"provider": "postgresql", "name": "shop", "socket": "/run/pg", "port": 5433}
    host.write(f"{PLACE}/database.json", json.dumps(noted))
    expected = Expected({"shop": ExpectedApp("shop", database="postgresql")})
    with listening(host.root / "run/pg/.s.PGSQL.5433"):
        assert [one.state for one in host.found(services, expected)] == ["ok"]
    assert bad(host.found(services, expected)) == [
        "problem: PostgreSQL does not answer at /run/pg/.s.PGSQL.5433: Connection refused."
    ]


def test_one_that_is_declared_and_not_there(host: FakeHost) -> None:
    expected = Expected({"shop": ExpectedApp("shop", database="mariadb"), "blog": ExpectedApp("blog", database="url")})
    (text,) = bad(host.found(services, expected))
    assert text == "problem: shop is declared to have a database on MariaDB, and this host has none for it."


@pytest.mark.parametrize("declared", [True, False])
def test_redis(host: FakeHost, declared: bool) -> None:
    expected = Expected({"shop": ExpectedApp("shop", redis=("queue",) if declared else ())})
    if not declared:
        host.write(f"{PLACE}/redis.json", '{"queue": "/run/shop.redis/redis.sock"}')
    host.units = {"shop.redis.service": RUNS}
    assert bad(host.found(services, expected)) == []
    host.units = {"shop.redis.service": {**RUNS, "ActiveState": "inactive"}}
    host.look = type(host.look)(host.root, host.run)
    assert bad(host.found(services, expected)) == ["problem: shop.redis.service is stopped."]


def test_an_app_that_stands_on_nothing(host: FakeHost) -> None:
    assert host.found(services, Expected({"shop": ExpectedApp("shop")})) == []
