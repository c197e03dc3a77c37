"""What is refused of the firewall's variables before the host is changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.filter.firewall_problems import firewall_problems

SOUND: dict[str, Any] = {
    "services": [{"port": 80}, {"port": 5432, "from": ["192.0.2.0/24", "2001:db8::/32"]}],
    "ssh_ports": [22],
    "ssh_from": [],
    "unlimited": [],
    "ssh_limit": 600,
    "connection_limit": 200,
}


def found(connection: str = "198.51.100.9 50000 192.0.2.1 22", enabled: bool = True, **given: Any) -> list[str]:
    """The problems of variables that are sound but for those given."""
    return firewall_problems({**SOUND, **given}, connection.split(), 22, enabled)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"ssh_ports": [2222]},
            "firewall_ssh_ports is [2222], but this connection came in on port 22: it would be shut out. Add 22 to "
            "firewall_ssh_ports, or connect by one of the listed ports. Nothing was changed.",
        ),
        (
            {"ssh_from": ["192.0.2.0/24", "2001:db8::/32"]},
            "firewall_ssh_from is 192.0.2.0/24, 2001:db8::/32, but this connection comes from 198.51.100.9: it would "
            "be shut out. Add 198.51.100.9, or its network, to firewall_ssh_from, or connect from a listed address, "
            "such as that of a jump host (`ansible_ssh_common_args: -J user@host`). Nothing was changed.",
        ),
        (
            {"services": [{"port": 1, "from": ["db.example.org"]}]},
            "The `from` of a firewall service takes addresses and networks, such as 192.0.2.7 or 2001:db8::/32. Names "
            "are refused: db.example.org. At boot, before the network, nobody could resolve them.",
        ),
        (
            {"services": [{"port": 1, "from": "192.0.2.0/24"}, {"port": 2, "from": "db.example.org"}]},
            "The `from` of a firewall service takes addresses and networks, such as 192.0.2.7 or 2001:db8::/32. Names "
            "are refused: db.example.org. At boot, before the network, nobody could resolve them.",
        ),
        (
            {"ssh_from": ["198.51.100.9", "office.example.org"]},
            "The list firewall_ssh_from takes addresses and networks, such as 192.0.2.7 or 2001:db8::/32. Names are "
            "refused: office.example.org. At boot, before the network, nobody could resolve them.",
        ),
        ({"ssh_limit": -1}, "firewall_ssh_limit is -1: choose 1 to 1,000,000, or 0 for no limit."),
        (
            {"connection_limit": 10**7},
            "firewall_connection_limit is 10000000: choose 1 to 1,000,000, or 0 for no limit.",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(given: dict[str, Any], message: str) -> None:
    assert found(**given) == [message]


@pytest.mark.parametrize(
    ("address", "sources"),
    [
        ("198.51.100.9", ["198.51.100.9"]),
        ("198.51.100.9", ["198.51.100.7/24"]),
        ("::ffff:198.51.100.9", ["198.51.100.0/24"]),
        ("2001:db8::9", ["192.0.2.0/24", "2001:DB8::/32"]),
        ("fe80::9%eth0", ["fe80::/10"]),
        ("UNKNOWN", ["192.0.2.0/24"]),
        ("198.51.100.9", ["192.0.2.300", "198.51.100.9"]),
    ],
)
def test_an_address_that_is_listed_or_not_known_is_let_through(address: str, sources: list[str]) -> None:
    assert found(f"{address} 50000 192.0.2.1 22", ssh_from=sources) == []


def test_a_connection_without_an_address_has_none_to_list() -> None:
    assert found("", ssh_from=["192.0.2.0/24"]) == []


def test_rules_that_are_not_to_be_in_force_shut_nobody_out() -> None:
    assert found(enabled=False, ssh_ports=[2222], ssh_from=["192.0.2.0/24"]) == []


def test_a_name_that_is_no_list_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError, match="firewall_problems: ssh_from"):
        found(ssh_from="192.0.2.0/24")
