"""What a site comes to for nginx: what a visitor meets, read from the configuration as nginx reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.nginx_reading import Configuration, geo, parse, values
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import ROLE, SHOP, render, resolved, site

CURRENT = on_host("current", "shop")
APP = f"unix:{on_host('socket', 'shop')}"


def configuration(**keys: Any) -> Configuration:
    return Configuration(site(**keys))


@pytest.mark.parametrize(
    ("release", "listen", "server", "groups"),
    [
        ("trixie", ["443", "ssl", "default_server"], [["on"]], "X25519MLKEM768:X25519"),
        ("forky", ["443", "ssl", "default_server"], [["on"]], "X25519MLKEM768:X25519"),
        ("resolute", ["443", "ssl", "default_server"], [["on"]], "X25519MLKEM768:X25519"),
        ("noble", ["443", "ssl", "http2", "default_server"], [], "X25519"),
        ("bookworm", ["443", "ssl", "http2", "default_server"], [], "X25519"),
    ],
)
def test_what_the_release_knows(release: str, listen: list[str], server: list[list[str]], groups: str) -> None:
    facts = {"distribution_release": release}
    (http,) = (
        one["block"] for one in parse(render("nginx/nginx.conf.j2", ansible_facts=facts)) if one["directive"] == "http"
    )
    assert [[f"{groups}:prime256v1:secp384r1"]] == values(http, "ssl_ecdh_curve")
    default = [
        one["block"] for one in http if one["directive"] == "server" and listen in values(one["block"], "listen")
    ]
    assert [values(block, "ssl_reject_handshake") for block in default] == [[["on"]]]
    shared = parse(render("nginx/server.conf.j2", ansible_facts=facts))
    assert values(shared, "http2") == server


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"ansible_facts": {"distribution_release": "trixie", "all_ipv6_addresses": []}}, False),
        ({"ansible_facts": {"distribution_release": "trixie"}}, False),
        ({"proxy_ipv6": "false"}, False),
    ],
)
@pytest.mark.parametrize("template", ["nginx/nginx.conf.j2", "nginx/server.conf.j2"])
def test_listens_on_ipv6_only_where_there_is_ipv6(template: str, given: dict[str, Any], expected: bool) -> None:
    block = parse(render(template, **given))
    http = [one["block"] for one in block if one["directive"] == "http"]
    servers = [one["block"] for one in http[0] if one["directive"] == "server"] if http else [block]
    addresses = {args[0] for server in servers for args in values(server, "listen")}
    assert {"80", "443"} <= addresses
    assert ({"[::]:80", "[::]:443"} <= addresses) is expected
    assert bool([address for address in addresses if address.startswith("[")]) is expected


def test_a_site_that_says_nothing_gets_sound_defaults() -> None:
    shop = configuration()
    place = shop.visit("shop.example.org", "/basket")
    # Once, and again on a fresh connection when the server has died: no try counts against the socket.
    assert shop.upstream(place) == [[APP, "max_fails=0"]] * 4
    assert place.effective("proxy_read_timeout") == [["65s"]]
    assert place.effective("client_max_body_size") == [["1m"]]
    certificates = [values(server, "ssl_certificate") for server in shop.servers]
    assert certificates == [[[f"{on_host('certificate', 'shop')}/fullchain.pem"]]] * 2
    assert shop.header(place, "Strict-Transport-Security") == "max-age=31536000"
    assert shop.header(place, "Strict-Transport-Security", "max-age=1") == "", "the app's own goes out alone"


def test_all_names_go_to_the_canonical_one_in_one_hop() -> None:
    shop = configuration()
    hop = ("301", "https://shop.example.org$request_uri")
    for name in ("www.shop.example.org", "old.example.org"):
        assert shop.visit(name, "/basket").redirect == shop.visit(name, "/basket", secure=False).redirect == hop
    assert shop.visit("shop.example.org", "/basket", secure=False).redirect == hop
    assert shop.visit("shop.example.org", "/basket").redirect == ()
    assert sorted(shop.names) == sorted(SHOP["domains"])


def test_a_site_with_one_name_has_no_server_for_others() -> None:
    shop = configuration(domains=["shop.example.org"])
    assert (shop.names, len(shop.servers)) == (["shop.example.org"], 1)


@pytest.mark.parametrize("directory", [f"{CURRENT}/public/static", f"{CURRENT}/public/static/"])
def test_a_static_prefix_cannot_be_left_by_a_missing_slash(directory: str) -> None:
    shop = configuration(static={"/static/": directory})
    assert shop.file("shop.example.org", "/static/a/b.css") == f"{CURRENT}/public/static/a/b.css"
    for path in ("/static", "/static../env", "/staticx", "/"):
        assert shop.file("shop.example.org", path) == ""
        assert shop.upstream(shop.visit("shop.example.org", path))[0] == [APP, "max_fails=0"]


def test_the_sites_own_lines_come_before_those_they_may_override() -> None:
    """For an error's page the first line counts."""
    shop = configuration(directives="error_page 404 /mine.html;\nauth_basic shop;\n")
    place = shop.visit("shop.example.org", "/")
    pages = [args for args in values(place.server, "error_page") if "404" in args]
    assert pages[0] == ["404", "/mine.html"]
    assert len(pages) == 2
    assert place.effective("auth_basic") == [["shop"]]


