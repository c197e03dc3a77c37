"""What a look from outside says in each situation: who is in between, and what a visitor gets."""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.verify.finding import Finding
from ansible_collections.groundwork.flask.plugins.plugin_utils import (
    outside,
    outside_findings,
    outside_summary,
    wire,
)
from ansible_collections.groundwork.flask.plugins.plugin_utils.outside import Host, Site
from ansible_collections.groundwork.flask.plugins.plugin_utils.wire import Certificate, Resolved, Visit

NOW = datetime.datetime.now(datetime.UTC)
SITE = Site("shop", ("shop.example.org", "www.shop.example.org"), "/healthz")
HOST = Host("one", address="203.0.113.7", reached=True)
HSTS = {"strict-transport-security": "max-age=31536000"}
GOOD = Certificate(
    "Let's Encrypt E7", "Let's Encrypt", NOW - datetime.timedelta(20), NOW + datetime.timedelta(70), False
)
ANSWER = Visit("", status=200, seconds=0.02, headers=HSTS, certificate=GOOD)
REDIRECT = Visit("", status=301, headers={"location": "https://shop.example.org/healthz", **HSTS}, certificate=GOOD)
SILENT = Visit("", "silent", "no answer in time")
REFUSED = Visit("", "refused", "connection refused")
DNS = {"shop.example.org": ("203.0.113.7",), "www.shop.example.org": ("203.0.113.7",)}
FINE = {
    ("https", "shop.example.org"): ANSWER,
    ("https", "www.shop.example.org"): REDIRECT,
    ("http", "shop.example.org"): REDIRECT,
    ("http", "www.shop.example.org"): REDIRECT,
}
CDN = "198.51.100.9"


def look(
    visits: Mapping[Any, Visit] | None = None,
    dns: Mapping[str, tuple[str, ...]] | None = None,
    host: Host = HOST,
    sites: tuple[Site, ...] = (SITE,),
    ipv6: bool = False,
) -> outside.Seen:
    """A look at a world in which names lead where ``dns`` says, and answers are FINE, or those of ``visits``.

    :param visits: by scheme and name, or by scheme, name and address.
    """
    world: dict[Any, Visit] = {**FINE, **(visits or {})}

    def resolve(name: str) -> Resolved:
        if name.replace(".", "").replace(":", "").isalnum() and name[0].isdigit():
            return Resolved((name,))
        found = (DNS if dns is None else dns).get(name)
        return Resolved(found) if found else Resolved((), "Name or service not known")

    def visit(name: str, address: str, _path: str, trusted: ssl.SSLContext | None) -> Visit:
        scheme = "https" if trusted else "http"
        return replace(world.get((scheme, name, address)) or world[scheme, name], address=address)

    return outside.look(sites, host, wire.trust(), resolve, visit, ipv6)


def judged(seen: outside.Seen, lenient: bool = False, site: Site = SITE) -> list[Finding]:
    return outside_findings.judge([site], seen, lenient)


def bad(found: list[Finding]) -> dict[str, tuple[str, str]]:
    """The findings that are no ``ok``: state, and message with remedy, by check."""
    return {
        one.check.removeprefix("public_"): (one.state, f"{one.message} {one.remedy}")
        for one in found
        if one.state != "ok"
    }


def test_a_site_as_it_should_be() -> None:
    found = judged(look())
    assert [one.state for one in found] == ["ok"] * len(found)
    assert {one.check for one in found} == {
        "public_dns", "public_redirect", "public_certificate", "public_health",
    }  # fmt: skip
    assert "answers 200 in 20 ms" in next(one.message for one in found if one.check == "public_health")


