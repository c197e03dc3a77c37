"""For which names an authority certifies what, and what else a certificate needs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils import model, role_inputs
from ansible_collections.groundwork.flask.tests.unit.flask_app import app, problems

REFUSALS = [
    (
        app(domains=["a.example.org", "a.example.org"]),
        "flask_apps.shop.domains: 'a.example.org' stands twice: keep it in one place",
    ),
    (
        app(domains=["https://shop.example.org"]),
        "flask_apps.shop.domains: 'https://shop.example.org' cannot be used: a domain is written in lower case, "
        "without scheme or port, as www.example.org",
    ),
    (
        app(domains=["shop.example.org", "*.shop.example.org"]),
        "flask_apps.shop.domains: '*.shop.example.org' is a wildcard, which an authority certifies by a DNS record "
        "alone: write `certificate: {challenge: dns-01}` and set certificate_dns_plugin or certificate_dns_auth_hook, "
        "or bring a certificate of your own with provider files",
    ),
    (
        app(domains=["*.shop.example.org"], certificate={"challenge": "dns-01"}),
        "flask_apps.shop.domains: '*.shop.example.org' cannot come first: the first is the canonical name, put another "
        "there",
    ),
    (
        app(domains=["shop.example.org", "*.*.example.org"], certificate={"challenge": "dns-01"}),
        "flask_apps.shop.domains: '*.*.example.org' cannot be used: * stands for one whole label, as *.example.org",
    ),
    (
        app(domains=["192.0.2.1"]),
        "flask_apps.shop.domains: '192.0.2.1' is an IP address, which an authority certifies for six days alone: "
        "write `certificate: {profile: shortlived}` and set certificate_certbot to pypi, or use provider "
        "self_signed or files",
    ),
    (
        app(domains=["192.0.2.1"], certificate={"challenge": "dns-01", "profile": "shortlived"}),
        "flask_apps.shop.domains: '192.0.2.1' is an IP address, which has no DNS record: write `challenge: http-01`",
    ),
    (
        app(domains=["2001:DB8::0:1"], certificate={"provider": "self_signed"}),
        "flask_apps.shop.domains: '2001:DB8::0:1' is not how that address is written: write '2001:db8::1'",
    ),
    (
        app(domains="shop.example.org"),
        "flask_apps.shop.domains: 'shop.example.org' is not a list: write `domains: [first, second]`",
    ),
    (
        app(certificate={"provider": "files"}),
        "flask_apps.shop.certificate.fullchain is missing: with provider files, give the path of a PEM file",
    ),
    (
        app(certificate={"provider": "self_signed", "challenge": "dns-01"}),
        "flask_apps.shop.certificate.challenge: 'dns-01' belongs to provider acme, not to self_signed",
    ),
    (
        app(certificate={"profile": "short"}),
        "flask_apps.shop.certificate.profile: 'short' is not one of classic, tlsserver, shortlived: "
        "did you mean shortlived?",
    ),
    (
        app(certificate={"provider": "letsencrypt"}),
        "flask_apps.shop.certificate.provider: 'letsencrypt' is not one of acme, self_signed, files: take one of these",
    ),
]


@pytest.mark.parametrize(("apps", "sentence"), REFUSALS, ids=[sentence[:60] for _apps, sentence in REFUSALS])
def test_refused_names_and_certificates(apps: Any, sentence: str) -> None:
    assert sentence in problems(apps)


@pytest.mark.parametrize(
    ("domains", "certificate", "expected"),
    [
        (["a.example.org"], {}, {"provider": "acme", "challenge": "http-01"}),
        (
            ["a.example.org", "*.a.example.org"],
            {"challenge": "dns-01", "profile": "tlsserver"},
            {"provider": "acme", "challenge": "dns-01", "profile": "tlsserver"},
        ),
        (
            ["192.0.2.1"],
            {"profile": "shortlived"},
            {"provider": "acme", "challenge": "http-01", "profile": "shortlived"},
        ),
        (["2001:db8::1", "*.example.org"], {"provider": "self_signed"}, {"provider": "self_signed"}),
        (
            ["a.example.org", "*.a.example.org"],
            {"provider": "files", "fullchain": "a.pem", "privkey": "a.key"},
            {"provider": "files", "fullchain": "a.pem", "privkey": "a.key"},
        ),
    ],
)
def test_wildcards_and_addresses_where_a_certificate_can_be_valid_for_them(
    domains: list[str], certificate: dict[str, str], expected: dict[str, str]
) -> None:
    (shop,) = model.load(app(domains=domains, certificate=certificate))
    assert role_inputs.certificates(shop) == {"name": "shop", "domains": domains, **expected}
