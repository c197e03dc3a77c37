"""What a site comes to for Apache: what a visitor meets, read from the configuration as Apache reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.apache_directives import parse, values
from ansible_collections.groundwork.flask.tests.unit.apache_place import Upstream
from ansible_collections.groundwork.flask.tests.unit.apache_reading import Configuration
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import (
    ROLE,
    SHOP,
    render,
    resolved,
    virtual_host,
)

HOME = "shop.example.org"
CURRENT, CERTIFICATE = on_host("current", "shop"), on_host("certificate", "shop")
APP = on_host("socket", "shop")
STRANGER, GUEST = "198.51.100.7", "192.0.2.1"


def configuration(**keys: Any) -> Configuration:
    return Configuration(virtual_host(**keys))


def shared(*sites: dict[str, Any]) -> Configuration:
    """The sites of a domain; the first owns it."""
    owner, *others = given = resolved(*(SHOP | one for one in sites))
    return Configuration(
        render("apache/site.conf.j2", owner, __proxy_sites=given), beside(owner["name"], others, given)
    )


def beside(owner: str, others: list[dict[str, Any]], given: list[dict[str, Any]]) -> dict[str, str]:
    """The files that sites on another one's domain bring."""
    files = {}
    for site in others:
        place, log = f"{owner}/{site['depth']}_{site['name']}.conf", f"{owner}/{site['name']}.conf"
        files[f"groundwork/locations/{place}"] = render("apache/shared-locations.conf.j2", site, __proxy_sites=given)
        files[f"groundwork/log/{log}"] = render("apache/log.conf.j2", site)
    return files


def main(**given: Any) -> tuple[Any, ...]:
    return parse(render("apache/apache2.conf.j2", **given))


def test_a_site_that_says_nothing_gets_sound_defaults() -> None:
    shop = configuration()
    place = shop.visit(HOME, "/basket?of=ada")
    # A connection for each request, and no pause after one that failed: the socket is another after a deploy.
    options = {"retry": "0", "disablereuse": "On", "connectiontimeout": "5", "timeout": "65"}
    options |= {"responsefieldsize": "16384", "upgrade": "websocket", "nocanon": ""}
    assert place.upstream == Upstream(APP, "shop", "/basket?of=ada", options)
    assert place.effective("LimitRequestBody") == [["1048576"]]
    for name in SHOP["domains"]:
        host = shop.visit(name).host
        assert values(host, "SSLCertificateFile") == [[f"{CERTIFICATE}/fullchain.pem"]]
        assert values(host, "SSLCertificateKeyFile") == [[f"{CERTIFICATE}/privkey.pem"]]
    assert place.header("Strict-Transport-Security") == "max-age=31536000"
    assert place.header("Strict-Transport-Security", "max-age=1") == "", "the app's own goes out alone"


def test_all_names_go_to_the_canonical_one_in_one_hop() -> None:
    shop = configuration()
    hop = (301, f"https://{HOME}/basket?of=ada")
    for name, port in [
        ("www.shop.example.org", 443),
        ("old.example.org", 443),
        *((name, 80) for name in SHOP["domains"]),
    ]:
        place = shop.visit(name, "/basket?of=ada", port=port)
        assert (place.status, place.address) == hop
    assert shop.visit(HOME, "/basket").status == 0
    for port in (80, 443):
        assert sorted(shop.names(port)) == sorted(SHOP["domains"])
        assert len(shop.on_port(port)) == 3, "for names of nobody, for the canonical one, and for those that lead to it"


def test_a_site_with_one_name_has_no_host_for_others() -> None:
    shop = configuration(domains=[HOME])
    assert (shop.names(443), len(shop.on_port(443))) == ([HOME], 2)


@pytest.mark.parametrize("port", [80, 443])
def test_a_name_of_no_site_is_misdirected(port: int) -> None:
    assert configuration().visit("else.example.org", "/", port=port).status == 421


def test_a_header_may_be_left_out() -> None:
    place = configuration(headers={"Strict-Transport-Security": ""}).visit(HOME)
    assert place.header("Strict-Transport-Security") == ""
    assert place.header("X-Content-Type-Options") == "nosniff"


def test_what_a_header_says_reaches_the_visitor_as_it_was_written() -> None:
    said = 'a "b" \\ 100%'
    place = configuration(headers={"X-Words": said}).visit(HOME)
    assert place.header("X-Words") == said
    assert place.header("X-Words", "the app's") == ""


