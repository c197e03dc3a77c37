"""The firewall's rules as they are rendered, and the port that stays open for SSH."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).parents[2] / "roles" / "firewall"
RULES = (ROLE / "templates" / "nftables" / "firewall.nft.j2").read_text()


def trusted(value: Any) -> Any:
    """The value with every text in it marked as a template, as Ansible does with what it loads itself."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def rendered(template: str, **given: Any) -> Any:
    """The template with the role's defaults and vars, and what is given over them."""
    variables: dict[str, Any] = {"ansible_managed": "Ansible managed", "ansible_facts": {}}
    for name in ("defaults", "vars"):
        variables.update(yaml.safe_load((ROLE / name / "main.yml").read_text()))
    variables = {**trusted(variables), **given}
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(template))


def accepted(**given: Any) -> list[str]:
    """The rules that accept new connections to ports."""
    return [line for line in lines(**given) if " accept" in line and " dport " in line and "546" not in line]


def lines(**given: Any) -> list[str]:
    """The rendered rules, a line each."""
    return [line.strip() for line in rendered(RULES, **given).splitlines()]


BASE = [
    'tcp dport 22 accept comment "SSH"',
    'tcp dport 80 accept comment "HTTP"',
    'tcp dport 443 accept comment "HTTPS"',
]


@pytest.mark.parametrize(
    ("service", "rules"),
    [
        ({"port": 8080}, ["tcp dport 8080 accept"]),
        ({"port": "8000-8010", "protocol": "udp"}, ["udp dport 8000-8010 accept"]),
        (
            {"port": 5432, "from": ["192.0.2.0/24", "2001:db8::/32"]},
            ["ip saddr 192.0.2.0/24 tcp dport 5432 accept", "ip6 saddr 2001:db8::/32 tcp dport 5432 accept"],
        ),
        ({"port": 5432, "from": []}, ["tcp dport 5432 accept"]),
        ({"port": 9, "comment": 'he said "no"\nand } left'}, ['tcp dport 9 accept comment "he said no and } left"']),
        ({"port": 9, "comment": ""}, ["tcp dport 9 accept"]),
    ],
)
def test_service(service: dict[str, Any], rules: list[str]) -> None:
    assert accepted(firewall_services=[service]) == BASE + rules


def test_nothing_but_ssh() -> None:
    assert accepted(firewall_default_services=[]) == BASE[:1]


def test_ssh_for_listed_addresses() -> None:
    assert accepted(firewall_default_services=[], firewall_ssh_from=["192.0.2.0/24", "2001:db8::7"]) == [
        'ip saddr 192.0.2.0/24 tcp dport 22 accept comment "SSH"',
        'ip6 saddr 2001:db8::7 tcp dport 22 accept comment "SSH"',
    ]


def test_limits_of_a_source() -> None:
    found = lines(firewall_ssh_ports=[22, 2222], firewall_ssh_limit=90, firewall_connection_limit=50)
    assert "tcp dport { 22, 2222 } jump ssh_limit" in found
    assert "tcp dport { 80, 443 } jump web_limit" in found
    assert "update @ssh_ip4 { ip saddr limit rate over 90/minute burst 90 packets } drop" in found
    network = "ip6 saddr & ffff:ffff:ffff:ffff::"
    assert f"update @ssh_ip6 {{ {network} limit rate over 90/minute burst 90 packets }} drop" in found
    assert f"add @web_ip6 {{ {network} ct count over 50 }} reject with tcp reset" in found
    assert found.index("tcp dport { 22, 2222 } jump ssh_limit") < found.index(BASE[0])


def test_limits_can_be_left_out() -> None:
    found = lines(firewall_ssh_limit=0, firewall_connection_limit=0, firewall_log_drops=False)
    assert not [line for line in found if "limit" in line and not line.startswith("icmp")]
    assert not [line for line in found if line.startswith(("set ", "update ", "add "))]


@pytest.mark.parametrize("services", [[], [{"port": 443, "protocol": "udp"}]])
def test_without_a_service_on_tcp_no_connections_are_counted(services: list[dict[str, Any]]) -> None:
    assert not [line for line in lines(firewall_default_services=services) if "web" in line]


def test_balancers_are_not_limited() -> None:
    found = lines(proxy_trusted_addresses=["192.0.2.0/24", "2001:db8::/32"])
    assert found.count("ip saddr 192.0.2.0/24 return") == 2
    assert found.count("ip6 saddr 2001:db8::/32 return") == 2


def test_invalid_packets_are_dropped_before_any_port_and_errors_and_neighbours_are_let_in_before_that() -> None:
    found = lines()
    invalid = found.index("ct state invalid drop")
    assert all(found.index(rule) > invalid for rule in BASE)
    assert [line.split(" accept")[0] for line in found[:invalid] if line.startswith("icmp")] == [
        "icmpv6 type { 133, 134, 135, 136 } ip6 hoplimit 255",
        "icmpv6 type { 130, 131, 132, 143 } ip6 saddr fe80::/10",
        "icmpv6 type { 1, 2, 3, 4 }",
        "icmp type { 3, 11, 12 }",
        "icmpv6 type 128 limit rate 20/second burst 50 packets",
        "icmp type 8 limit rate 20/second burst 50 packets",
    ]


def test_what_is_dropped_is_logged_last_and_with_a_limit() -> None:
    found = lines()
    log = found.index('limit rate 10/minute burst 10 packets log prefix "groundwork-firewall: "')
    assert all(found.index(rule) < log for rule in BASE)


def test_a_long_comment_is_cut_to_what_nft_takes() -> None:
    (rule,) = accepted(firewall_default_services=[{"port": 80, "comment": "x" * 300}])[1:]
    assert len(rule.split('"')[1]) <= 128


@pytest.mark.parametrize(
    ("facts", "probe", "inventory", "port"),
    [
        ("198.51.100.9 50000 192.0.2.1 2222", None, 22, 2222),
        ("2001:db8::9 50000 2001:db8::1 2222", None, None, 2222),
        ("UNKNOWN 65535 UNKNOWN 65535", None, None, 22),
        ("UNKNOWN 65535 UNKNOWN 65535", None, 2200, 2200),
        (None, "198.51.100.9 50000 192.0.2.1 2222", 22, 2222),
        (None, "", None, 22),
        (None, None, "2200", 2200),
    ],
)
def test_port_of_this_connection(facts: str | None, probe: str | None, inventory: int | str | None, port: int) -> None:
    given: dict[str, Any] = {"ansible_facts": {"env": {} if facts is None else {"SSH_CONNECTION": facts}}}
    if probe is not None:
        given["__firewall_host"] = {"ssh_connection": probe}
    if inventory is not None:
        given["ansible_port"] = inventory
    assert rendered("{{ firewall_ssh_ports }}", **given) == [port]


def test_the_declared_scrapers_alone_reach_the_exporter() -> None:
    found = accepted(metrics_scrapers=["192.0.2.7", "2001:db8::7"], metrics_node_port=9101)
    assert found == [
        *BASE,
        'ip saddr 192.0.2.7 tcp dport 9101 accept comment "node-exporter"',
        'ip6 saddr 2001:db8::7 tcp dport 9101 accept comment "node-exporter"',
    ]
    assert accepted(metrics_scrapers=[]) == BASE
