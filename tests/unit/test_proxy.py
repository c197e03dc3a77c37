"""The proxy role's templates, rendered with its own defaults and vars."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.groundwork.flask.plugins.filter.site_problems import site_problems
from ansible_collections.groundwork.flask.plugins.plugin_utils import site_plan, sites

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
    return site_plan.resolve(found)


def site(**keys: Any) -> str:
    return render("nginx/site.conf.j2", resolved(SHOP | keys)[0])


def virtual_host(**keys: Any) -> str:
    """The same for Apache."""
    given = resolved(SHOP | keys)
    return render("apache/site.conf.j2", given[0], __proxy_sites=given)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("release", "listen", "server", "groups", "handshake"),
    [
        ("trixie", "443 ssl default_server", ["http2 on;"], "X25519MLKEM768:X25519", "ssl_reject_handshake on;"),
        ("forky", "443 ssl default_server", ["http2 on;"], "X25519MLKEM768:X25519", "ssl_reject_handshake on;"),
        ("resolute", "443 ssl default_server", ["http2 on;"], "X25519MLKEM768:X25519", "ssl_reject_handshake on;"),
        ("noble", "443 ssl http2 default_server", [], "X25519", "ssl_reject_handshake on;"),
        ("bookworm", "443 ssl http2 default_server", [], "X25519", "ssl_reject_handshake on;"),
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


@pytest.mark.parametrize("paths", [{"/media": {"headers": {"X-A": "b"}}}, {"/media/.x": {}, "/media/x": {}}])
def test_no_location_stands_within_one_for_a_single_path(paths: dict[str, Any]) -> None:
    """No nginx takes that: it is how files of a path with options of its own were refused."""
    text = site(static={"/media/": "/var/lib/shop/uploads"}, paths=paths)
    single = re.findall(r"location = (\S+) \{(.*?)\n    \}", text, re.DOTALL)
    assert [path for path, _lines in single] == sorted(paths)
    assert [path for path, lines_ in single if "location" in lines_] == []
    assert [path for path, lines_ in single if "return 404;" in lines_] == [path for path in paths if "/." in path]


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


@pytest.mark.parametrize(
    ("path", "refused"), [*((path, True) for path in AMBIGUOUS), *((path, False) for path in PLAIN)]
)
def test_both_proxies_tell_a_path_with_two_readings(path: str, refused: bool) -> None:
    apache = re.search(
        r'^RewriteCond %\{THE_REQUEST\} "(.*)" \[NC\]$', render("apache/ambiguous.conf.j2"), re.MULTILINE
    )
    nginx = re.search(r'"~\*(.*)" 1;', render("nginx/nginx.conf.j2").partition("$groundwork_ambiguous {")[2])
    assert apache
    assert nginx
    assert bool(re.search(nginx[1], path, re.IGNORECASE)) is refused
    for before in ("", "https://shop.example.org"):
        assert bool(re.search(apache[1], f"GET {before}{path} HTTP/1.1", re.IGNORECASE)) is refused


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
    assert text.count("ServerName www.shop.example.org") == 2
    assert text.count("ServerAlias old.example.org") == 2
    assert virtual_host(domains=["shop.example.org"]).count("<VirtualHost *:443>") == 1
    assert "Strict-Transport-Security" not in virtual_host(headers={"Strict-Transport-Security": ""})


@pytest.mark.parametrize(("size", "limit"), [("20m", 20 << 20), ("512k", 512 << 10), ("1G", 1 << 30), ("0", 0)])
def test_a_size_means_the_same_to_apache(size: str, limit: int) -> None:
    assert f"LimitRequestBody {limit}" in lines(virtual_host(client_max_body_size=size))


@pytest.mark.parametrize("directory", ["/srv/shop/current/public/static", "/srv/shop/current/public/static/"])
def test_a_static_prefix_goes_to_its_directory_and_not_to_the_app(directory: str) -> None:
    text = lines(virtual_host(static={"/static/": directory}))
    assert 'Alias "/static/" "/srv/shop/current/public/static/"' in text
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


def test_apache_and_nginx_set_the_same_headers_and_drop_the_same() -> None:
    nginx = render("nginx/app.conf.j2")
    apache = render("apache/app.conf.j2")
    unset = set(re.findall(r'proxy_set_header ([\w-]+) "";', nginx))
    assert set(re.findall(r"RequestHeader unset ([\w-]+)", apache)) == unset
    given = set(re.findall(r"proxy_set_header ([\w-]+) \$", nginx)) - {"Upgrade", "Connection"}
    assert set(re.findall(r"RequestHeader set ([\w-]+)", apache)) == given
    assert "RequestHeader append" not in apache


def test_apache_judges_the_number_of_a_request_as_nginx_does() -> None:
    rule = "^[A-Za-z0-9+/=_.-]{20,128}$"
    assert f'"~{rule}" $http_x_request_id;' in render("nginx/nginx.conf.j2")
    assert f"=~ m#{rule.replace('[', '([', 1).replace('$', ')$')}#" in render("apache/apache2.conf.j2")


def variable(name: str, **given: Any) -> Any:
    """What a variable of the role comes to."""
    loader = DataLoader()
    variables: dict[str, Any] = {"ansible_facts": {"distribution_release": "trixie"}}
    for file in ("defaults/main.yml", "vars/main.yml"):
        variables |= loader.load_from_file(str(ROLE / file), trusted_as_template=True)
    return Templar(loader=loader, variables=variables | given).template(trust_as_template("{{ " + name + " }}"))


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