@pytest.mark.parametrize(("size", "limit"), [("20m", 20 << 20), ("512k", 512 << 10), ("1G", 1 << 30), ("0", 0)])
def test_a_size_means_the_same_to_apache(size: str, limit: int) -> None:
    place = configuration(client_max_body_size=size).visit(HOME)
    assert place.effective("LimitRequestBody") == [[str(limit)]]


@pytest.mark.parametrize("directory", [f"{CURRENT}/public/static", f"{CURRENT}/public/static/"])
def test_a_static_prefix_cannot_be_left_and_is_not_the_app_s(directory: str) -> None:
    shop = configuration(static={"/static/": directory})
    place = shop.visit(HOME, "/static/a/b.css")
    assert (place.upstream, place.file) == (None, f"{CURRENT}/public/static/a/b.css")
    assert place.admits(STRANGER)
    for path in ("/static", "/static../env", "/staticx", "/"):
        other = shop.visit(HOME, path)
        assert (other.file, other.upstream and other.upstream.path) == ("", path)
    for path in ("/static/.env", "/static/a/.git/config"):
        assert shop.visit(HOME, path).status == 404


@pytest.mark.parametrize(
    ("accepted", "file", "found"),
    [
        ("gzip, br", "a/b.css", "a/b.css.br"),
        ("gzip", "a/b.css", "a/b.css.gz"),
        ("br;q=0, gzip", "a/b.css", "a/b.css.gz"),
        ("br;q=0.5", "a/b.css", "a/b.css.br"),
        ("identity", "a/b.css", "a/b.css"),
        ("", "a/b.css", "a/b.css"),
        ("br", "b.js", "b.js"),
        ("br", "c.zip", "c.zip"),
    ],
)
def test_a_file_that_lies_there_packed_goes_out_so(accepted: str, file: str, found: str) -> None:
    there = [f"/srv/static/{name}" for name in ("a/b.css", "a/b.css.br", "a/b.css.gz", "b.js", "c.zip", "c.zip.br")]
    shop = Configuration(virtual_host(static={"/static/": "/srv/static"}), on_disk=there)
    place = shop.visit(HOME, f"/static/{file}", headers={"Accept-Encoding": accepted})
    assert place.file == f"/srv/static/{found}"


def test_the_innermost_of_sections_counts() -> None:
    """Of those that fit the last one does, so each comes after those around it."""
    paths = {
        "/a/b/c": {"client_max_body_size": "3m"},
        "/a": {"client_max_body_size": "4m"},
        "/a/b": {"client_max_body_size": "2m"},
    }
    shop = configuration(paths=paths, static={"/a/b/static/": "/srv/static"})
    limits = {
        path: int(shop.visit(HOME, path).effective("LimitRequestBody")[0][0]) >> 20
        for path in ("/", "/ab", "/a", "/a/bc", "/a/b", "/a/b/static", "/a/b/c", "/a/b/c/d")
    }
    assert limits == {"/": 1, "/ab": 1, "/a": 4, "/a/bc": 4, "/a/b": 2, "/a/b/static": 2, "/a/b/c": 3, "/a/b/c/d": 3}
    assert shop.visit(HOME, "/a/b/c/d").locations == ["/", "/a", "/a/b", "/a/b/c"]
    file = shop.visit(HOME, "/a/b/static/x.css")
    assert (file.file, file.locations) == ("/srv/static/x.css", ["/", "/a", "/a/b", "/a/b/static/"])


def test_a_path_is_open_only_within_one_that_is_not() -> None:
    """What the site's own lines ask of all visitors holds for paths that say nothing of it."""
    paths = {"/up": {"access_log": False}, "/a": {"allow": [GUEST]}, "/a/open": {"allow": []}, "/ab": {}}

    def admitted(shop: Configuration, visitor: str) -> list[str]:
        return [path for path in ("/", "/up", "/a", "/a/x", "/a/open", "/ab") if shop.visit(HOME, path).admits(visitor)]

    shop = configuration(paths=paths)
    assert admitted(shop, STRANGER) == ["/", "/up", "/a/open", "/ab"]
    assert admitted(shop, GUEST) == ["/", "/up", "/a", "/a/x", "/a/open", "/ab"]
    asked = '<Location "/">\nRequire ip 203.0.113.7\n</Location>\n'
    own = configuration(paths=paths, directives=asked)
    assert admitted(own, STRANGER) == ["/a/open"]
    assert admitted(own, GUEST) == ["/a", "/a/x", "/a/open"]


