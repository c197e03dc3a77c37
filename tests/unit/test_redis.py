"""The instances of Redis that apps have, and what is said of those that nothing asks for any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.filter.redis_instances import redis_instances
from ansible_collections.groundwork.flask.plugins.filter.service_warnings import service_warnings
from ansible_collections.groundwork.flask.plugins.module_utils import host_facts
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils import model
from ansible_collections.groundwork.flask.tests.unit.flask_app import app

SHOP = {"name": "shop", "purpose": "queue", "maxmemory": "16mb"}
BLOG = {"name": "blog", "purpose": "both", "maxmemory": "1gb"}
FILES = {"shop": ["database.json", "redis-cache.conf", "redis.conf", "redis.json"], "gone": ["redis.conf"]}


def test_an_instance_for_each_purpose() -> None:
    plan = redis_instances([SHOP, BLOG])
    assert [one["name"] for one in plan["instances"]] == ["shop.redis", "blog.redis", "blog.redis-cache"]
    assert plan["instances"][0] == {
        "app": "shop",
        "name": "shop.redis",
        "purpose": "queue",
        "maxmemory": "16mb",
        "memory_max": 96 * 2**20,
        "socket": "/run/shop.redis/redis.sock",
        "directory": "/var/lib/shop.redis",
        "configuration": f"{on_host('services', 'shop')}/redis.conf",
        "unit_file": "/etc/systemd/system/shop.redis.service",
    }
    assert [one["name"] for one in plan["units"]] == [f"{one['name']}.service" for one in plan["instances"]]


def test_the_record_has_the_sockets_of_what_is_asked_for() -> None:
    shop, blog = redis_instances([SHOP, BLOG])["apps"]
    assert shop["record"] == f"{on_host('services', 'shop')}/redis.json"
    assert shop["sockets"] == {"queue": "/run/shop.redis/redis.sock"}
    assert blog["sockets"] == {"queue": "/run/blog.redis/redis.sock", "cache": "/run/blog.redis-cache/redis.sock"}


def test_a_change_of_one_instance_restarts_no_other() -> None:
    for unit, one in zip(redis_instances([BLOG])["units"], redis_instances([BLOG])["instances"], strict=True):
        assert unit["on_change"] == "ignored"
        assert unit["restart_for"] == [one["unit_file"], one["configuration"]]


def test_an_absent_app_loses_all_and_an_absent_instance_that_one() -> None:
    plan = redis_instances([SHOP, BLOG], ["shop"])
    assert [one["name"] for one in plan["apps"]] == ["blog"]
    assert plan["absent_parts"] == ["shop", "shop.redis", "shop.redis-cache"]
    assert [unit["name"] for unit in plan["absent_units"]] == ["shop.redis.service", "shop.redis-cache.service"]
    plan = redis_instances([SHOP], ["shop.redis-cache"])
    assert [one["name"] for one in plan["instances"]] == ["shop.redis"]
    assert plan["absent_parts"] == ["shop.redis-cache"]


@pytest.mark.parametrize(
    ("apps", "absent", "message"),
    [
        ([{**SHOP, "maxmemory": "lots"}], [], "'lots' is not an amount of memory: write it as 128mb"),
        ([SHOP], ["shop.redis"], "shop.redis cannot go: it follows from flask_apps; take it from redis_absent"),
    ],
)
def test_refusals(apps: list[dict[str, Any]], absent: list[str], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        redis_instances(apps, absent)


@pytest.mark.parametrize(
    ("purpose", "absent", "units"),
    [
        ("both", [], []),
        ("queue", [], ["shop.redis-cache"]),
        ("queue", ["shop.redis-cache"], []),
        ("", [], ["shop.redis", "shop.redis-cache"]),
        ("", ["shop"], []),
    ],
)
def test_what_is_asked_for_no_more_goes_on_and_is_named(purpose: str, absent: list[str], units: list[str]) -> None:
    found = service_warnings(app(redis={"purpose": purpose} if purpose else {}), FILES, absent)
    assert len(found) == len(units)
    for text, unit in zip(found, units, strict=True):
        assert text.startswith(f"flask_apps.shop.redis: {unit}.service goes on, although it is asked for no more")
        assert f"""-e '{{"redis_absent": ["{unit}"]}}'""" in text


def test_a_host_without_services_has_nothing_left() -> None:
    assert service_warnings({"shop": {}}, {}) == []
    assert service_warnings({"shop": {}}, FILES) == [], "an inventory that cannot be read is refused elsewhere"


def test_host_facts_list_the_files_of_each_app(tmp_path: Path) -> None:
    assert host_facts.services(tmp_path) == {}
    for name in ("shop/redis.json", "shop/database.json", "blog/redis.conf"):
        file = tmp_path / "etc/groundwork/services" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert host_facts.services(tmp_path) == {"blog": ["redis.conf"], "shop": ["database.json", "redis.json"]}


def test_memory_without_a_purpose_is_refused() -> None:
    with pytest.raises(model.ModelError, match=r"flask_apps\.shop\.redis\.maxmemory needs `purpose`"):
        model.load(app(redis={"maxmemory": "64mb"}))
    assert model.load(app(redis={}))
