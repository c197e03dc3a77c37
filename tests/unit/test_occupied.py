"""What is said of a host on which others serve, and what is taken over."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.occupied_ports import occupied_ports
from ansible_collections.groundwork.flask.plugins.filter.other_firewalls import other_firewalls
from ansible_collections.groundwork.flask.plugins.plugin_utils.occupied import KEPT

NGINX = {"name": "nginx", "unit": "nginx.service", "main": "/etc/nginx/nginx.conf"}
SITE = {"file": "/etc/nginx/sites-enabled/blog", "names": ["blog.example.org"], "listen": ["80"]}


def listener(name: str = "apache2", port: int = 80, protocol: str = "tcp", **given: Any) -> dict[str, Any]:
    return {
        "port": port,
        "protocol": protocol,
        "address": "::",
        "pid": 40,
        "name": name,
        "program": f"/usr/sbin/{name}",
        "unit": f"{name}.service",
        "package": name,
    } | given


def found(*listening: dict[str, Any], **given: Any) -> dict[str, Any]:
    empty = ("redirects", "containers", "ours", "armed", "at_boot", "fleeting", "firewalls")
    return {key: [] for key in empty} | {"sites": {}, "listeners": list(listening)} | given


FREE = [
    ("nothing", found(), False),
    ("nothing is known", {}, False),
    ("Debian's nginx, untouched", found(listener("nginx"), armed=["nginx.service"]), False),
    ("nginx of ours", found(listener("nginx"), ours=["nginx.service"], armed=["nginx.service"]), False),
    ("nginx of ours, in no unit that can be seen", found(listener("nginx", unit=""), ours=["nginx.service"]), False),
    ("Apache of ours, which nginx is to replace", found(listener(), ours=["apache2.service"]), False),
    (
        "another program at an address beside ours",
        found(listener("nginx"), listener("x", address="2001:db8::1"), ours=["nginx.service"]),
        False,
    ),
    ("UDP without HTTP/3", found(listener("caddy", 443, "udp")), False),
    ("UDP 80 with HTTP/3", found(listener("caddy", 80, "udp")), True),
    ("nginx itself, which starts at boot", found(armed=["nginx.service"], at_boot=["nginx.service"]), False),
    ("sites of an nginx that is stopped and disabled", found(sites={"nginx.service": [SITE]}), False),
    ("sites of Apache, which does not run", found(sites={"apache2.service": [SITE]}, armed=["apache2.service"]), False),
]


@pytest.mark.parametrize(("serving", "http3"), [case[1:] for case in FREE], ids=[case[0] for case in FREE])
def test_what_is_no_problem(serving: dict[str, Any], http3: bool) -> None:
    assert not any(occupied_ports(serving, NGINX, http3, True).values())


STOPPABLE = [
    (found(listener()), "apache2 (pid 40, unit apache2.service, package apache2) holds port 80: nginx cannot serve"),
    (
        found(listener(), sites={"apache2.service": [SITE]}),
        "Its sites would go dark: blog.example.org (/etc/nginx/sites-enabled/blog).",
    ),
    (found(listener("haproxy"), listener("haproxy", 443)), "holds port 80 and port 443:"),
    (found(listener("caddy", 443, address="203.0.113.5")), "holds port 443 of 203.0.113.5:"),
    (
        found(listener("systemd", 443, pid=1, unit="web.socket")),
        "(pid 1, unit web.socket, package systemd) holds port 443:",
    ),
]


@pytest.mark.parametrize(("serving", "text"), STOPPABLE)
def test_a_service_of_others_is_refused_or_taken_over(serving: dict[str, Any], text: str) -> None:
    refused = occupied_ports(serving, NGINX)
    (problem,) = refused["problems"]
    assert text in problem
    assert "`proxy_take_over: true`" in problem
    assert refused["takes_over"] == refused["taken"] == []
    taken = occupied_ports(serving, NGINX, take_over=True)
    unit = serving["listeners"][0]["unit"]
    assert (taken["problems"], taken["takes_over"]) == ([], [unit])
    assert f"{unit} was stopped and disabled" in taken["taken"][0]
    assert f"`systemctl enable --now {unit}`" in taken["taken"][0]


def test_with_http3_udp_counts() -> None:
    (problem,) = occupied_ports(found(listener("caddy", 443, "udp")), NGINX, True)["problems"]
    assert "holds port 443 (udp):" in problem


DOCKER_RULE = {"port": 443, "protocol": "tcp", "rule": "-A DOCKER --dport 443 -j DNAT"}
NEVER = [
    (found(listener("python3", unit="")), "end it, or move it"),
    (found(listener("python3", unit="session-3.scope")), "end it, or move it"),
    (found(listener("caddy", unit="user@1000.service")), "end it, or move it"),
    (found(listener("sshd", 443, unit="ssh.service")), "end it, or move it"),
    (found(listener("systemd", 443, unit="ssh.socket")), "end it, or move it"),
    (found(listener("python3", unit="run-u5.service"), fleeting=["run-u5.service"]), "end it, or move it"),
    (found(listener("caddy", unit="web.service"), fleeting=["web.service", "x.service"]), "end it, or move it"),
    (found(listener("nginx", unit="docker-0a1b.scope")), "end it, or move it"),
    (
        found(listener("docker-proxy", unit="docker.service"), containers=["web"]),
        "It answers for the container web: publish it",
    ),
    (
        found(listener("rootlessport", unit="user@1000.service")),
        "It answers for a container or another host: publish it",
    ),
    (
        found(redirects=[DOCKER_RULE], containers=["web"]),
        "by the rule `-A DOCKER --dport 443 -j DNAT`. It is for the container web",
    ),
]


@pytest.mark.parametrize(("serving", "text"), NEVER)
@pytest.mark.parametrize("take_over", [False, True])
def test_what_is_never_stopped(serving: dict[str, Any], text: str, take_over: bool) -> None:
    judged = occupied_ports(serving, NGINX, take_over=take_over)
    (problem,) = judged["problems"]
    assert text in problem
    assert "proxy_take_over" not in problem
    assert judged["takes_over"] == []


@pytest.mark.parametrize("unit", ["apache2.service", "caddy.service"])
def test_a_server_that_starts_at_the_next_boot(unit: str) -> None:
    """It does not run now: all would be well until the host boots."""
    serving = found(at_boot=[unit])
    (problem,) = occupied_ports(serving, NGINX)["problems"]
    assert f"{unit} does not run, but it is enabled: at the next boot it takes port 80 or 443" in problem
    assert f"`systemctl disable {unit}`" in problem
    (warning,) = occupied_ports(serving | {"ours": ["nginx.service"]}, NGINX)["warnings"]
    assert warning == problem
    judged = occupied_ports(serving, NGINX, take_over=True)
    assert (judged["problems"], judged["takes_over"]) == ([], [unit])
    assert judged["taken"] == [f"{unit}, which did not run, was disabled; its files are where they were."]


def test_a_rule_beside_a_proxy_of_ours_is_a_warning() -> None:
    judged = occupied_ports(found(listener("nginx", 443), redirects=[DOCKER_RULE], ours=["nginx.service"]), NGINX)
    assert (judged["problems"], len(judged["warnings"])) == ([], 1)


def test_sites_of_the_same_program() -> None:
    serving = found(sites={"nginx.service": [SITE, SITE | {"names": [], "listen": ["8080"]}]}, armed=["nginx.service"])
    (problem,) = occupied_ports(serving, NGINX)["problems"]
    assert "blog.example.org (/etc/nginx/sites-enabled/blog); 8080 (/etc/nginx/sites-enabled/blog)" in problem
    assert f"{KEPT}/etc/nginx/nginx.conf" in problem
    judged = occupied_ports(serving, NGINX, take_over=True)
    assert (judged["problems"], judged["takes_over"]) == ([], [])
    assert f"is kept in {KEPT}/etc/nginx/nginx.conf" in judged["taken"][0]


def test_many_sites_are_not_all_named() -> None:
    sites = [SITE | {"names": [f"{number}.example.org"]} for number in range(100)]
    (problem,) = occupied_ports(found(sites={"nginx.service": sites}, armed=["nginx.service"]), NGINX)["problems"]
    assert "; and 88 more" in problem


WEB = [{"port": 80}, {"port": 443, "protocol": None}]


def firewall(name: str, *allowed: str, is_open: bool = False, unit: str | None = None) -> dict[str, Any]:
    unit = f"{name}.service" if unit is None else unit
    return found(firewalls=[{"name": name, "unit": unit, "allowed": list(allowed), "open": is_open}])


@pytest.mark.parametrize(
    "serving",
    [
        {},
        found(),
        firewall("ufw", "22/tcp", "80/tcp", "443/tcp"),
        firewall("ufw", "22", "80", "443"),
        firewall("ufw", "1-1024/tcp"),
        firewall("ufw", "any from 10.0.0.0/8"),
        firewall("ufw", is_open=True),
        firewall("the nftables table inet filter", "tcp dport { 22, 80, 443 } accept", unit=""),
        firewall("the nftables table inet x", "tcp dport vmap { 22 : accept, 80 : accept, 443 : jump web }", unit=""),
        firewall("the INPUT chain of iptables", "-A INPUT -p tcp -m tcp --dport 80:443 -j ACCEPT", unit=""),
    ],
)
def test_a_firewall_that_lets_it_in_is_left_alone(serving: dict[str, Any]) -> None:
    assert not any(other_firewalls(serving, WEB).values())


@pytest.mark.parametrize(
    ("serving", "texts"),
    [
        (
            firewall("ufw", "22/tcp"),
            [
                "ufw is in force on this host and lets in 22/tcp, so nobody would reach 80/tcp and 443/tcp",
                "`ufw allow 80/tcp`",
            ],
        ),
        (firewall("ufw", "80/tcp", "443/udp"), ["nobody would reach 443/tcp,", "`ufw allow 443/tcp`"]),
        (
            firewall("firewalld"),
            [
                "lets in nothing",
                "`firewall-cmd --permanent --add-port=80/tcp --add-port=443/tcp && firewall-cmd --reload`",
            ],
        ),
    ],
)
def test_a_firewall_that_shuts_is_refused(serving: dict[str, Any], texts: list[str]) -> None:
    judged = other_firewalls(serving, WEB)
    (problem,) = judged["problems"]
    assert all(text in problem for text in [*texts, "`firewall_take_over: true`", "`firewall_enabled: false`"])
    assert judged["takes_over"] == judged["commands"] == []
    left = other_firewalls(serving, WEB, enabled=False)
    assert (left["problems"], len(left["warnings"])) == ([], 1)


def test_each_is_disabled_in_its_own_way() -> None:
    ufw = other_firewalls(firewall("ufw", "22/tcp", "5432/tcp from 10.0.0.0/8"), WEB, take_over=True)
    assert [command["argv"] for command in ufw["commands"]] == [["/usr/sbin/ufw", "disable"]]
    assert (ufw["problems"], ufw["takes_over"]) == ([], [])
    assert "It let in 22/tcp and 5432/tcp from 10.0.0.0/8:" in ufw["taken"][0]
    other = other_firewalls(firewall("firewalld"), WEB, take_over=True)
    assert other["takes_over"] == ["firewalld.service"]


@pytest.mark.parametrize("rule", ["tcp dport 22 accept", "tcp dport vmap { 22 : accept, 80 : drop, 443 : drop }"])
def test_of_rules_of_others_there_is_a_warning(rule: str) -> None:
    judged = other_firewalls(firewall("the nftables table inet filter", rule, unit=""), WEB, take_over=True)
    assert judged["problems"] == judged["takes_over"] == []
    assert "nobody reaches 80/tcp and 443/tcp: open that there too, or remove its rules." in judged["warnings"][0]


def test_what_the_first_rules_shut_is_named() -> None:
    sshd = [listener("sshd", port, unit="ssh.service", package="", pid=7) for port in (22, 2222)]
    others = [listener("x", 443), listener("docker-proxy", 8080), listener("coredns", 53, "udp"), listener("y", 60001)]
    serving = found(reached=[*sshd, *others])
    opens = [*WEB, {"port": "60000-61000"}]
    judged = other_firewalls(serving, opens, ssh_ports=["22"])
    assert judged["problems"] == []
    (warning,) = judged["warnings"]
    assert "besides: sshd (pid 7, unit ssh.service) at 2222/tcp; coredns (pid 40," in warning
    assert warning.count(" at ") == 2
    assert " at 53/udp. Add to firewall_services" in warning
    assert not any(other_firewalls(serving, opens, enabled=False, ssh_ports=[22]).values())
    assert not any(other_firewalls(serving, [*opens, {"port": 53, "protocol": "udp"}], ssh_ports=[22, 2222]).values())
    many = found(reached=[listener(f"p{port}", port) for port in range(1000, 1014)])
    assert "; and 2 more. Add" in other_firewalls(many, WEB)["warnings"][0]


def test_a_jail_that_would_find_nobody_any_more() -> None:
    """The lines go to the journals of the apps, and fail2ban says nothing about a file that stays empty."""
    read = "/var/log/nginx/access.log"
    there = found(jails=[{"name": "botsearch", "file": read}, {"name": "own", "file": "/var/log/nginx/other.log"}])
    (text,) = occupied_ports(there, {**NGINX, "logs": [read]})["problems"]
    assert text.startswith(f"fail2ban's jail botsearch reads {read}")
    assert "`proxy_access_log: file`" in text
    assert occupied_ports(there, {**NGINX, "logs": []})["problems"] == []
