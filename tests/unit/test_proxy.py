"""The proxy role's templates, rendered with its own defaults and vars."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.groundwork.flask.plugins.plugin_utils import sites

ROLE = Path(__file__).parents[2] / "roles/proxy"
SHOP = {"name": "shop", "domains": ["shop.example.org", "www.shop.example.org", "old.example.org"]}


def render(template: str, item: dict[str, Any] | None = None, **given: Any) -> str:
    """The text of a template of the role; ``item`` is the site or the page it is for."""
    loader = DataLoader()
    loader.set_basedir(str(ROLE / "templates"))  # where a template looks for the one it extends
    variables: dict[str, Any] = {"ansible_managed": "Ansible managed", "item": item}
    variables["ansible_facts"] = {"distribution_release": "trixie", "all_ipv6_addresses": ["2001:db8::1"]}
    for file in ("defaults/main.yml", "vars/main.yml"):
        variables |= loader.load_from_file(str(ROLE / file), trusted_as_template=True)
    variables["__proxy_bare"] = []  # what a filter of the collection would make of no sites
    variables |= given
    text = (ROLE / "templates" / template).read_text()
    return str(Templar(loader=loader, variables=variables).template(trust_as_template(text)))


def resolved(*given: dict[str, Any]) -> list[dict[str, Any]]:
    """What the templates get of these sites."""
    found, problems = sites.load(list(given))
    assert problems == [], problems
    return sites.resolve(found)


def site(**keys: Any) -> str:
    return render("nginx/site.conf.j2", resolved(SHOP | keys)[0])


def virtual_host(**keys: Any) -> str:
    """The same for Apache."""
    return render("apache/site.conf.j2", resolved(SHOP | keys)[0])


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("release", "listen", "server", "groups", "handshake"),
    [
        ("trixie", "443 ssl default_server", ["http2 on;"], "X25519MLKEM768:X25519", "ssl_reject_handshake on;"),
        ("forky", "443 ssl default_server", ["http2 on;"], "X25519MLKEM768:X25519", "ssl_reject_handshake on;"),
        ("noble", "443 ssl http2 default_server", [], "X25519", "ssl_reject_handshake on;"),
        ("bookworm", "443 ssl http2 default_server", [], "X25519", "ssl_reject_handshake on;"),
        ("jammy", "443 ssl http2 default_server", [], "X25519", "ssl_certificate data:$groundwork_none;"),
    ],
)
def test_what_the_release_knows(release: str, listen: str, server: list[str], groups: str, handshake: str) -> None:
    facts = {"distribution_release": release}
    shared = lines(render("nginx/nginx.conf.j2", ansible_facts=facts))
    assert f"listen {listen};" in shared
    assert f"ssl_ecdh_curve {groups}:prime256v1:secp384r1;" in shared
    assert handshake in shared
    directives = [line for line in lines(render("nginx/server.conf.j2", ansible_facts=facts)) if line == "http2 on;"]
    assert directives == server


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
    text = render(template, **given)
    assert ("listen [::]:" in text) is expected
    assert "listen 80" in text or "listen 443" in text


def test_a_site_that_says_nothing_gets_sound_defaults() -> None:
    text = lines(site())
    assert text.count("server unix:/srv/shop/current/app.sock max_fails=0;") == 4
    assert text.count("ssl_certificate /etc/ssl/groundwork/shop/current/fullchain.pem;") == 2
    assert "proxy_read_timeout 65s;" in text
    assert "client_max_body_size 1m;" in text
    assert '"" "max-age=31536000";' in text


def test_all_names_go_to_the_canonical_one_in_one_hop() -> None:
    text = lines(site())
    assert text.count("return 301 https://shop.example.org$request_uri;") == 3
    assert "server_name www.shop.example.org old.example.org;" in text
    assert "server_name shop.example.org;" in text


def test_a_site_with_one_name_has_no_server_for_others() -> None:
    assert len(re.findall("^server {", site(domains=["shop.example.org"]), re.MULTILINE)) == 1


@pytest.mark.parametrize("directory", ["/srv/shop/current/public/static", "/srv/shop/current/public/static/"])
def test_a_static_prefix_cannot_be_left_by_a_missing_slash(directory: str) -> None:
    text = lines(site(static={"/static/": directory}))
    assert "location ^~ /static/ {" in text
    assert "alias /srv/shop/current/public/static/;" in text


def test_the_sites_own_lines_come_before_those_they_may_override() -> None:
    text = site(directives="error_page 404 /mine.html;\nauth_basic shop;\n")
    own = text.index("error_page 404 /mine.html;\n    auth_basic shop;")
    assert own < text.rindex("include groundwork/server.conf;")


def test_no_two_names_share_a_variable() -> None:
    names = ["a-b", "a_b", "a-_b", "a_-b", "a_hb", "a-ub", "ahb"]
    variables = {re.search(r"\$groundwork_header_\w+", site(name=name)) for name in names}
    assert len({found.group() for found in variables if found}) == len(names)


WHOLE = [
    path
    for path in sorted((ROLE / "templates/nginx").rglob("*.conf.j2"))
    if path.name not in ("locations.conf.j2", "listen.conf.j2")
]


@pytest.mark.parametrize("template", WHOLE, ids=lambda path: path.name)
def test_blocks_are_closed(template: Path) -> None:
    name = str(template.relative_to(ROLE / "templates"))
    item = resolved(
        SHOP | {"static": {"/static/": "/srv/static"}, "paths": {"/a": {"log_query": False, "cache": "1m"}}}
    )[0]
    text = re.sub(r'"[^"]*"|#.*', "", render(name, item))
    assert text.count("{") == text.count("}")
    assert "{%" not in text
    assert "{{" not in text


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


def test_only_what_is_allowed_finds_an_open_site() -> None:
    allow = ["203.0.113.7", " 2001:db8::/32", "203.0.113.7"]
    text = lines(render("nginx/maintenance/http.conf.j2", {"name": "my-shop", "allow": allow}))
    assert text[text.index("geo $groundwork_visitor_my_hshop {") : text.index("}") + 1] == [
        "geo $groundwork_visitor_my_hshop {",
        "default 1;",
        "203.0.113.7 0;",
        "2001:db8::/32 0;",
        "}",
    ]
    server = render("nginx/maintenance/server.conf.j2", {"name": "my-shop"})
    assert "if ($groundwork_closed_my_hshop) {" in server


def test_there_is_a_page_for_each_promised_error() -> None:
    promised = {400, 401, 403, 404, 405, 413, 429, 500, 502, 503, 504}
    assert {int(code) for code in re.findall(r"error_page (\d+) /", render("nginx/errors.conf.j2"))} == promised


def test_what_could_forge_the_visitor_is_set_and_never_appended() -> None:
    text = render("nginx/app.conf.j2")
    assert "X-Forwarded-For $remote_addr;" in text
    assert "$proxy_add_x_forwarded_for" not in text
    assert "$http_x_forwarded" not in text


# --- Apache ----------------------------------------


def test_apache_hosts_have_sound_defaults_and_one_canonical_name() -> None:
    text = lines(virtual_host())
    assert (
        'ProxyPass / "unix:/srv/shop/current/app.sock|http://shop/" retry=0 disablereuse=On connectiontimeout=5 '
        "timeout=65 responsefieldsize=16384 upgrade=websocket nocanon"
    ) in text
    assert text.count('SSLCertificateFile "/etc/ssl/groundwork/shop/current/fullchain.pem"') == 2
    assert "LimitRequestBody 1048576" in text
    assert text.count("ServerName shop.example.org") == 2
    assert "ServerAlias www.shop.example.org old.example.org" in text
    assert virtual_host(domains=["shop.example.org"]).count("<VirtualHost *:443>") == 1
    assert "Strict-Transport-Security" not in virtual_host(hsts="")


@pytest.mark.parametrize(("size", "limit"), [("20m", 20 << 20), ("512k", 512 << 10), ("1G", 1 << 30), ("0", 0)])
def test_a_size_means_the_same_to_apache(size: str, limit: int) -> None:
    assert f"LimitRequestBody {limit}" in lines(virtual_host(client_max_body_size=size))


@pytest.mark.parametrize("directory", ["/srv/shop/current/public/static", "/srv/shop/current/public/static/"])
def test_a_static_prefix_goes_to_its_directory_before_the_app(directory: str) -> None:
    text = lines(virtual_host(static={"/static/": directory}))
    assert 'Alias "/static/" "/srv/shop/current/public/static/"' in text
    assert text.index('ProxyPass "/static/" !') < next(
        n for n, line in enumerate(text) if line.startswith("ProxyPass / ")
    )


@pytest.mark.parametrize(
    ("release", "groups"), [("trixie", "X25519MLKEM768:X25519"), ("noble", "X25519"), ("bookworm", "X25519")]
)
def test_apache_asks_for_the_key_exchange_that_its_openssl_has(release: str, groups: str) -> None:
    text = lines(render("apache/apache2.conf.j2", ansible_facts={"distribution_release": release}))
    assert f"SSLOpenSSLConfCmd Groups {groups}:prime256v1:secp384r1" in text
    assert "Listen 0.0.0.0:443" in text


@pytest.mark.parametrize("template", sorted((ROLE / "templates/apache").rglob("*.conf.j2")), ids=lambda path: path.name)
def test_sections_of_apache_are_closed(template: Path) -> None:
    name = str(template.relative_to(ROLE / "templates"))
    text = render(name, SHOP | {"static": {"/static/": "/srv/static"}, "allow": ["203.0.113.7"]})
    for section in ("VirtualHost", "Directory", "If", "Location"):
        assert len(re.findall(rf"^\s*<{section}\b", text, re.MULTILINE)) == text.count(f"</{section}>")
    assert "{%" not in text
    assert "{{" not in text


def test_apache_and_nginx_set_the_same_headers_and_drop_the_same() -> None:
    nginx = render("nginx/app.conf.j2")
    apache = render("apache/app.conf.j2")
    unset = set(re.findall(r'proxy_set_header ([\w-]+) "";', nginx))
    assert set(re.findall(r"RequestHeader unset ([\w-]+)", apache)) == unset
    given = set(re.findall(r"proxy_set_header ([\w-]+) \$", nginx)) - {"Upgrade", "Connection"}
    assert set(re.findall(r"RequestHeader set ([\w-]+)", apache)) == given
    assert "RequestHeader append" not in apache
