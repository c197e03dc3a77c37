"""What both proxies have in common, and what the role refuses of one of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.groundwork.flask.plugins.filter.site_problems import site_problems
from ansible_collections.groundwork.flask.plugins.plugin_utils import site_plan
from ansible_collections.groundwork.flask.tests.unit import apache_directives, nginx_reading
from ansible_collections.groundwork.flask.tests.unit.apache_reading import Configuration
from ansible_collections.groundwork.flask.tests.unit.nginx_reading import Directive
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import (
    ROLE,
    SHOP,
    lines,
    render,
    variable,
    virtual_host,
)


def test_the_mount_without_links_is_where_its_files_are_looked_for() -> None:
    mount = lines(render("apache/data.mount.j2"))
    assert {f"What={site_plan.DATA.rstrip('/')}", f"Where={site_plan.DATA_WITHOUT_LINKS.rstrip('/')}"} <= set(mount)
    (options,) = (line.partition("=")[2].split(",") for line in mount if line.startswith("Options="))
    assert {"ro", "nosymfollow"} <= set(options)
    unit = site_plan.DATA_WITHOUT_LINKS.strip("/").replace("/", "-") + ".mount"
    assert {f"Wants={unit}", f"After={unit}"} <= set(lines(render("apache/apache2.service.conf.j2")))
    apache = DataLoader().load_from_file(str(ROLE / "vars/main.yml"))["__proxy_providers"]["apache"]
    assert f"/etc/systemd/system/{unit}" in [file["dest"] for file in apache["files"]]
    assert f"/etc/systemd/system/{unit}" in apache["restart_for"]


AMBIGUOUS = [
    "//",
    "/a//b",
    "/.",
    "/..",
    "/../a",
    "/a/./b",
    "/a/..",
    "/a/..;x/b",
    "/%2e/a",
    "/a/.%2E",
    "/a/%252e%2525252E/",
]
AMBIGUOUS += ["/a%2fb", "/a%2Fb", "/a%5cb", "/a%00", "/a%252f", "/a%25252F", "/a%2500", "/a\\b", "/a#b"]
PLAIN = [
    "/",
    "/a",
    "/a/",
    "/a.b/..c/d../...",
    "/.well-known/x",
    "/.a/..b",
    "/a;b=1",
    "/a%2eb",
    "/a%25",
    "/a%2525",
    "/a%20",
]
PLAIN += ["/a%3fb", "/a?b=/../%2f//\\#", "/a?//", "/%c3%a9"]


@pytest.fixture(scope="module")
def nginx() -> list[Directive]:
    """The host's configuration of nginx, within its section `http`."""
    (http,) = [one["block"] for one in nginx_reading.parse(render("nginx/nginx.conf.j2")) if one["directive"] == "http"]
    return list(http)


@pytest.fixture(scope="module")
def apache() -> Configuration:
    """A site for Apache of which one path is not for all."""
    return Configuration(virtual_host(paths={"/closed": {"allow": ["192.0.2.1"]}}))


@pytest.mark.parametrize(
    ("path", "refused"), [*((path, True) for path in AMBIGUOUS), *((path, False) for path in PLAIN)]
)
def test_both_proxies_tell_a_path_with_two_readings(
    nginx: list[Directive], apache: Configuration, path: str, refused: bool
) -> None:
    judged = nginx_reading.mapped(nginx, "$groundwork_ambiguous")
    assert judged(path) == ("1" if refused else "0")
    for before in ("", "https://shop.example.org"):
        place = apache.visit("shop.example.org", path, line=f"GET {before}{path} HTTP/1.1")
        assert place.status == (400 if refused else 0)


def test_an_error_page_stands_alone() -> None:
    page = render("error.html.j2", {"code": 502, "title": "Back in a moment", "text": "Try again."})
    assert page.startswith("<!doctype html>")
    assert '<!--# echo var="groundwork_request_id" -->' in page
    assert not re.search(r"(src|href|url\()", page)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
        ('<!--# echo var="uri" -->', "&lt;!--# echo var=&#34;uri&#34; --&gt;"),
        ("$host & ${uri}", "$host &amp; ${uri}"),
        ("{{ 6 * 7 }} {% raw %}", "{{ 6 * 7 }} {% raw %}"),
        ("", "We are working on this site and will be back soon. Thank you for your patience."),
    ],
)
def test_a_message_is_shown_as_it_is(message: str, shown: str) -> None:
    page = render("maintenance.html.j2", {"name": "shop", "message": message})
    assert f"<p>{shown}</p>" in page
    assert "<!--#" not in page
    assert "<title>Back soon</title>" in page