def test_an_open_site_within_a_closed_one() -> None:
    sites = shared({"allow": [GUEST]}, {"name": "blog", "prefix": "/blog"})
    assert not sites.visit(HOME, "/").admits(STRANGER)
    assert sites.visit(HOME, "/").admits(GUEST)
    assert sites.visit(HOME, "/blog/x").admits(STRANGER)


def test_a_password_is_asked_for_but_not_by_the_ca() -> None:
    shop = configuration(auth_basic={"ada": "$6$salt$hash"})
    assert not shop.visit(HOME, "/").admits(STRANGER)
    assert shop.visit(HOME, "/").admits(STRANGER, password=True)
    challenge = shop.visit(HOME, "/.well-known/acme-challenge/x", port=80)
    assert (challenge.status, challenge.admits(STRANGER)) == (0, True)
    assert challenge.file.endswith("/.well-known/acme-challenge/x")


def test_each_path_has_its_own_timeout() -> None:
    shop = configuration(read_timeout=5, paths={"/a": {"read_timeout": 20}, "/a/b": {"read_timeout": 5}})
    found = {path: shop.visit(HOME, path).upstream for path in ("/x", "/a/x", "/a/b/x")}
    assert [one and (one.path, one.options["timeout"]) for one in found.values()] == [
        ("/x", "5"),
        ("/a/x", "20"),
        ("/a/b/x", "5"),
    ]
    assert len({one and one.worker for one in found.values()}) == 3, "of two that have one name the first's would hold"


def test_the_sites_of_a_domain_end_where_another_begins() -> None:
    names = {"name": "blog", "prefix": "/blog"}, {"name": "news", "prefix": "/blog/news"}
    sites = shared({}, *names)
    for path, name in {
        "/": "shop",
        "/blogger": "shop",
        "/blog": "blog",
        "/blog/x": "blog",
        "/blog/newsletter": "blog",
        "/blog/news": "news",
        "/blog/news/x": "news",
    }.items():
        place = sites.visit(HOME, path)
        assert place.assigned("GROUNDWORK_SITE") == [name]
        if path in ("/blog", "/blog/news"):
            assert (place.status, place.address) == (301, f"https://{HOME}{path}/")
        else:
            assert place.upstream
            assert (place.upstream.socket, place.upstream.path) == (on_host("socket", name), path)
    assert sites.visit(HOME, "/.well-known/acme-challenge/x").assigned("GROUNDWORK_SITE") == []
    assert [site["depth"] for site in resolved(SHOP, *(SHOP | one for one in names))] == [0, 1, 2]


def test_a_site_in_maintenance_is_open_to_those_who_are_allowed() -> None:
    item = {"name": "shop", "allow": [GUEST, " 2001:db8::/32", GUEST]}
    closed = {"groundwork/maintenance/shop/server.conf": render("apache/maintenance/server.conf.j2", item)}
    shop = Configuration(virtual_host(), closed)
    assert [shop.visit(HOME, "/", peer=peer).status for peer in (STRANGER, "127.0.0.1", "2001:db9::1")] == [503] * 3
    assert [shop.visit(HOME, "/", peer=peer).status for peer in (GUEST, "2001:db8::1")] == [0, 0]
    assert shop.visit(HOME, "/.well-known/acme-challenge/x").status == 0


def test_a_site_of_which_no_release_is_live_is_answered_503_and_its_neighbours_are_not() -> None:
    given = resolved(SHOP, SHOP | {"name": "blog", "prefix": "/blog"})
    files = beside("shop", given[1:], given)
    text = render("apache/site.conf.j2", given[0], __proxy_sites=given)

    def statuses(*missing: str) -> list[int]:
        apache = Configuration(text, files, missing=[on_host("current", name) for name in missing])
        return [apache.visit(HOME, path).status for path in ("/", "/blog/x", "/.well-known/acme-challenge/x")]

    assert statuses() == [0, 0, 0]
    assert statuses("shop") == [503, 0, 0]
    assert statuses("blog") == [0, 503, 0]
    assert Configuration(virtual_host(socket="/run/other.sock"), missing=["/run"]).visit(HOME, "/").status == 0


TRUSTED = ["192.0.2.1", "2001:db8::/32"]


