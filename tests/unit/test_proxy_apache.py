"""What a site comes to for Apache."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import (
    ROLE,
    SHOP,
    lines,
    render,
    resolved,
    virtual_host,
)

CURRENT = on_host("current", "shop")


def test_apache_hosts_have_sound_defaults_and_one_canonical_name() -> None:
    text = lines(virtual_host())
    assert (
        f'ProxyPass / "unix:{on_host("socket", "shop")}|http://shop/" retry=0 disablereuse=On connectiontimeout=5 '
        "timeout=65 responsefieldsize=16384 upgrade=websocket nocanon"
    ) in text
    assert text.count(f'SSLCertificateFile "{on_host("certificate", "shop")}/fullchain.pem"') == 2
    assert "LimitRequestBody 1048576" in text
    assert text.count("ServerName shop.example.org") == 2
    assert text.count("ServerName www.shop.example.org") == 2
    assert text.count("ServerAlias old.example.org") == 2
    assert virtual_host(domains=["shop.example.org"]).count("<VirtualHost *:443>") == 1
    assert "Strict-Transport-Security" not in virtual_host(headers={"Strict-Transport-Security": ""})


@pytest.mark.parametrize(("size", "limit"), [("20m", 20 << 20), ("512k", 512 << 10), ("1G", 1 << 30), ("0", 0)])
def test_a_size_means_the_same_to_apache(size: str, limit: int) -> None:
    assert f"LimitRequestBody {limit}" in lines(virtual_host(client_max_body_size=size))


@pytest.mark.parametrize("directory", [f"{CURRENT}/public/static", f"{CURRENT}/public/static/"])
def test_a_static_prefix_goes_to_its_directory_and_not_to_the_app(directory: str) -> None:
    text = lines(virtual_host(static={"/static/": directory}))
    assert f'Alias "/static/" "{CURRENT}/public/static/"' in text
    section = text[text.index('<Location "/static/">') :]
    assert "ProxyPass !" in section[: section.index("</Location>")]


def test_a_section_comes_after_those_around_it() -> None:
    text = virtual_host(paths={"/a/b/c": {}, "/a": {}, "/a/b": {}}, static={"/a/b/static/": "/srv/static"})
    found = re.findall(r'<Location "(.*)">', text)
    assert found == ["/", "/a", "/a/b", "/a/b/c", "/a/b/static/"]


def test_a_path_is_open_only_within_one_that_is_not() -> None:
    """What the site's own lines ask of all visitors holds for paths that say nothing of it."""
    closed = {"allow": ["192.0.2.1"]}
    text = virtual_host(paths={"/up": {"access_log": False}, "/a": closed, "/a/open": {"allow": []}, "/ab": {}})
    sections = dict(re.findall(r'<Location "(.*?)">(.*?)</Location>', text, re.DOTALL))
    assert [path for path, said in sections.items() if "Require all granted" in said] == ["/a/open"]
    assert [path for path, said in sections.items() if "Require ip 192.0.2.1" in said] == ["/a"]
    shop, blog = resolved(SHOP | closed, SHOP | {"name": "blog", "prefix": "/blog"})
    assert "Require all granted" in render("apache/shared-locations.conf.j2", blog, __proxy_sites=[shop, blog])


def test_each_path_has_its_own_timeout() -> None:
    text = virtual_host(read_timeout=5, paths={"/a": {"read_timeout": 20}, "/a/b": {"read_timeout": 5}})
    found = re.findall(r"http://(shop[\w-]*)(/[\w/]*)\" .* timeout=(\d+)", text)
    assert len({host for host, _path, _seconds in found}) == 3
    assert [(path, seconds) for _host, path, seconds in found] == [("/a", "20"), ("/a/b", "5"), ("/", "5")]


def test_what_a_header_says_is_quoted_for_apache() -> None:
    text = virtual_host(headers={"X-Words": 'a "b" \\ 100%'})
    assert r'Header always set X-Words "a \"b\" \\ 100%%" "expr=-z %{resp:X-Words}"' in lines(text)


