"""Where the units of the role metrics listen, and who may connect to them, as it is rendered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "metrics"
SERVER = ("prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter")


def trusted(value: Any) -> Any:
    """Texts in it marked as templates, as Ansible does with what it loads itself."""
    return trust_as_template(value) if isinstance(value, str) else value


def rendered(name: str, **given: Any) -> str:
    """A template with the role's defaults and vars, and what is given over them."""
    variables: dict[str, Any] = {"ansible_managed": "Ansible managed", "__metrics_host": {"addresses": []}}
    for place in ("defaults", "vars"):
        found = yaml.safe_load((ROLE / place / "main.yml").read_text())
        variables.update({key: trusted(value) for key, value in found.items()})
    loader = DataLoader()
    loader.set_basedir(str(ROLE / "templates"))
    text = (ROLE / "templates" / name).read_text()
    templar = Templar(loader=loader, variables={**variables, **given})
    return str(templar.template(trust_as_template(text)))


def listening(unit: str, **given: Any) -> list[str]:
    """The addresses that a unit of Debian's is told to listen at."""
    return re.findall(r"listen-address=(\S*)", rendered(f"{unit}.conf.j2", **given))


def test_the_exporter_listens_on_loopback_alone_without_a_scraper() -> None:
    assert listening("prometheus-node-exporter") == ["127.0.0.1:9100"]


def test_the_exporter_listens_for_a_scraper_where_that_reaches_the_host() -> None:
    found = {"addresses": ["192.0.2.10", "2001:db8::10"]}
    at = listening("prometheus-node-exporter", __metrics_host=found, metrics_node_port=9101)
    assert at == ["127.0.0.1:9101", "192.0.2.10:9101", "[2001:db8::10]:9101"]


def test_systemd_lets_in_the_scrapers_alone_whatever_the_firewall_does() -> None:
    found = rendered("prometheus-node-exporter.conf.j2", metrics_scrapers=["192.0.2.7", "2001:db8::/64"])
    assert "IPAddressDeny=any\nIPAddressAllow=localhost 192.0.2.7 2001:db8::/64\n" in found


@pytest.mark.parametrize(("unit", "port"), [*zip(SERVER, (9090, 9093, 9115), strict=True)])
def test_the_server_listens_on_loopback_alone_and_with_its_guard(unit: str, port: int) -> None:
    assert [at for at in listening(unit) if at] == [f"127.0.0.1:{port}"]  # an empty one: Alertmanager has no cluster
    assert "Requires=groundwork-metrics.service\nAfter=groundwork-metrics.service" in rendered(f"{unit}.conf.j2")


def test_accounts_that_may_connect_are_named_and_all_others_refused() -> None:
    chain = rendered("readers.nft.j2", metrics_readers=["grafana"]).partition("policy accept;")[2]
    assert [line.strip() for line in chain.splitlines() if line.strip(" \t}")] == [
        'oif != "lo" accept',
        "tcp dport != { 9090, 9093, 9115 } accept",
        "ct state established accept",
        'meta skuid { "root", "prometheus", "grafana" } accept',
        "reject with tcp reset",
    ]


def test_no_other_account_reads_the_secrets_of_receivers() -> None:
    tasks = yaml.safe_load((ROLE / "tasks/server.yml").read_text())
    files = [file for task in tasks for file in task.get("groundwork.flask.file_set", {}).get("files", [])]
    (secret,) = [file for file in files if file["dest"].endswith("/alertmanager.yml")]
    assert (secret["mode"], secret["secret"]) == ("0640", True)
