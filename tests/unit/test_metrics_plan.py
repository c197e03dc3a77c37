"""The configuration of Prometheus and its companions, from the inventory; promtool and amtool read it on a host."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.filter.metrics_hosts import metrics_hosts
from ansible_collections.groundwork.flask.plugins.filter.metrics_plan import metrics_plan
from ansible_collections.groundwork.flask.plugins.module_utils.watch import metrics

SHOP = {"source": {"directory": "/src"}, "wsgi_app": "shop:app", "domains": ["shop.test", "www.shop.test"]}
HOSTVARS: dict[str, dict[str, Any]] = {
    "web1": {"ansible_host": "192.0.2.10", "flask_apps": {"shop": SHOP | {"health_path": "/healthz"}}},
    "web2": {"ansible_host": "192.0.2.11", "metrics_address": "2001:db8::7", "metrics_node_port": 9101},
    "web3.example.org": {"flask_apps": {"shop": SHOP}},
}
VARIABLES: dict[str, Any] = {
    "hosts": metrics_hosts(HOSTVARS, list(HOSTVARS), "mon1"),
    "alertmanager_port": 9093,
    "blackbox_port": 9115,
    "private_ca": "",
    "receivers": [],
    "route": {},
    "alertmanager_settings": {},
}


def scraped(job: str, **variables: Any) -> list[dict[str, Any]]:
    """The targets of a job of Prometheus."""
    jobs = metrics_plan(VARIABLES | variables)["prometheus.yml"]["scrape_configs"]
    found: list[dict[str, Any]] = next(one for one in jobs if one["job_name"] == job)["static_configs"]
    return found


def test_each_host_is_scraped_at_its_address_under_its_name() -> None:
    assert scraped("hosts") == [
        {"targets": ["192.0.2.10:9100"], "labels": {"host": "web1"}},
        {"targets": ["[2001:db8::7]:9101"], "labels": {"host": "web2"}},
        {"targets": ["web3.example.org:9100"], "labels": {"host": "web3.example.org"}},
    ]


def test_the_server_scrapes_itself_by_loopback() -> None:
    assert scraped("hosts", hosts=metrics_hosts(HOSTVARS, ["web1"], "web1"))[0]["targets"] == ["127.0.0.1:9100"]


def test_each_site_is_asked_for_once_by_its_first_domain_and_health_path() -> None:
    twice = metrics_hosts(HOSTVARS | {"web4": HOSTVARS["web1"]}, [*HOSTVARS, "web4"], "mon1")
    assert scraped("sites", hosts=twice) == [
        {"targets": ["https://shop.test/healthz"], "labels": {"app": "shop"}},  # whichever host of the two answers
        {"targets": ["https://shop.test/"], "labels": {"host": "web3.example.org", "app": "shop"}},
    ]


def test_apps_that_cannot_be_read_are_refused_with_their_host() -> None:
    with pytest.raises(AnsibleFilterError, match="metrics_hosts: web1: "):
        metrics_hosts({"web1": {"flask_apps": {"shop": {"domain": "shop.test"}}}}, ["web1"], "mon1")


def test_an_exporter_cannot_take_the_name_of_another_host_or_flood_prometheus() -> None:
    hosts = metrics_plan(VARIABLES)["prometheus.yml"]["scrape_configs"][0]
    assert hosts["honor_labels"] is False
    assert hosts["sample_limit"] == 20_000


@pytest.mark.parametrize(
    ("receivers", "route", "first"),
    [
        ([], {}, "nobody"),
        ([{"name": "ops", "webhook_configs": []}, {"name": "b"}], {}, "ops"),
        ([{"name": "ops"}, {"name": "b"}], {"receiver": "b"}, "b"),
    ],
)
def test_the_first_receiver_gets_everything(receivers: list[Any], route: dict[str, Any], first: str) -> None:
    made = metrics_plan(VARIABLES | {"receivers": receivers, "route": route})["alertmanager.yml"]
    assert made["route"]["receiver"] == first
    assert made["receivers"] == (receivers or [{"name": "nobody"}])


def test_settings_of_alertmanager_are_its_own() -> None:
    made = metrics_plan(VARIABLES | {"alertmanager_settings": {"smtp_from": "a@b.test"}, "route": {"group_wait": "1m"}})
    assert made["alertmanager.yml"]["global"] == {"smtp_from": "a@b.test"}
    assert made["alertmanager.yml"]["route"]["group_wait"] == "1m"
    assert "global" not in metrics_plan(VARIABLES)["alertmanager.yml"]


@pytest.mark.parametrize(("ca", "config"), [("", None), ("/etc/ca.pem", {"ca_file": "/etc/ca.pem"})])
def test_sites_with_a_private_ca(ca: str, config: dict[str, str] | None) -> None:
    http = metrics_plan(VARIABLES | {"private_ca": ca})["blackbox.yml"]["modules"]["site"]["http"]
    assert http.get("tls_config") == config


def test_rules_name_metrics_that_there_are() -> None:
    named = {
        name
        for group in metrics_plan(VARIABLES)["rules.yml"]["groups"]
        for rule in group["rules"]
        for name in re.findall(r"\bgroundwork_\w+", rule["expr"])
    }
    assert named
    assert named <= {family.name for family in metrics.FAMILIES}
