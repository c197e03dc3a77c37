"""What a site, or a path of it, may have of its own."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import testing
from providers import NGINX, Provider
from test_front_door import assert_own_page, over_http2, raw, stopped
from testinfra.host import Host
from testing import Site

SHOP_SOCKET, BLOG_SOCKET = "/srv/shop/current/app.sock", "/srv/blog/app.sock"
YEAR = "public, max-age=31536000, immutable"


nginx_alone = pytest.mark.provider(NGINX.name)  # for what another one refuses to do


def logged(host: Host, provider: Provider, count: int = 1) -> list[dict[str, Any]]:
    """The last lines of the access log."""
    lines = host.check_output("tail -n %s %s/access.log", str(count), provider.logs).splitlines()
    return [json.loads(line) for line in lines]


# --- who may see what -------------------------------------------------------------------------------------------------


def credentials(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()}


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/", "/admin/users?x=1", "/admin/static/style.css", "//admin/x", "/x/../admin"]
)
def test_a_password_is_asked_for_wherever_the_path_leads(shop: Site, provider: Provider, path: str) -> None:
    refused = shop.get(path)
    assert (refused.status, refused.header("WWW-Authenticate")) == (401, 'Basic realm="shop"')
    assert_own_page(provider, refused.text, 401)
    assert shop.get(path, headers=credentials("babbage")).status == 401
    assert shop.get(path, headers=credentials("lovelace")).status == 200


def test_what_is_below_may_be_open_again_and_what_is_beside_is(shop: Site) -> None:
    assert shop.get("/admin/open/x").status == 200
    assert shop.get("/administration").status == 200


def test_password_files_are_for_the_proxy_alone(host: Host, provider: Provider) -> None:
    files = host.check_output("find %s/groundwork/passwords -type f", provider.directory).splitlines()
    assert files
    for path in files:
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", "www-data", 0o640)


@pytest.mark.parametrize("path", ["/inside", "/inside/x"])
def test_other_addresses_are_kept_out(shop: Site, provider: Provider, path: str) -> None:
    refused = shop.get(path)
    assert refused.status == 403
    assert_own_page(provider, refused.text, 403)
    assert shop.get("/insider").status == 200


@nginx_alone
def test_too_many_requests_are_told_when_to_come_back(shop: Site, provider: Provider) -> None:
    answers = [shop.get("/limited/x") for _turn in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].header("Retry-After") == "10"
    assert_own_page(provider, answers[-1].text, 429)
    assert shop.get("/unlimited").status == 200


@nginx_alone
def test_too_many_at_once_too(shop: Site) -> None:
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _turn: shop.get("/one-at-a-time/slow").status, range(3)))
    assert sorted(answers) == [200, 429, 429]


# --- how the app is asked ---------------------------------------------------------------------------------------------


def test_a_path_may_take_longer_and_larger_than_its_site(wiki: Site) -> None:
    assert wiki.get("/patient/slow").status == 200
    assert wiki.post("/patient/x", body=b"x" * 2_000_000).status == 200
    assert wiki.post("/x", body=b"x" * 2_000_000).status == 413


def test_a_path_may_take_larger_bodies(shop: Site) -> None:
    assert shop.post("/big", body=b"x" * 2_000_000).json["body_bytes"] == 2_000_000
    assert shop.post("/bigger", body=b"x" * 2_000_000).status == 413


def arrivals(site: Site, path: str) -> list[float]:
    """When each piece of an answer comes, in seconds after the first."""
    times = []
    with raw(site) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {site.name}\r\nConnection: close\r\n\r\n".encode())
        while piece := connection.recv(10_000):
            if b"data: " in piece:
                times.append(time.monotonic())
    return [at - times[0] for at in times]


def test_events_come_as_they_are_sent(shop: Site) -> None:
    times = arrivals(shop, "/events/drip")
    assert len(times) == 4, times
    assert times[-1] > 2.5


@nginx_alone
def test_an_answer_that_may_be_kept_is(host: Host, shop: Site) -> None:
    first = shop.get("/kept/a?x=1")
    with stopped(host, SHOP_SOCKET):
        assert shop.get("/kept/a?x=1").text == first.text
        assert shop.request("HEAD", "/kept/a?x=1").status == 200
        assert shop.get("/kept/a?x=2").status == 502
        assert shop.get("/kept/a?x=1", headers=credentials("x")).status == 502
    for visitors_own in ("/kept/cookie", "/keptaway"):
        assert shop.get(visitors_own).text != shop.get(visitors_own).text


@nginx_alone
def test_an_old_answer_is_better_than_none(host: Host, shop: Site) -> None:
    first = shop.get("/kept-for-a-moment")
    time.sleep(1.5)
    with stopped(host, SHOP_SOCKET):
        assert shop.get("/kept-for-a-moment").text == first.text
    time.sleep(1.5)
    assert testing.poll(lambda: shop.get("/kept-for-a-moment").text != first.text, 10)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/static/style.css", "public, max-age=3600"),
        ("/static/app.3f2a9c1b.js", YEAR),
        ("/static/deadbeef.txt", "public, max-age=3600"),
        ("/assets/style.css", YEAR),
        ("/static/none.3f2a9c1b.js", None),
    ],
)
def test_how_long_browsers_keep_a_file(shop: Site, path: str, kept: str | None) -> None:
    assert shop.get(path).header("Cache-Control") == kept


def test_a_file_may_be_asked_for_each_time(shop: Site) -> None:
    assert shop.get("/admin/static/style.css", headers=credentials("lovelace")).header("Cache-Control") == "no-cache"


def test_a_packed_file_is_sent_as_it_is(shop: Site) -> None:
    packed = shop.get("/static/packed.txt", headers={"Accept-Encoding": "gzip"})
    assert (packed.header("Content-Encoding"), packed.text) == ("gzip", "packed before")
    assert shop.get("/static/packed.txt").text.startswith("never packed")


@nginx_alone
def test_brotli_for_those_who_take_it(shop: Site) -> None:
    asked = {"Accept-Encoding": "gzip, br"}
    assert shop.get("/static/large.txt", headers=asked).header("Content-Encoding") == "br"
    assert shop.get("/long", headers=asked).header("Content-Encoding") == "br"
    assert shop.get("/static/large.txt", headers={"Accept-Encoding": "gzip"}).header("Content-Encoding") == "gzip"


# --- headers and the log ----------------------------------------------------------------------------------------------


def test_a_path_has_headers_of_its_own_beside_those_of_its_site(shop: Site) -> None:
    answer = shop.get("/framed/x")
    assert answer.header("Content-Security-Policy") == "default-src 'self'; script-src 'self'"
    assert answer.header("X-Robots-Tag") == "noindex"
    assert answer.header("X-Frame-Options") is None
    assert answer.header("Strict-Transport-Security") == "max-age=31536000"
    assert answer.header("Permissions-Policy") == "browsing-topics=()"
    assert shop.get("/x").header("Content-Security-Policy") is None


@nginx_alone
def test_a_path_has_lines_of_its_own(shop: Site) -> None:
    assert shop.get("/raw/x").header("X-Raw") == "yes"
    assert shop.get("/x").header("X-Raw") is None


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        ("0f8fad5b-d9cb-469f-a165-70867728950e", True),
        ("too-short", False),
        ("x" * 129, False),
        ('with"quotes"and<brackets>', False),
        ("", False),
    ],
)
def test_a_request_has_one_number_everywhere(
    host: Host, shop: Site, provider: Provider, given: str, passes: bool
) -> None:
    answer = shop.get("/number", headers={"X-Request-ID": given} if given else {})
    number = answer.header("X-Request-ID")
    assert number
    assert (number == given) is passes
    assert dict(answer.json["headers"])["x-request-id"] == number
    assert logged(host, provider)[0]["id"] == number
    page = shop.get("/die", headers={"X-Request-ID": given} if given else {})
    assert f"<code>{page.header('X-Request-ID')}</code>" in page.text


@nginx_alone
def test_what_is_not_to_be_logged_is_not(host: Host, shop: Site, www: Site, provider: Provider) -> None:
    own = {"Referer": "https://shop.example.org/reset?token=secret3"}
    shop.get("/before")
    shop.get("/quiet/x")
    shop.get("/reset?token=secret1")
    www.get("/reset/now?token=secret2")
    shop.get("/seen?page=2", headers=own)
    assert [line["uri"] for line in logged(host, provider, 4)] == ["/before", "/reset", "/reset/now", "/seen?page=2"]
    with stopped(host, SHOP_SOCKET):
        assert shop.get("/reset?token=secret4").status == 502
    assert logged(host, provider)[0]["uri"] == "/reset"
    assert host.run("grep -r 'token=secret' %s", provider.logs).rc == 1


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tenants_certificate(host: Host) -> str:
    return str(host.check_output("cat /etc/ssl/tenants/fullchain.pem"))


def test_a_wildcard_is_for_an_app_that_knows_its_names(site: Any, tenants_certificate: str) -> None:
    for name in ("tenants.example.org", "ada.tenants.example.org", "charles.tenants.example.org"):
        tenant = site(name, root=tenants_certificate)
        assert dict(tenant.get("/").json["headers"])["host"] == name
        assert tenant.get("/x", scheme="http").header("Location") == f"https://{name}/x"


def test_two_apps_share_a_domain(host: Host, shop: Site, www: Site) -> None:
    seen = shop.get("/blog/post%2F1?x=%2F").json
    assert (seen["socket"], seen["path"]) == (BLOG_SOCKET, "/blog/post%2F1?x=%2F")
    assert shop.get("/blogger").json["socket"] == SHOP_SOCKET
    assert shop.get("/blog?x=1").header("Location") == "https://shop.example.org/blog/?x=1"
    assert www.get("/blog/x").header("Location") == "https://shop.example.org/blog/x"
    assert shop.get("/blog/static/style.css").text == "body { color: teal; }\n"
    assert shop.get("/blog/static/style.css").header("Cache-Control") == "public, max-age=3600"
    assert shop.get("/blog/x").header("X-Frame-Options") == "DENY"
    assert shop.get("/blog/x").header("Strict-Transport-Security") == "max-age=31536000"
    with stopped(host, BLOG_SOCKET):
        assert shop.get("/").status == 200
        assert shop.get("/blog/").status in (502, 503)


def test_maintenance_of_one_leaves_the_other_open(host: Host, shop: Site) -> None:
    for closed, open_ in (("blog", "/"), ("shop", "/blog/")):
        result = testing.play(host, "maintenance.yml", proxy_maintenance=[{"name": closed}])
        assert result.returncode == 0, testing.said(result)
        try:
            assert testing.poll(lambda path="/" if closed == "shop" else "/blog/": shop.get(path).status == 503)
            assert shop.get(open_).status == 200
        finally:
            testing.play(host, "maintenance.yml", proxy_maintenance_absent=[closed])
        assert testing.poll(lambda: shop.get("/").status == shop.get("/blog/").status == 200)


# --- what is in front, and what differs for the host as a whole -------------------------------------------------------


def play(host: Host, **variables: Any) -> None:
    result = testing.play(host, "converge.yml", **variables)
    assert result.returncode == 0, testing.said(result)


def test_the_word_of_a_balancer_counts_and_nobody_else_s(host: Host, shop: Site) -> None:
    told = {"X-Forwarded-For": "192.0.2.66, 198.51.100.7", "X-Forwarded-Proto": "https"}
    assert shop.get("/", scheme="http", headers=told).status == 301
    play(host, proxy_trusted_addresses=[f"{testing.own_ip(host)}/32"])
    try:
        assert testing.poll(lambda: shop.get("/x", scheme="http", headers=told).status == 200)
        seen = dict(shop.get("/x", scheme="http", headers=told).json["headers"])
        assert seen["x-forwarded-for"] == seen["x-real-ip"] == "198.51.100.7"
        assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == ("https", "443")
        assert shop.get("/x", scheme="http", headers=told).header("Strict-Transport-Security")
        plain = {**told, "X-Forwarded-Proto": "http"}
        assert shop.get("/x", scheme="http", headers=plain).header("Location") == "https://shop.example.org/x"
        # A visitor of whom the balancer says nothing else is himself; and the host itself is no balancer.
        assert dict(shop.get("/").json["headers"])["x-forwarded-for"] == testing.own_ip(host)
        own = host.check_output(
            "python3 -c %s",
            "import http.client as h; c = h.HTTPConnection('127.0.0.1'); "
            "c.request('GET', '/', headers={'Host': 'shop.example.org', 'X-Forwarded-Proto': 'https'}); "
            "print(c.getresponse().status)",
        )
        assert own == "301"
    finally:
        play(host)


@nginx_alone
def test_the_proxy_protocol_tells_the_visitor(host: Host, shop: Site, shop_certificate: str) -> None:
    play(host, proxy_protocol=True, proxy_trusted_addresses=[testing.own_ip(host)])
    try:

        def told() -> str:
            with socket.create_connection((shop.address, 443), 10) as plain:
                plain.sendall(b"PROXY TCP4 198.51.100.9 192.0.2.1 4711 443\r\n")
                with shop.context().wrap_socket(plain, server_hostname=shop.name) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.example.org\r\nConnection: close\r\n\r\n")
                    return connection.makefile("rb").read().decode()

        assert '["x-forwarded-for", "198.51.100.9"]' in testing.poll(told)
        with pytest.raises(ssl.SSLError):
            shop.get("/")
        own = "openssl s_client -connect 127.0.0.1:443 -servername shop.example.org </dev/null 2>&1 | grep -c BEGIN"
        assert host.run(own).stdout.strip() == "1"
    finally:
        play(host)


@nginx_alone
def test_an_address_among_the_names_needs_no_name_in_the_handshake(host: Host, host_ip: str, site: Any) -> None:
    bare = {
        "name": "bare",
        "domains": ["bare.example.org", "192.0.2.10"],
        "socket": BLOG_SOCKET,
        "certificate": "/etc/ssl/bare",
    }
    play(host, more_sites=[bare])
    try:
        root = host.check_output("cat /etc/ssl/bare/fullchain.pem")

        def asked() -> str:
            context = Site("bare.example.org", host_ip, root).context()
            context.check_hostname = False
            with (
                socket.create_connection((host_ip, 443), 10) as plain,
                context.wrap_socket(plain) as connection,
            ):
                connection.sendall(b"GET /x HTTP/1.1\r\nHost: 192.0.2.10\r\nConnection: close\r\n\r\n")
                return connection.makefile("rb").read().decode()

        assert "Location: https://bare.example.org/x" in testing.poll(asked)
        with pytest.raises(OSError, match=r"(?i)internal.error"):
            site("unknown.example.org", verify=False).get("/")
    finally:
        play(host, absent=["bare"])


@nginx_alone
@pytest.mark.suite("trixie")
def test_http3(host: Host, shop: Site, tmp_path: Path) -> None:
    play(host, proxy_http3=True)
    try:
        assert testing.poll(lambda: shop.get("/").header("Alt-Svc")) == 'h3=":443"; ma=86400'
        host.check_output("apt-get install --yes --quiet --no-install-recommends curl >/dev/null")
        answer = host.check_output(
            "curl --silent --show-error --http3-only --cacert /etc/ssl/groundwork/shop/current/fullchain.pem "
            "--resolve shop.example.org:443:127.0.0.1 --write-out ' %%{http_version}' https://shop.example.org/over-http3"
        )
        assert '"path": "/over-http3"' in answer
        assert answer.endswith(" 3")
    finally:
        play(host)


def test_modern_tls_alone(host: Host, shop: Site, tmp_path: Path) -> None:
    play(host, proxy_tls="modern")
    try:
        context = shop.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        def refused() -> bool:
            try:
                context.wrap_socket(
                    socket.create_connection((shop.address, 443), 10), server_hostname=shop.name
                ).close()
            except ssl.SSLError as error:
                return "version" in str(error).lower()
            return False

        assert testing.poll(refused)
        assert over_http2(shop, tmp_path, "/").endswith("\n2 200")
    finally:
        play(host)


@nginx_alone
def test_the_log_may_go_to_the_journal(host: Host, shop: Site) -> None:
    play(host, proxy_access_log="journal")
    try:
        assert testing.poll(lambda: shop.get("/into-the-journal").status == 200)
        said = testing.poll(
            lambda: host.check_output("journalctl --sync; journalctl -t nginx -o cat -n 50 | grep into-the || true")
        )
        assert json.loads(said.splitlines()[-1])["uri"] == "/into-the-journal"
    finally:
        play(host)


# --- how the proxy itself runs ----------------------------------------------------------------------------------------


@nginx_alone
def test_nothing_of_it_runs_as_root(host: Host) -> None:
    assert set(host.check_output("ps -C nginx -o user=").split()) == {"www-data"}
    said = host.check_output("systemd-analyze security --no-pager nginx.service | tail -n 1")
    assert float(said.split(":")[1].split()[0]) <= 1.5, said


def test_a_killed_proxy_comes_back(host: Host, shop: Site, provider: Provider) -> None:
    host.check_output("kill -9 $(cat %s)", provider.pid_file)
    began = time.monotonic()
    assert testing.poll(lambda: shop.get("/").status == 200, 10, 0.05)
    assert time.monotonic() - began < 2, testing.journal(host, provider.unit)


def test_rotated_logs_are_written_on(host: Host, shop: Site, provider: Provider) -> None:
    host.check_output("logrotate --force /etc/logrotate.d/%s", provider.unit.removesuffix(".service"))
    assert testing.poll(lambda: shop.get("/after-the-rotation").status == 200)
    assert testing.poll(lambda: logged(host, provider)[-1]["uri"] == "/after-the-rotation")


def test_a_large_upload_goes_through_the_disk(shop: Site) -> None:
    assert shop.post("/big", body=b"x" * 2_900_000).json["body_bytes"] == 2_900_000
