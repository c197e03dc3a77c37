"""The outgoing policy of an app: what is refused, what the role is given, and the table that comes of it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.outgoing import cli, metadata, policies, rules
from ansible_collections.groundwork.flask.plugins.module_utils.outgoing.policies import Destination, Policy
from ansible_collections.groundwork.flask.plugins.plugin_utils import model, role_inputs
from ansible_collections.groundwork.flask.tests.unit.flask_app import app

NUMBERS = {"shop": 998, "blog": 997, "gone": None, "twin": 998, "root": 0}

# --- what a user writes ----------------------------------------


@pytest.mark.parametrize(
    ("outgoing", "problem"),
    [
        ("any", "'any' is not a list: write `outgoing: [{to: [192.0.2.7], ports: [443]}]`, or `outgoing: []`"),
        ([{"ports": [443]}], "[0].to is missing: write `to: [192.0.2.7]`, or `to: [any]`"),
        ([{"to": ["smtp.example.org"]}], "[0].to: 'smtp.example.org' is neither an address nor a network: write it as"),
        ([{"to": [7]}], "[0].to: 7 is neither an address nor a network"),
        ([{"to": ["192.0.2.7/24"]}], "'192.0.2.7/24' is an address within a network: write '192.0.2.0/24' for"),
        ([{"to": ["::ffff:192.0.2.7"]}], "'::ffff:192.0.2.7' is an IPv4 address written as an IPv6 one"),
        ([{"to": ["fe80::1%eth0"]}], "'fe80::1%eth0' is "),
        ([{"to": ["169.254.169.254"]}], "is a metadata address (AWS, Azure, Google Cloud"),
        ([{"to": ["fd00:ec2:0::254"]}], "is a metadata address (AWS)"),
        ([{"to": ["any"], "ports": [0]}], "[0].ports: 0 is no port: write a number from 1 to 65535, or a range"),
        ([{"to": ["any"], "ports": ["9-8"]}], "'9-8' is no port"),
        ([{"to": ["any"], "ports": [True]}], "True is no port"),
        ([{"to": ["any"], "ports": ["80; accept"]}], "'80; accept' is no port"),
        ([{"to": ["any"], "protocol": "icmp"}], "'icmp' is not one of tcp, udp"),
        ([{"to": ["any"], "port": 443}], "[0].port is not an option: did you mean ports?"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_with_the_remedy(outgoing: Any, problem: str) -> None:
    with pytest.raises(model.ModelError) as refusal:
        model.load(app(outgoing=outgoing))
    assert any(one.startswith("flask_apps.shop.outgoing") and problem in one for one in refusal.value.problems)


def test_what_the_role_is_given() -> None:
    wanted = [{"to": ["any", "2001:DB8::/32"], "ports": [443, "8000-8010"]}, {"to": ["192.0.2.7"], "protocol": "udp"}]
    (shop,) = model.load(app(outgoing=wanted))
    assert role_inputs.accounts(shop)["outgoing"] == [
        {"to": ["any", "2001:db8::/32"], "ports": ["443", "8000-8010"], "protocol": "tcp"},
        {"to": ["192.0.2.7/32"], "ports": [], "protocol": "udp"},
    ]
    (closed,) = model.load(app(outgoing=[]))
    assert role_inputs.accounts(closed)["outgoing"] == []
    (plain,) = model.load(app())
    assert not {"outgoing", "instance_metadata"} & set(role_inputs.accounts(plain))


def test_a_metadata_address_may_be_listed_where_they_are_open() -> None:
    (shop,) = model.load(app(outgoing=[{"to": ["169.254.169.254"], "ports": [80]}], instance_metadata=True))
    assert role_inputs.accounts(shop)["instance_metadata"] is True


# --- what stands on the host ----------------------------------------


def write(directory: Path, **files: Any) -> None:
    for name, given in files.items():
        (directory / f"{name}.json").write_text(given if isinstance(given, str) else json.dumps(given))


def test_one_policy_never_keeps_another_from_being_loaded(tmp_path: Path) -> None:
    fine = {"outgoing": None, "instance_metadata": False}
    write(tmp_path, blog=fine, gone=fine, root=fine, shop=fine, twin=fine, Bad=fine)
    found, problems = policies.read_all(tmp_path, NUMBERS.get)
    assert found == [Policy("blog", 997), Policy("shop", 998)]
    assert [re.sub(r".*/", "", one) for one in problems] == [
        "root.json is about an account with the number of root: it is left out",
        "twin and shop have the number 998 both: the policy of twin is left out",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"outgoing": 7}',
        '{"outgoing": [{"to": ["x"]}]}',
        '{"outgoing": [{"to": ["any"], "ports": ["x"]}]}',
    ],
)
def test_a_policy_that_cannot_be_read_leaves_its_app_the_host_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path, shop=text, blog={"outgoing": None})
    found, problems = policies.read_all(tmp_path, NUMBERS.get)
    assert found == [Policy("blog", 997), Policy("shop", 998, ())]
    assert "nothing but the host itself is open to shop. Run site.yml" in problems[0]


def test_name_servers_are_those_that_are_not_on_the_host() -> None:
    text = "# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53 # one\nnameserver fe80::1%eth0\nnameserver x\n"
    assert policies.name_servers(text) == ["192.0.2.53", "fe80::1"]


# --- the table ----------------------------------------

LISTED = (
    Destination(("192.0.2.0/24", "192.0.2.7/32", "2001:db8::7/128"), ("8000-8010", "443", "8005", "444")),
    Destination(("any",), ("123",), "udp"),
    Destination(("198.51.100.1/32",)),
)


def rows(text: str, chain: str) -> list[str]:
    """The rules of a chain."""
    found = re.search(rf"\tchain {re.escape(chain)} {{\n(.*?)\n\t}}", text, re.S)
    return [row.strip() for row in found[1].splitlines()] if found else []


def test_an_app_reaches_all_but_the_metadata_addresses_by_default() -> None:
    text = rules.table([Policy("shop", 998)], ["192.0.2.53"], 990)
    assert rows(text, "output")[1:] == ["meta skuid vmap { 998 : goto app/shop }"]
    assert rows(text, "app/shop") == [
        'fib saddr type != local goto refuse/shop comment "not from an address of the host"',
        'ct direction reply accept comment "answers to what others have begun"',
        "ip daddr @metadata_ipv4 jump metadata/shop",
        "ip6 daddr @metadata_ipv6 jump metadata/shop",
    ]
    assert rows(text, "metadata/shop") == ["meta l4proto { 6, 17 } th dport 53 return", "goto refuse/shop"]
    assert "169.254.169.254" in text
    assert "fd00:ec2::254" in text


def test_an_app_with_a_list_reaches_that_the_host_and_name_servers() -> None:
    text = rules.table([Policy("shop", 998, LISTED)], ["192.0.2.53", "2001:db8::53"], 990)
    assert rows(text, "app/shop")[4:] == [
        'meta skgid 990 accept comment "builds"',
        'oif "lo" accept',
        "ip daddr { 192.0.2.53/32 } udp dport { 53 } accept",
        "ip6 daddr { 2001:db8::53/128 } udp dport { 53 } accept",
        "ip daddr { 192.0.2.53/32 } tcp dport { 53 } accept",
        "ip6 daddr { 2001:db8::53/128 } tcp dport { 53 } accept",
        "ip daddr { 192.0.2.0/24 } tcp dport { 443-444, 8000-8010 } accept",
        "ip6 daddr { 2001:db8::7/128 } tcp dport { 443-444, 8000-8010 } accept",
        "udp dport { 123 } accept",
        "ip daddr { 198.51.100.1/32 } meta l4proto 6 accept",
        "goto refuse/shop",
    ]


def test_an_app_with_an_empty_list_reaches_the_host_alone() -> None:
    text = rules.table([Policy("shop", 998, ())], ["192.0.2.53"], None)
    assert rows(text, "app/shop")[4:] == ['oif "lo" accept', "goto refuse/shop"]


def test_metadata_is_open_to_an_app_that_asks_for_it() -> None:
    text = rules.table([Policy("shop", 998, (), metadata=True)], [], None)
    assert rows(text, "app/shop")[2:4] == ["ip daddr @metadata_ipv4 accept", "ip6 daddr @metadata_ipv6 accept"]
    assert not rows(text, "metadata/shop")


def test_what_is_refused_is_refused_at_once_and_logged_with_a_limit() -> None:
    text = rules.table([Policy("my-shop_2", 998)], [], None)
    assert rows(text, "refuse/my-shop_2") == [
        'limit rate 6/minute burst 10 packets log prefix "groundwork-outgoing my-shop_2: " flags skuid',
        "meta l4proto 6 reject with tcp reset",
        "reject with icmpx admin-prohibited",
    ]


def test_addresses_are_split_by_their_version() -> None:
    assert sorted(metadata.of_version(4) + metadata.of_version(6)) == sorted(metadata.METADATA)


# --- the program ----------------------------------------


class Host:
    """A host of which the kernel's table is what was loaded last."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self.loaded = tmp_path, ""
        self.calls: list[str] = []
        monkeypatch.setattr(cli, "on_host", lambda name: str(tmp_path) if name == "outgoing" else "root")
        monkeypatch.setattr(cli, "RESOLVER", tmp_path / "resolv.conf")
        monkeypatch.setattr(policies, "number_of", NUMBERS.get)
        monkeypatch.setattr(programs, "run", self.run)
        monkeypatch.setattr(cli, "NFT", "/bin/sh")
        write(tmp_path, shop={"outgoing": None})

    def run(self, argv: tuple[str, ...], payload: bytes = b"", **_more: Any) -> subprocess.CompletedProcess[str]:
        """Run nft, unshare or systemctl."""
        self.calls.append(argv[0])
        if argv[0] == cli.SYSTEMCTL:
            return subprocess.CompletedProcess(argv, cli.load(), "", "")
        if argv[0] == cli.UNSHARE:
            return subprocess.CompletedProcess(argv, 0, payload.decode(), "")
        if "list" in argv:
            return subprocess.CompletedProcess(argv, 0 if self.loaded else 1, self.loaded, "")
        self.loaded = payload.decode()
        return subprocess.CompletedProcess(argv, 0, "", "")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_rules_that_somebody_has_changed_are_loaded_again(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["hold", "--dry-run"]) == 0
    assert "are not those that the policies in" in capsys.readouterr().out
    assert cli.main(["hold"]) == 0
    assert "They were loaded again." in capsys.readouterr().out
    assert cli.main(["hold"]) == 0
    assert capsys.readouterr().out == ""
    (host.directory / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    write(host.directory, shop={"outgoing": [{"to": ["any"], "ports": ["443"]}]})
    assert cli.main(["load"]) == 0
    assert "192.0.2.53/32" in host.loaded


def test_name_servers_that_change_while_the_table_is_loaded_are_in_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(host.directory, shop={"outgoing": [{"to": ["any"], "ports": ["443"]}]})
    changed = iter(["nameserver 192.0.2.54\n", "nameserver 192.0.2.55\n"])
    run = host.run

    def changing(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        done = run(*arguments, **options)
        if text := next(changed, ""):
            cli.RESOLVER.write_text(text)
        return done

    monkeypatch.setattr(programs, "run", changing)
    assert cli.main(["load"]) == 0
    assert "192.0.2.55/32" in host.loaded


def test_a_policy_that_cannot_be_read_is_an_error_and_the_others_are_loaded(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    write(host.directory, blog="")
    assert cli.main(["load"]) == 1
    assert "goto app/shop" in host.loaded
    assert "open to blog. Run site.yml" in capsys.readouterr().err


def test_a_host_without_nftables(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "NFT", str(host.directory / "nft"))
    assert cli.main(["load"]) == 1
    assert "install the package nftables" in capsys.readouterr().err
    (host.directory / "shop.json").unlink()
    assert cli.main(["load"]) == 0