def test_a_site_is_served_over_http_only_to_those_who_may_have_taken_tls_off() -> None:
    (given,) = resolved(SHOP)
    alone, behind = (
        Configuration(
            render("apache/site.conf.j2", given, __proxy_sites=[given], proxy_trusted_addresses=trusted),
            proxy_trusted_addresses=trusted,
        )
        for trusted in ([], TRUSTED)
    )
    says = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}

    def statuses(shop: Configuration, headers: dict[str, str]) -> list[int]:
        return [
            shop.visit(HOME, "/x", port=80, peer=peer, headers=headers).status
            for peer in (STRANGER, "192.0.2.1", "2001:db8::1")
        ]

    assert statuses(alone, says) == statuses(behind, {}) == [301, 301, 301]
    assert statuses(behind, says) == [301, 0, 0]
    to_the_app = [
        [row[0] for row in values(shop.visit(HOME, port=port).host, "ProxyPass") if row[1] != "!"]
        for shop in (alone, behind)
        for port in (80, 443)
    ]
    assert to_the_app == [[], ["/"], ["/"], ["/"]]
    place = behind.visit(HOME, "/x", port=80, peer="192.0.2.1", headers=says)
    assert place.upstream == alone.visit(HOME, "/x").upstream
    assert (place.request.visitor, place.request.environment["GROUNDWORK_SCHEME"]) == ("203.0.113.7", "https")
    assert place.header("Strict-Transport-Security") != ""
    stranger = behind.visit(HOME, "/x", headers=says)
    assert (stranger.request.visitor, stranger.request.environment["GROUNDWORK_SCHEME"]) == (STRANGER, "https")
    assert values(behind.main, "RemoteIPHeader") == [["X-Forwarded-For"]]
    assert values(alone.main, "RemoteIPHeader") == []


@pytest.mark.parametrize(
    ("release", "groups"),
    [
        ("trixie", "X25519MLKEM768:X25519"),
        ("resolute", "X25519MLKEM768:X25519"),
        ("noble", "X25519"),
        ("bookworm", "X25519"),
    ],
)
def test_apache_asks_for_the_key_exchange_that_its_openssl_has(release: str, groups: str) -> None:
    found = main(ansible_facts={"distribution_release": release})
    assert values(found, "SSLOpenSSLConfCmd") == [["Groups", f"{groups}:prime256v1:secp384r1"]]
    assert values(found, "Listen") == [["0.0.0.0:80"], ["0.0.0.0:443"]]


@pytest.mark.parametrize(
    ("profile", "protocols", "ciphers"), [("intermediate", ["+TLSv1.2", "+TLSv1.3"], 1), ("modern", ["+TLSv1.3"], 0)]
)
def test_apache_has_the_same_profiles_of_tls(profile: str, protocols: list[str], ciphers: int) -> None:
    found = Configuration(virtual_host(), proxy_tls=profile)
    assert values(found.main, "SSLProtocol") == [["-all", *protocols]]
    assert len(values(found.main, "SSLCipherSuite")) == ciphers
    # A name of no site gets no handshake.
    assert values(found.on_port(443)[0], "SSLCipherSuite") == [["ECDHE-ECDSA-AES128-GCM-SHA256"]]
    assert values(found.visit(HOME).host, "SSLCipherSuite") == []


PARTS = ("locations.conf.j2", "sections.conf.j2")  # of other templates
SETTINGS = "apache2.service.conf.j2"  # systemd's, not Apache's


@pytest.mark.parametrize(
    "template",
    [path for path in sorted((ROLE / "templates/apache").rglob("*.conf.j2")) if path.name not in (*PARTS, SETTINGS)],
    ids=lambda path: path.name,
)
def test_every_file_can_be_read(template: Path) -> None:
    name = str(template.relative_to(ROLE / "templates"))
    paths = {"/a": {"auth_basic": {"ada": "$6$salt$hash"}, "log_query": False, "access_log": False}}
    (given,) = resolved(SHOP | {"static": {"/static/": "/srv/static"}, "paths": paths})
    text = render(name, given | {"allow": ["203.0.113.7"]}, __proxy_sites=[given])
    assert parse(text)
    assert "{%" not in text
    assert "{{" not in text


def test_the_unit_s_settings_are_rendered_whole() -> None:
    text = render(f"apache/{SETTINGS}", resolved(SHOP)[0])
    assert "[Service]" in text
    assert not [mark for mark in ("{%", "{{", "{#") if mark in text]