def test_no_two_names_share_a_variable() -> None:
    names = ["a-b", "a_b", "a-_b", "a_-b", "a_hb", "a-ub", "ahb"]
    given = [{one["args"][1] for one in configuration(name=name).top if one["directive"] == "map"} for name in names]
    assert all(given)
    assert len(set.union(*given)) == sum(map(len, given))


def test_the_longest_name_of_an_app_fits_into_a_variable() -> None:
    """Nginx refuses a name that with two pointers and its length is larger than a bucket."""
    given = {one["args"][1] for one in configuration(name="a" + 29 * "-").top if one["directive"] == "map"}
    (http,) = (one["block"] for one in parse(render("nginx/nginx.conf.j2")) if one["directive"] == "http")
    assert int(values(http, "variables_hash_bucket_size")[0][0]) >= max(map(len, given)) + 32


@pytest.mark.parametrize("paths", [{"/media": {"headers": {"X-A": "b"}}}, {"/media/.x": {}, "/media/x": {}}])
def test_no_location_stands_within_one_for_a_single_path(paths: dict[str, Any]) -> None:
    """No nginx takes that: it is how files of a path with options of its own were refused."""
    shop = configuration(static={"/media/": f"{on_host('data', 'shop')}/uploads"}, paths=paths)
    server = shop.visit("shop.example.org", "/").server
    of_sites = [one for one in server if one["directive"] == "location" and "/.groundwork/" not in one["args"][-1]]
    single = {one["args"][1]: one["block"] for one in of_sites if one["args"][0] == "="}
    assert sorted(single) == sorted(paths)
    assert [path for path, block in single.items() if values(block, "location")] == []
    assert [path for path in single if shop.visit("shop.example.org", path).redirect == ("404",)] == [
        path for path in paths if "/." in path
    ]


WHOLE = [
    path
    for path in sorted((ROLE / "templates/nginx").rglob("*.conf.j2"))
    if path.name not in ("locations.conf.j2", "listen.conf.j2", "nginx.service.conf.j2")
]


@pytest.mark.parametrize("template", WHOLE, ids=lambda path: path.name)
def test_every_file_can_be_read(template: Path) -> None:
    keys = {"static": {"/static/": "/srv/static"}, "paths": {"/a": {"log_query": False, "cache": "1m"}}}
    text = render(str(template.relative_to(ROLE / "templates")), resolved(SHOP | keys)[0])
    assert parse(text)
    assert "{%" not in text
    assert "{{" not in text


