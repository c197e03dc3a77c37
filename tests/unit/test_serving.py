"""What of the kernel's rules sends a port elsewhere, what another firewall lets in, and what is ours."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import firewalls, serving
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import Manifest

DOCKER = "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 172.17.0.2:8443"


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        (DOCKER, [("tcp", 443)]),
        (
            "-A PREROUTING -p tcp -m multiport --dports 25,80,443 -j DNAT --to-destination 10.0.0.2",
            [("tcp", 80), ("tcp", 443)],
        ),
        ("-A PREROUTING -d 203.0.113.5/32 -p udp -m udp --dport 443 -j REDIRECT --to-ports 8443", [("udp", 443)]),
        ("-A PREROUTING -p tcp -m tcp --dport 1:1024 -j DNAT --to-destination 10.0.0.2", [("tcp", 80), ("tcp", 443)]),
        ("-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80", []),
        ("-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80", []),
        ("-A PREROUTING -i virbr0 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128", []),
        ("-A OUTPUT -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3128", []),
        ("-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT", []),
        ("\t\ttcp dport 80 dnat to 10.0.0.2:8080", [("tcp", 80)]),
        ("\t\ttcp dport { 80, 443 } counter dnat ip to 10.0.0.2", [("tcp", 80), ("tcp", 443)]),
        ('\t\tiifname "eth0" tcp dport https redirect to :8443', [("tcp", 443)]),
        ("\t\tdnat ip to tcp dport map { 80 : 10.88.0.2, 8443 : 10.88.0.3 }", [("tcp", 80)]),
        ('\t\ttcp dport 80 xt target "DNAT"', [("tcp", 80)]),
        ("\tchain OUTPUT {\n\t\ttype nat hook output priority -100;\n\t\ttcp dport 80 redirect to :3128\n", []),
        ("\t\ttcp dport { 80, 443 } accept", []),
    ],
)
def test_redirects(text: str, ports: list[tuple[str, int]]) -> None:
    found = list(serving.redirects({"any": text}, {80, 443}))
    assert [(one["protocol"], one["port"]) for one in found] == ports
    assert all(one["rule"] in " ".join(text.split()) for one in found)


def test_a_rule_that_two_programs_show_is_named_once() -> None:
    assert (
        len(list(serving.redirects({"nft": "tcp dport 443 dnat to 172.17.0.2:8443", "iptables": DOCKER}, {443}))) == 1
    )


ENABLED = {"UnitFileState": "enabled", "ActiveState": "inactive"}


@pytest.mark.parametrize(
    ("unit", "text", "state", "expected"),
    [
        ("apache2.service", "Listen 80\n<IfModule ssl_module>\n\tListen 443\n", {}, True),
        ("apache2.service", "# Listen 80\n listen [::]:443 https\n", {"ActiveState": "failed"}, True),
        ("apache2.service", "Listen 8080\nListen 127.0.0.1:4430\n", {}, False),
        ("apache2.service", "Listen 80\n", {"ActiveState": "active"}, False),
        ("apache2.service", "Listen 80\n", {"UnitFileState": "disabled"}, False),
        ("haproxy.service", "frontend web\n  bind :::443 v4v6 ssl\n", {}, True),
        ("haproxy.service", "frontend web\n  bind 10.0.0.1:8080,*:80\n", {}, True),
        ("haproxy.service", "listen stats\n  bind *:8404\n  server a 10.0.0.2:80\n", {}, False),
        ("lighttpd.service", 'server.port                 = 80\n', {}, True),
        ("lighttpd.service", "server.port = 8081\n", {}, False),
        ("caddy.service", "example.org {\n}\n", {}, True),
        ("nginx.service", "http {\n}\n", {}, True),
        ("nginx.service", None, {}, False),
    ],
)  # fmt: skip
def test_what_takes_a_port_at_the_next_boot(
    tmp_path: Path, unit: str, text: str | None, state: dict[str, str], expected: bool
) -> None:
    file = tmp_path / serving.SERVERS_AT_BOOT[unit][0]
    if text is not None:
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert serving.starts_at_boot(unit, ENABLED | state, tmp_path) is expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"UnitFileState": "transient", "SourcePath": ""}, True),
        ({"UnitFileState": "generated", "SourcePath": "/etc/containers/systemd/web.container"}, True),
        ({"UnitFileState": "generated", "SourcePath": "/etc/init.d/apache2"}, False),
        ({"UnitFileState": "enabled", "SourcePath": ""}, False),
        ({}, False),
    ],
)
def test_what_cannot_be_started_again(state: dict[str, str], expected: bool) -> None:
    assert serving.is_fleeting(state) is expected


def test_containers_that_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        if not argv[0].endswith("docker"):
            raise FileNotFoundError
        printed = "web 0.0.0.0:443->8443/tcp, [::]:443->8443/tcp\ndb 127.0.0.1:5432->5432/tcp\nother\n"
        return subprocess.CompletedProcess(argv, 0, printed, "")

    monkeypatch.setattr(programs, "run", run)
    assert serving.containers() == ["web"]


@pytest.mark.parametrize(
    ("recorded", "main", "ours"),
    [
        (True, "include groundwork/acme.conf;", ["nginx.service"]),
        (False, "include groundwork/acme.conf;", []),
        (True, "http { include sites-enabled/*; }", []),
        (True, None, []),
    ],
)
def test_ours_is_what_is_recorded_and_still_there(
    tmp_path: Path, recorded: bool, main: str | None, ours: list[str]
) -> None:
    if recorded:
        Manifest(parts={"": ["/etc/nginx/nginx.conf"]}).save(tmp_path / "var/lib/groundwork/file_sets/proxy_nginx.json")
    if main is not None:
        (tmp_path / "etc/nginx").mkdir(parents=True)
        (tmp_path / "etc/nginx/nginx.conf").write_text(main)
    assert serving.our_units(tmp_path) == ours


USER_RULES = """*filter
### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow any 8000:8010 0.0.0.0/0 any 0.0.0.0/0 in comment=68656c6c6f
### tuple ### limit_log tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in_eth0
### tuple ### deny tcp 25 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow any any 0.0.0.0/0 any 10.0.0.0/8 in
### tuple ### allow tcp 9000 0.0.0.0/0 any 0.0.0.0/0 out
"""


@pytest.mark.parametrize("enabled", [True, False])
def test_ufw(tmp_path: Path, enabled: bool) -> None:
    (tmp_path / "etc/ufw").mkdir(parents=True)
    (tmp_path / "etc/default").mkdir()
    (tmp_path / "etc/ufw/ufw.conf").write_text(f"# ENABLED=yes\nENABLED={'yes' if enabled else 'no'}\n")
    (tmp_path / "etc/ufw/user.rules").write_text(USER_RULES)
    (tmp_path / "etc/default/ufw").write_text('DEFAULT_INPUT_POLICY="DROP"\n')
    expected = ["22/tcp", "8000-8010", "80/tcp", "443/tcp", "any from 10.0.0.0/8"]
    found = firewalls.ufw(tmp_path)
    assert found == ({"name": "ufw", "unit": "ufw.service", "allowed": expected, "open": False} if enabled else None)


def test_firewalld(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "--state": "running\n",
        "--get-active-zones": "public (default)\n  interfaces: eth0\n",
        "--zone=public": "public\n  target: default\n  services: http ssh\n  ports: 8000-8010/udp\n  rich rules: \n",
    }

    def run(argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, answers[argv[1]], "")

    monkeypatch.setattr(programs, "run", run)
    expected = {"unit": "firewalld.service", "allowed": ["80/tcp", "22/tcp", "8000-8010/udp"], "open": False}
    assert firewalls.firewalld() == {"name": "firewalld", **expected}


INPUT = "type filter hook input priority 0; policy"
SSH = "tcp dport 22 accept"


def nft(table: str, *rules: str) -> dict[str, str]:
    rows = "".join(f"\t\t{rule}\n" for rule in rules)
    return {"nft": f"table {table} {{\n\tchain input {{\n{rows}\t}}\n}}\n"}


def iptables(*rules: str, table: str = "filter") -> dict[str, str]:
    return {"iptables": "\n".join([f"*{table}", *rules, "COMMIT\n"])}


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        (nft("inet filter", f"{INPUT} drop;", SSH), ["the nftables table inet filter"]),
        (nft("ip a", f"{INPUT} accept;", SSH, "counter reject with icmp host-prohibited"), ["the nftables table ip a"]),
        (nft("inet groundwork", f"{INPUT} drop;", SSH), []),
        (nft("inet f2b-table", f"{INPUT} accept;", "ip saddr @banned tcp dport 22 reject"), []),
        (nft("ip filter", "type filter hook forward priority 0; policy drop;"), []),
        ({"nft": "", **iptables(":INPUT DROP [0:0]", "-A INPUT -j ACCEPT")}, ["the INPUT chain of iptables"]),
        (iptables(":INPUT ACCEPT [0:0]", "-A INPUT -j REJECT --reject-with x"), ["the INPUT chain of iptables"]),
        (iptables(":INPUT ACCEPT [0:0]"), []),
        (iptables(":INPUT DROP [0:0]", table="nat"), []),
    ],
)
def test_rules_of_others_that_shut(rules: dict[str, str], names: list[str]) -> None:
    assert [one["name"] for one in firewalls.chains(rules)] == names


def test_the_jails_of_fail2ban_and_what_they_read() -> None:
    dump = (
        "['set', 'loglevel', 'INFO']\n['add', 'sshd', 'systemd']\n['add', 'web', 'auto']\n"
        "['set', 'web', 'addlogpath', '/var/log/nginx/access.log', 'head']\n['start', 'web']\n"
    )
    assert serving.jails(dump) == [{"name": "web", "file": "/var/log/nginx/access.log"}]
    assert serving.jails("") == []