def test_the_sites_of_a_domain_end_where_another_begins() -> None:
    shop, blog, news = resolved(
        SHOP, SHOP | {"name": "blog", "prefix": "/blog"}, SHOP | {"name": "news", "prefix": "/blog/news"}
    )
    inside = {
        site["name"]: re.compile(found[1])
        for site, template in ((shop, "site"), (blog, "shared-locations"), (news, "shared-locations"))
        if (found := re.search(r'RewriteRule "(\S+)" - \[E=GROUNDWORK_SITE:', render(
            f"apache/{template}.conf.j2", site, __proxy_sites=[shop, blog, news])))
    }  # fmt: skip
    for path, name in {
        "/": "shop",
        "/blogger": "shop",
        "/blog": "blog",
        "/blog/x": "blog",
        "/blog/newsletter": "blog",
        "/blog/news": "news",
        "/blog/news/x": "news",
    }.items():
        assert [one for one, pattern in inside.items() if pattern.search(path)] == [name]
    assert not [one for one, pattern in inside.items() if pattern.search("/.well-known/acme-challenge/x")]
    assert (shop["depth"], blog["depth"], news["depth"]) == (0, 1, 2)


def test_a_site_is_served_over_http_only_to_those_who_may_have_taken_tls_off() -> None:
    (given,) = resolved(SHOP)
    alone, behind = (
        render("apache/site.conf.j2", given, __proxy_sites=[given], proxy_trusted_addresses=trusted)
        for trusted in ([], ["192.0.2.1"])
    )
    assert (alone.count("ProxyPass / "), behind.count("ProxyPass / ")) == (1, 2)
    main = render("apache/apache2.conf.j2", proxy_trusted_addresses=["192.0.2.1", "2001:db8::/32"])
    assert lines(main).count("RemoteIPHeader X-Forwarded-For") == 1
    assert main.count("GROUNDWORK_SCHEME=https") == 3
    assert "RemoteIPHeader" not in render("apache/apache2.conf.j2")


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
    text = lines(render("apache/apache2.conf.j2", ansible_facts={"distribution_release": release}))
    assert f"SSLOpenSSLConfCmd Groups {groups}:prime256v1:secp384r1" in text
    assert "Listen 0.0.0.0:443" in text


@pytest.mark.parametrize(
    ("profile", "protocols", "ciphers"), [("intermediate", "+TLSv1.2 +TLSv1.3", 2), ("modern", "+TLSv1.3", 1)]
)
def test_apache_has_the_same_profiles_of_tls(profile: str, protocols: str, ciphers: int) -> None:
    text = render("apache/apache2.conf.j2", proxy_tls=profile)
    assert f"SSLProtocol -all {protocols}" in lines(text)
    assert text.count("SSLCipherSuite") == ciphers


PARTS = ("locations.conf.j2", "sections.conf.j2")  # of other templates


@pytest.mark.parametrize(
    "template",
    [path for path in sorted((ROLE / "templates/apache").rglob("*.conf.j2")) if path.name not in PARTS],
    ids=lambda path: path.name,
)
def test_sections_of_apache_are_closed(template: Path) -> None:
    name = str(template.relative_to(ROLE / "templates"))
    paths = {"/a": {"auth_basic": {"ada": "$6$salt$hash"}, "log_query": False, "access_log": False}}
    (given,) = resolved(SHOP | {"static": {"/static/": "/srv/static"}, "paths": paths})
    text = render(name, given | {"allow": ["203.0.113.7"]}, __proxy_sites=[given])
    for section in ("VirtualHost", "Directory", "If", "Location", "RequireAll"):
        assert len(re.findall(rf"^\s*<{section}\b", text, re.MULTILINE)) == text.count(f"</{section}>")
    assert "{%" not in text
    assert "{{" not in text