def test_the_unit_s_settings_are_rendered_whole() -> None:
    text = render("nginx/nginx.service.conf.j2", resolved(SHOP)[0])
    assert "[Service]" in text
    assert not [mark for mark in ("{%", "{{", "{#") if mark in text]


def test_only_what_is_allowed_finds_an_open_site() -> None:
    allow = ["203.0.113.7", " 2001:db8::/32", "203.0.113.7"]
    block = parse(render("nginx/maintenance/http.conf.j2", {"name": "my-shop", "allow": allow}))
    visitor = geo(block, "$groundwork_visitor_my_hshop")
    assert {visitor("203.0.113.7"), visitor("2001:db8::1"), visitor("2001:db8:ffff::")} == {"0"}
    assert {visitor("203.0.113.8"), visitor("2001:db9::1"), visitor("127.0.0.1")} == {"1"}
    (judged,) = (one for one in block if one["directive"] == "map")
    assert judged["args"] == ["$groundwork_visitor_my_hshop$groundwork_within_my_hshop", "$groundwork_closed_my_hshop"]
    assert {row["directive"]: row["args"][0] for row in judged["block"]} == {"11": "1", "default": "0"}
    server = parse(render("nginx/maintenance/server.conf.j2", {"name": "my-shop"}))
    assert values(server, "if") == [["$groundwork_closed_my_hshop"]]


def test_a_site_of_which_no_release_is_live_has_a_page_of_its_own() -> None:
    """Not so one whose app is none of the role release. molecule/default asks nginx itself."""
    shop = configuration()
    server = shop.visit("shop.example.org", "/").server
    conditions = [one for one in server if one["directive"] == "if" and "undeployed" in str(one["block"])]
    undeployed = on_host("undeployed", "shop")
    assert [one["args"] for one in conditions] == [
        ["!-e", CURRENT],
        ["$groundwork_undeployed_shop", "=", "1 000 1"],
        ["-f", undeployed],
    ]
    (rewritten,) = values(conditions[1]["block"], "rewrite")
    assert rewritten == ["^", "/.groundwork/undeployed/shop", "last"]
    assert values(conditions[2]["block"], "set") == [["$groundwork_page_shop", undeployed]]
    answer = Configuration.location(server, rewritten[1])
    assert answer is not None
    assert values(answer["block"], "internal") == [[]]
    assert values(answer["block"], "return") == [["503"]]
    ((status, target),) = values(answer["block"], "error_page")
    assert (status, target) == ("503", "/.groundwork/undeployed/shop/page")
    page = Configuration.location(server, target)
    assert page is not None
    assert values(page["block"], "internal") == [[]]
    assert values(page["block"], "alias") == [["$groundwork_page_shop"]]
    assert values(page["block"], "return") == []
    other = configuration(socket="/run/other.sock").visit("shop.example.org", "/").server
    assert "undeployed" not in str(other)


def test_there_is_a_page_for_each_promised_error() -> None:
    promised = {"400", "401", "403", "404", "405", "413", "429", "500", "502", "503", "504"}
    pages = values(parse(render("nginx/errors.conf.j2")), "error_page")
    assert {code for code, *rest in pages if len(rest) == 1 and rest[0].startswith("/")} == promised
    # nginx has numbers of its own for some; a visitor gets a promised one in their place.
    shown = {rest[-2] for _code, *rest in pages if len(rest) > 1}
    assert shown <= {f"={code}" for code in promised}


def test_what_could_forge_the_visitor_is_set_and_never_appended() -> None:
    sent = dict(values(parse(render("nginx/app.conf.j2")), "proxy_set_header"))
    assert sent["X-Forwarded-For"] == "$remote_addr"
    for name, value in sent.items():
        assert not re.search(r"\$proxy_add_x_forwarded_for|\$http_x_forwarded", value), name