EXPIRED = replace(GOOD, ends=NOW - datetime.timedelta(3), code=wire.EXPIRED, reason="certificate has expired")
OTHER = replace(GOOD, code=62, reason="hostname mismatch")
TEMPORARY = replace(GOOD, issuer="Self-signed shop", organisation="Self-signed", is_self_signed=True, code=18)
UNKNOWN = replace(GOOD, issuer="Pebble", code=20, reason="unable to get local issuer certificate")
LATE = replace(GOOD, ends=NOW + datetime.timedelta(10), begins=NOW - datetime.timedelta(80))
PAGE = Visit("", status=503, headers=HSTS, certificate=GOOD, body="<title>Back soon</title>")
HTTPS = ("https", "shop.example.org")
HTTP = ("http", "shop.example.org")
WWW = ("https", "www.shop.example.org")


def to(location: str) -> Visit:
    return replace(REDIRECT, headers={"location": location})


@pytest.mark.parametrize(
    ("visits", "check", "state", "words"),
    [
        ({HTTPS: replace(ANSWER, certificate=EXPIRED)}, "certificate", "problem", "expired 3 days ago"),
        ({HTTPS: replace(ANSWER, certificate=OTHER)}, "certificate", "problem", "is for other names"),
        ({HTTPS: replace(ANSWER, certificate=TEMPORARY)}, "certificate", "warning", "a temporary self-signed"),
        ({HTTPS: replace(ANSWER, certificate=UNKNOWN)}, "certificate", "problem", "may lack an intermediate"),
        ({HTTPS: replace(ANSWER, certificate=LATE)}, "certificate", "warning", "should have been renewed"),
        ({HTTPS: replace(ANSWER, certificate=None)}, "certificate", "problem", "cannot be read"),
        ({HTTPS: replace(ANSWER, status=502)}, "health", "problem", "answers 502"),
        ({HTTPS: replace(ANSWER, status=421)}, "health", "problem", "serves no site of this name"),
        ({HTTPS: PAGE}, "health", "warning", "in maintenance"),
        ({HTTPS: replace(PAGE, body="busy")}, "health", "problem", "answers 503"),
        ({HTTPS: replace(ANSWER, seconds=4.0)}, "health", "warning", "4000 ms"),
        ({HTTPS: replace(ANSWER, headers={})}, "hsts", "warning", "sends no Strict-Transport-Security"),
        ({HTTP: ANSWER}, "redirect", "problem", "answers 200 instead of a redirect"),
        ({HTTP: replace(REDIRECT, status=302)}, "redirect", "warning", "302"),
        ({HTTP: to("https://www.shop.example.org/")}, "redirect", "problem", "hop"),
        ({HTTP: to("http://[::")}, "redirect", "problem", "instead of a redirect"),
        ({HTTP: SILENT}, "redirect", "problem", "port 80"),
        ({WWW: ANSWER}, "redirect", "problem", "https://www.shop.example.org answers 200"),
        ({WWW: replace(REDIRECT, certificate=OTHER)}, "redirect", "problem", "not for this name"),
        ({HTTPS: Visit("", "rejected", "unrecognized name")}, "answer", "problem", "TLS is refused for this name"),
        ({HTTPS: Visit("", "garbled", "no HTTP")}, "answer", "problem", "Another program holds port 443"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_answer(visits: dict[Any, Visit], check: str, state: str, words: str) -> None:
    found = bad(judged(look(visits)))
    assert list(found) == [check]
    assert found[check][0] == state
    assert words in found[check][1]


NOT_THERE = {HTTPS: SILENT}


@pytest.mark.parametrize(
    ("host", "visits", "words"),
    [
        (replace(HOST, listening=frozenset({22, 443})), NOT_THERE, "drops it: the provider's firewall"),
        (replace(HOST, listening=frozenset({443})), {HTTPS: REFUSED}, "refuses it: the provider's firewall"),
        (replace(HOST, listening=frozenset({22})), {HTTPS: REFUSED}, "nothing listens on port 443"),
        (replace(HOST, firewalls=("ufw",)), NOT_THERE, "ufw is at work on the host"),
        (replace(HOST, reached=False), NOT_THERE, "Ansible does not reach the host either"),
        (replace(HOST, reached=None), NOT_THERE, "the host is down, or a firewall is in between"),
    ],
)
def test_who_is_in_between(host: Host, visits: dict[Any, Visit], words: str) -> None:
    state, said = bad(judged(look(visits, host=host)))["answer"]
    assert state == "problem"
    assert words in said
    assert "203.0.113.7" in said


def test_a_name_that_leads_to_an_old_server() -> None:
    dns = {**DNS, "shop.example.org": (CDN,)}
    seen = look({("https", "shop.example.org", CDN): SILENT, ("http", "shop.example.org", CDN): SILENT}, dns)
    found = bad(judged(seen))
    assert found["dns"][0] == "warning"
    assert f"leads to {CDN}, not to this host (203.0.113.7)" in found["dns"][1]
    assert "the host itself answers 200 at 203.0.113.7" in found["answer"][1]


def test_a_cdn_is_no_fault_where_it_is_declared() -> None:
    dns = dict.fromkeys(DNS, (CDN,))
    assert bad(judged(look(dns=dns)))["dns"][0] == "warning"
    assert not bad(judged(look(dns=dns, host=replace(HOST, fronts=("198.51.100.0/24",)))))


def test_another_host_of_the_app_is_no_stranger() -> None:
    dns = dict.fromkeys(DNS, ("203.0.113.7", CDN))
    assert "also to" in bad(judged(look(dns=dns)))["dns"][1]
    assert not bad(judged(look(dns=dns, host=replace(HOST, others=(CDN,)))))


def test_one_of_two_addresses_that_does_not_answer() -> None:
    dns = {**DNS, "shop.example.org": ("203.0.113.7", "2001:db8::7")}
    host = replace(HOST, addresses=("2001:db8::7",))
    silent = {("https", "shop.example.org", "2001:db8::7"): SILENT}
    assert "does not answer at 2001:db8::7" in bad(judged(look(silent, dns, host, ipv6=True)))["answer"][1]
    assert not bad(judged(look(silent, dns, host)))  # no route from here: nothing is said of it


def test_a_name_without_an_address() -> None:
    found = bad(judged(look(dns={})))
    assert found == {
        "dns": (
            "problem",
            "shop.example.org and www.shop.example.org have no address (Name or service not known), so no visitor "
            "arrives. Create an A record that leads to 203.0.113.7, and an AAAA record if the host has IPv6.",
        )
    }


def test_a_name_for_tests_is_asked_for_by_the_host_s_address() -> None:
    site = Site("shop", ("shop.test",), "/healthz")
    world = {
        ("https", "shop.test"): ANSWER,
        ("http", "shop.test"): replace(REDIRECT, headers={"location": "https://shop.test/"}),
    }
    seen = look(world, {}, sites=(site,))
    assert bad(judged(seen, site=site)) == {
        "dns": (
            "unchecked",
            "shop.test, for tests and inner networks alone, has no address in DNS: asked for at 203.0.113.7. ",
        )
    }
    line = outside_summary.summarize((site,), seen, [])["visits"]["shop"]
    assert line == "200 in 20 ms from here, by 203.0.113.7; shop.test has no address"


def test_a_host_whose_address_in_the_inventory_is_a_nickname_is_asked_by_its_own() -> None:
    host = Host("box", address="box", addresses=("127.0.0.1", "fe80::1", "10.88.0.5"))
    seen = look(dns={}, host=host)
    assert seen.direct == ("10.88.0.5",)
    nowhere = look(dns={}, host=replace(host, addresses=()))
    assert bad(judged(nowhere))["answer"][0] == "unchecked"


def test_a_host_behind_a_forwarded_port_is_asked_by_its_own_address() -> None:
    site = Site("shop", ("shop.test",), "/healthz")
    host = Host("one", address="127.0.0.1", addresses=("10.0.2.15",), reached=True)
    answers = {("https", "shop.test"): ANSWER, ("http", "shop.test"): to("https://shop.test/")}
    seen = look(answers, {}, host, (site,))
    assert seen.direct == ("10.0.2.15",)
    assert bad(judged(seen, site=site)).keys() == {"dns"}
    silent = bad(judged(look({**answers, ("https", "shop.test"): SILENT}, {}, host, (site,)), site=site))
    assert silent["answer"][0] == "unchecked"
    assert "a port that is forwarded to it (127.0.0.1)" in silent["answer"][1]


def test_the_proxy_that_is_to_be_started_is_named() -> None:
    host = replace(HOST, listening=frozenset({22}), proxy="apache")
    assert "`systemctl start apache2`" in bad(judged(look({HTTPS: REFUSED}, host=host)))["answer"][1]


def test_a_first_run_before_dns_and_behind_a_closed_door_stays_green() -> None:
    seen = look({HTTPS: SILENT, ("http", "shop.example.org"): SILENT}, {}, replace(HOST, firewalls=("ufw",)))
    assert {state for state, _said in bad(judged(seen, lenient=True)).values()} == {"warning"}
    assert {state for state, _said in bad(judged(seen)).values()} == {"problem"}
    # What the host itself answers is judged alike.
    assert bad(judged(look({HTTPS: replace(ANSWER, status=502)}), lenient=True))["health"][0] == "problem"
    said = outside_summary.summarize((SITE,), seen, judged(seen, lenient=True))
    assert said["problems"] == []
    assert said["visits"] == {"shop": "no answer from https://shop.example.org"}


@pytest.mark.parametrize(
    ("site", "private", "certificate", "state"),
    [
        (replace(SITE, certificate="self_signed"), False, TEMPORARY, "ok"),
        (SITE, True, UNKNOWN, "unchecked"),
        (SITE, False, replace(GOOD, issuer="(STAGING) Let's Encrypt"), "warning"),
    ],
)
def test_certificates_that_are_as_declared(site: Site, private: bool, certificate: Certificate, state: str) -> None:
    seen = look({HTTPS: replace(ANSWER, certificate=certificate)}, host=replace(HOST, private_ca=private))
    found = [one.state for one in judged(seen, site=site) if one.check == "public_certificate"]
    assert found == [state]


def test_apps_that_share_domains_are_asked_for_their_own_path_alone() -> None:
    guest = Site("blog", SITE.domains, "/blog/", owner="shop")
    found = judged(look(sites=(SITE, guest)), site=guest)
    assert [(one.check, one.state) for one in found] == [("public_health", "ok")]


def test_what_a_server_says_is_one_bounded_line() -> None:
    evil = replace(REDIRECT, headers={"location": "https://evil.test/\x1b[2J\r\n<script>" + "x" * 5000})
    said = bad(judged(look({HTTP: evil})))["redirect"][1]
    assert "\x1b" not in said
    assert len(said) < 500


def test_all_sites_are_asked_at_the_same_time() -> None:
    """No visit ends before all have begun: asked one after the other, none would have an answer."""
    sites = tuple(Site(f"app{number}", (f"app{number}.example.org",)) for number in range(12))
    all_begun = threading.Barrier(24)

    def together(name: str, address: str, _path: str, _trusted: ssl.SSLContext | None) -> Visit:
        all_begun.wait(outside.VISIT_SECONDS)
        return replace(ANSWER, address=address, body=name)

    seen = outside.look(sites, HOST, wire.trust(), lambda _name: Resolved(("203.0.113.7",)), together, False)
    assert len(seen.visits) == 24


def test_sites_are_read_from_what_is_expected() -> None:
    public = {"path": "/up", "hsts": False, "owner": "a"}
    apps = {"a": {"domains": ["*.a.test", "a.test"], "public": public, "certificate": "files"}, "b": {}}
    assert outside.read_sites(apps) == [Site("a", ("*.a.test", "a.test"), "/up", False, "a", "files")]
    assert outside.read_sites(apps)[0].asked == ("a.test",)
    assert outside.read_sites(apps, ["b"]) == []
