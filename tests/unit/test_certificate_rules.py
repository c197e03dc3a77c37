"""For which names an authority certifies what, and what else a certificate needs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.certificate_problems import certificate_problems
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
        "flask_apps.shop.domains: '*.shop.example.org' is a wildcard, which a CA certifies by a DNS record "
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
        "flask_apps.shop.domains: '192.0.2.1' is an IP address, which a CA certifies for six days alone: "
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


NAME = {"name": "shop", "domains": ["shop.example.org"]}
PYPI = {"certbot": "pypi"}
PLUGINS = {"known_plugins": {"distribution": ["cloudflare", "gandi"], "certbot": ["cloudflare"]}}


@pytest.mark.parametrize(
    ("names", "variables", "sentence"),
    [
        (
            [{**NAME, "name": "../shop"}],
            {},
            "certificate_names: ../shop names a directory: use letters, digits, dots, dashes and underscores, at most "
            "63, the first a letter or digit",
        ),
        (
            [{**NAME, "name": "old"}],
            {},
            "certificate_names: old stands twice in certificate_names and certificate_absent: keep it in one place",
        ),
        (
            [{**NAME, "provider": "files", "fullchain": "a.pem"}],
            {},
            "certificate_names.shop: provider files needs fullchain and privkey: give both, as paths on the controller",
        ),
        (
            [{**NAME, "profile": "tlsserver"}],
            {"certbot": "distribution"},
            "certificate_names.shop.profile: tlsserver needs a newer certbot than the distribution's: set "
            "certificate_certbot to pypi",
        ),
        (
            [{**NAME, "challenge": "dns-01"}],
            {},
            "certificate_names.shop.challenge: dns-01 needs a way to write DNS records: set certificate_dns_plugin or "
            "certificate_dns_auth_hook",
        ),
        (
            [{**NAME, "domains": ["a.example.org", "*.a.example.org"]}],
            {},
            "certificate_names.shop.domains: '*.a.example.org' is a wildcard, which a CA certifies by a DNS record "
            "alone: write `challenge: dns-01` and set certificate_dns_plugin or certificate_dns_auth_hook, or bring a "
            "certificate of your own with provider files",
        ),
        (
            [{**NAME, "domains": ["192.0.2.1"]}],
            PYPI,
            "certificate_names.shop.domains: '192.0.2.1' is an IP address, which a CA certifies for six days alone: "
            "write `profile: shortlived` and set certificate_certbot to pypi, or use provider self_signed or files",
        ),
        (
            [{**NAME, "domains": ["192.0.2.1"], "challenge": "dns-01"}],
            {"dns_plugin": "cloudflare", **PYPI, **PLUGINS},
            "certificate_names.shop.domains: '192.0.2.1' is an IP address, which has no DNS record: write "
            "`challenge: http-01`",
        ),
        (
            [],
            {"acme_staging": True, "acme_directory": "https://ca.example.org", "production": "https://example.com"},
            "certificate_acme_staging: true is Let's Encrypt's staging, and certificate_acme_directory is "
            "https://ca.example.org: take one of the two",
        ),
        (
            [],
            {"acme_eab_kid": "kid-1", "acme_eab_hmac_key": ""},
            "certificate_acme_eab_kid: the CA issues it together with certificate_acme_eab_hmac_key: set both or "
            "neither",
        ),
        (
            [],
            {"dns_plugin": "cloudflare", "dns_auth_hook": "/usr/local/bin/hook", **PYPI, **PLUGINS},
            "certificate_dns_plugin: cloudflare and certificate_dns_auth_hook are two ways to write DNS records: take "
            "one of the two",
        ),
        (
            [],
            {"dns_plugin": "acme", "certbot": "distribution", **PLUGINS},
            "certificate_dns_plugin: acme is in no distribution: set certificate_certbot to pypi, or use "
            "certificate_dns_auth_hook",
        ),
        (
            [],
            {"dns_plugin": "gandi", **PYPI, **PLUGINS},
            "certificate_dns_plugin: gandi is no plugin of certbot's own project: name its package in "
            "certificate_certbot_plugins",
        ),
    ],
)
def test_what_the_role_refuses(names: Any, variables: Any, sentence: str) -> None:
    assert certificate_problems(names, ["old"], variables) == [sentence]


@pytest.mark.parametrize(
    ("names", "variables"),
    [
        ([NAME, {**NAME, "name": "blog", "provider": None, "challenge": "", "profile": None}], {}),
        ([{**NAME, "domains": ["192.0.2.1"], "profile": "shortlived"}], PYPI),
        ([{**NAME, "domains": ["a.example.org", "*.a.example.org"], "challenge": "dns-01"}], {"dns_auth_hook": "/x"}),
        ([{**NAME, "domains": ["*.a.example.org", "192.0.2.1"], "provider": "self_signed"}], {}),
        ([{**NAME, "provider": "files", "fullchain": "a.pem", "privkey": "a.key"}], {}),
        ([], {"dns_plugin": "gandi", "certbot_plugins": ["certbot-plugin-gandi"], **PYPI, **PLUGINS}),
        ([], {"acme_staging": True, "acme_directory": "https://example.com", "production": "https://example.com"}),
    ],
)
def test_what_the_role_takes(names: Any, variables: Any) -> None:
    assert certificate_problems(names, [], variables) == []