def test_apache_and_nginx_set_the_same_headers_and_drop_the_same() -> None:
    for_nginx = nginx_reading.values(nginx_reading.parse(render("nginx/app.conf.j2")), "proxy_set_header")
    for_apache = apache_directives.values(apache_directives.parse(render("apache/app.conf.j2")), "RequestHeader")
    assert {row[1] for row in for_apache if row[0] == "unset"} == {name for name, value in for_nginx if not value}
    given = {name for name, value in for_nginx if value} - {"Upgrade", "Connection"}
    assert {row[1] for row in for_apache if row[0] == "set"} == given
    assert {row[0] for row in for_apache} == {"set", "unset"}, "what a visitor sent is never added to"


NUMBERS = ["a" * 20, "A" * 128, "0123456789abcdefABCDEF+/=_.-", "550e8400-e29b-41d4-a716-446655440000"]
NO_NUMBERS = ["", "a" * 19, "a" * 129, "a" * 20 + " ", "a" * 10 + '"' + "a" * 10, "a" * 20 + "\u00e9", "a" * 20 + "%0a"]


@pytest.mark.parametrize(
    ("number", "kept"), [*((number, True) for number in NUMBERS), *((number, False) for number in NO_NUMBERS)]
)
def test_both_proxies_keep_the_number_of_a_request_if_it_is_one(
    nginx: list[Directive], apache: Configuration, number: str, kept: bool
) -> None:
    (made,) = [one["args"][1] for one in nginx if one["directive"] == "map" and one["args"][0] == "$http_x_request_id"]
    assert nginx_reading.mapped(nginx, made)(number) == ("$http_x_request_id" if kept else "$request_id")
    place = apache.visit("shop.example.org", headers={"X-Request-ID": number})
    assert place.header("X-Request-ID") == (number if kept else "made-by-apache")


def lacking(provider: str, options: dict[str, Any]) -> list[str]:
    """What the role says of a site before it touches a host."""
    lacks = variable("__proxy_providers[proxy_provider].lacks", proxy_provider=provider)
    return site_problems([SHOP | options], provider, lacks)


@pytest.mark.parametrize(
    ("option", "value"), [("limit_req", "10r/s"), ("limit_conn", 5), ("cache", "10m"), ("buffering", False)]
)
@pytest.mark.parametrize("path", [None, "/a"])
def test_what_apache_lacks_is_refused_for_a_site_and_for_a_path(option: str, value: Any, path: str | None) -> None:
    options = {option: value} if path is None else {"paths": {path: {option: value}}}
    where = option if path is None else f"paths.{path}.{option}"
    assert lacking("nginx", options) == []
    assert lacking("apache", options) == [
        f"proxy_sites.shop.{where} is not to be had with apache: leave it out, write the provider's own lines into "
        "`directives`, or take another proxy_provider"
    ]


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::1"])
def test_a_name_that_is_an_address_is_refused_with_apache(address: str) -> None:
    options = {"domains": ["shop.example.org", address]}
    assert lacking("nginx", options) == []
    assert lacking("apache", options) == [
        f"proxy_sites.shop.domains: the address {address} is not to be had with apache: leave it out, or take another "
        "proxy_provider"
    ]


@pytest.mark.parametrize(
    ("asked", "value"),
    [("proxy_http3", True), ("proxy_access_log", "journal"), ("proxy_site_template", "shop.conf.j2")],
)
def test_what_apache_lacks_for_the_host_is_refused(asked: str, value: Any) -> None:
    assert variable("__proxy_own_problems", **{asked: value}) == []
    assert variable("__proxy_own_problems", proxy_provider="apache", **{asked: value}) == [
        f"{asked} is not to be had with apache on trixie: leave it out, or take another proxy_provider"
    ]
    assert variable("__proxy_own_problems", proxy_provider="apache") == []
