"""What a visitor gets from the proxy."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import testing
from pages import assert_own_page, logged, stopped
from providers import Provider
from testinfra.host import Host
from testing import on_host
from visitor import Site

ACME_WEBROOT = on_host("acme_webroot")
CHALLENGE = "/.well-known/acme-challenge"
WIKI_SOCKET = f"{on_host('home', 'wiki')}/other.sock"


@contextmanager
def raw(site: Site) -> Iterator[ssl.SSLSocket]:
    """A connection on which the test itself speaks HTTP/1.1."""
    plain = socket.create_connection((site.address, 443), site.timeout)
    with site.context().wrap_socket(plain, server_hostname=site.name) as connection:
        yield connection


def handshake(address: str, context: ssl.SSLContext, name: str | None) -> None:
    """Begin TLS with this name, as a visitor who verifies nothing."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.wrap_socket(socket.create_connection((address, 443), 30), server_hostname=name).close()


# --- the way to the site ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("host")  # what the fixtures taken by name need
@pytest.mark.parametrize("site_name", ["shop", "www"])
def test_http_goes_to_https_in_one_hop(request: pytest.FixtureRequest, site_name: str) -> None:
    answer = request.getfixturevalue(site_name).get("/basket?item=1", scheme="http")
    assert (answer.status, answer.header("Location")) == (301, "https://shop.example.org/basket?item=1")


def test_another_name_goes_to_the_canonical_one(www: Site) -> None:
    answer = www.get("/basket?item=1")
    assert (answer.status, answer.header("Location")) == (301, "https://shop.example.org/basket?item=1")


def over_http2(site: Site, directory: Path, path: str, *options: str) -> str:
    """What curl gets: the body, then a line with the protocol's version and the status."""
    trusted = directory / "trusted.pem"
    trusted.write_text(site.root or "")
    return subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--noproxy", "*", "--http2", "--cacert", str(trusted)),
            *("--resolve", f"{site.name}:443:{site.address}", "--write-out", "\n%{http_version} %{http_code}"),
            *(*options, f"https://{site.name}{path}"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def test_http2_answers(shop: Site, wiki: Site, provider: Provider, tmp_path: Path) -> None:
    answer = over_http2(shop, tmp_path, "/over-http2")
    assert answer.endswith("\n2 200")
    assert '"path": "/over-http2"' in answer
    # curl 7.88 loses one in ten answers whose stream is reset behind it, as Apache does to a body it will not read.
    again = ("--retry", "30", "--retry-delay", "1", "--retry-all-errors")
    refused = over_http2(wiki, tmp_path, "/", "--data", "x" * 20_000, *again)
    assert refused.endswith("\n2 413")
    assert_own_page(provider, refused, 413)


@pytest.mark.suite("trixie")
def test_the_key_exchange_is_post_quantum_where_openssl_can(host: Host) -> None:
    """From OpenSSL 3.5 on, which Debian 13 has and Debian 12 has not."""
    said = host.check_output(
        "openssl s_client -brief -connect 127.0.0.1:443 -servername shop.example.org -CAfile %s 2>&1 </dev/null",
        f"{on_host('certificate', 'shop')}/fullchain.pem",
    )
    assert "X25519MLKEM768" in said


def test_ipv6_answers_too(host: Host) -> None:
    if not host.file("/proc/net/if_inet6").exists:
        pytest.skip("this machine has no IPv6")
    for port in (80, 443):
        assert host.socket(f"tcp://:::{port}").is_listening


# --- what the app sees ------------------------------------------------------------------------------------------------


def test_the_app_sees_the_visitor_and_the_name(host: Host, shop: Site) -> None:
    seen = dict(shop.get("/where?x=%2F..%2F").json["headers"])
    assert seen["host"] == seen["x-forwarded-host"] == "shop.example.org"
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-for"] == testing.own_ip(host)


FORGED = {
    "X-Forwarded-For": "192.0.2.66, 192.0.2.67",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": "evil.example.org",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Ssl": "evil",
    "X-Forwarded-Protocol": "evil",
    "X-Forwarded-Scheme": "evil",
    "X-Forwarded-Server": "evil",
    "X-Real-IP": "192.0.2.66",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Script-Name": "/evil",
    "X-Scheme": "evil",
    "Forwarded": "for=192.0.2.66",
    "Proxy": "http://evil.example.org",
    "X_Forwarded_For": "192.0.2.66",
    "X-Forwarded_Proto": "gopher",
    "x_request-id": "666",
    "PATH_INFO": "/evil",
    "SCRIPT_NAME": "/evil",
}


def test_forged_headers_do_not_reach_the_app(shop: Site, provider: Provider) -> None:
    seen = shop.get("/", headers=FORGED).json["headers"]
    numbers = [value for name, value in seen if name == "x-request-id"]  # the proxy's own, which may be any letters
    assert len(numbers) == 1
    assert re.fullmatch(provider.request_id, numbers[0])
    others = [pair for pair in seen if pair[0] != "x-request-id"]
    assert not [pair for pair in others if re.search(r"evil|gopher|\b666\b|192\.0\.2", pair[1])]
    assert sorted(name for name, _value in seen if "forwarded" in name) == [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
    ]


@pytest.mark.parametrize(
    ("upgrade", "passed", "connection"), [("websocket", "websocket", "upgrade"), ("h2c", None, "close")]
)
def test_of_the_upgrades_websocket_alone_reaches_the_app(
    shop: Site, upgrade: str, passed: str | None, connection: str
) -> None:
    seen = dict(shop.get("/", headers={"Upgrade": upgrade, "Connection": "Upgrade"}).json["headers"])
    assert (seen.get("upgrade"), seen["connection"].lower()) == (passed, connection)


def test_a_body_reaches_the_app(shop: Site) -> None:
    assert shop.post("/", body=b"x" * 900_000).json["body_bytes"] == 900_000


def test_large_headers_of_the_app_pass(shop: Site) -> None:
    assert shop.get("/long").status == 200


def test_a_websocket_talks_both_ways(shop: Site) -> None:
    with raw(shop) as connection, connection.makefile("rb") as answer:
        connection.sendall(
            b"GET /echo HTTP/1.1\r\nHost: shop.example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        assert answer.readline().startswith(b"HTTP/1.1 101 ")
        while answer.readline() != b"\r\n":
            pass
        for said in (b"hello", b"are you there?"):
            connection.sendall(said)
            assert answer.read(len(said)) == said


def test_a_slow_upload_does_not_hold_the_app(host: Host, wiki: Site) -> None:
    under_way = f"grep -c ' 03 .* {WIKI_SOCKET}$' /proc/net/unix"
    assert testing.poll(lambda: host.run(under_way).stdout.strip() == "0")  # the app may be at an earlier request still
    with raw(wiki) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: wiki.example.org\r\nContent-Length: 9000\r\n\r\n" + b"x" * 4500)
        assert host.run(under_way).stdout.strip() == "0"
        connection.sendall(b"x" * 4500)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_chunks_reach_the_app_with_their_length(shop: Site) -> None:
    seen = shop.post("/", body=[b"x" * 50_000, b"y" * 50_000]).json
    assert seen["body_bytes"] == 100_000
    assert "transfer-encoding" not in dict(seen["headers"])


def test_a_request_whose_server_died_is_tried_on_a_fresh_one(shop: Site, provider: Provider) -> None:
    each_once = [502, 502, 502, 200]
    gets = [shop.get("/fourth-try").status for _turn in range(1 if provider.repeats else 4)]
    assert gets == ([200] if provider.repeats else each_once)
    assert [shop.post("/fourth-try").status for _turn in range(4)] == each_once  # each may have been done already


# --- static files -----------------------------------------------------------------------------------------------------


def test_static_files_come_from_the_disk(host: Host, shop: Site) -> None:
    with stopped(host, on_host("socket", "shop")):
        answer = shop.get("/static/style.css")
    assert (answer.status, answer.text) == (200, "body { color: teal; }\n")
    assert answer.header("Content-Type") == "text/css; charset=utf-8"
    assert answer.header("Vary") in (None, "Accept-Encoding")  # for caches: all other visitors get the same
    assert answer.header("Cache-Control") == "public, max-age=3600"
    assert shop.get("/static/style.css", headers={"If-None-Match": answer.header("ETag")}).status == 304


@pytest.mark.parametrize(
    "path",
    [
        "missing.css",
        ".hidden",
        "%2ehidden",
        "../static/.hidden",
        "..%2f..%2fapp.sock",
        "../../../../../etc/passwd",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "..;/..;/etc/passwd",
        "style.css%00.html",
    ],
)
def test_nothing_else_comes_from_the_disk(shop: Site, path: str) -> None:
    answer = shop.get(f"/static/{path}")
    assert answer.status in (400, 404), answer
    assert "root:" not in answer.text
    assert "not for visitors" not in answer.text


def test_a_prefix_without_its_slash_does_not_leave_the_directory(shop: Site) -> None:
    assert shop.get("/static../app.sock").json["path"] == "/static../app.sock"  # the app's answer, not the disk's


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unknown.example.org", "", "127.0.0.1"])
def test_an_unknown_host_is_refused_on_http(shop: Site, name: str) -> None:
    answer = shop.get("/", scheme="http", headers={"Host": name})
    assert answer.status in (400, 421)
    assert answer.header("Location") is None


def test_an_unknown_host_is_refused_inside_tls(shop: Site) -> None:
    assert shop.get("/", headers={"Host": "unknown.example.org"}).status == 421


@pytest.mark.parametrize("name", ["unknown.example.org", None])
def test_an_unknown_name_gets_no_handshake(host_ip: str, provider: Provider, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match=provider.no_handshake):
        handshake(host_ip, ssl.create_default_context(), name)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_tls_is_refused(host_ip: str) -> None:
    context = ssl.create_default_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        handshake(host_ip, context, "shop.example.org")


@pytest.mark.parametrize("site_name", ["shop", "www", "wiki", "unknown"])
def test_acme_challenges_are_answered_under_every_name(
    request: pytest.FixtureRequest, host: Host, site_name: str
) -> None:
    host.check_output(f"mkdir -p {ACME_WEBROOT}{CHALLENGE}")
    host.check_output(f"echo token.key >{ACME_WEBROOT}{CHALLENGE}/token")
    site = request.getfixturevalue(site_name)
    answer = site.get(f"{CHALLENGE}/token", scheme="http")
    assert (answer.status, answer.text) == (200, "token.key\n")
    assert site.get(f"{CHALLENGE}/none", scheme="http").status == 404


def test_trace_is_refused(shop: Site) -> None:
    assert shop.request("TRACE", "/").status == 405


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/missing", "/static/style.css", "/static/none", "/die"])
def test_every_https_answer_has_the_headers_once(shop: Site, path: str) -> None:
    answer = shop.get(path)
    assert answer.header("Strict-Transport-Security") == "max-age=31536000"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("X-Frame-Options") == "SAMEORIGIN"
    assert answer.header("Referrer-Policy") == "strict-origin-when-cross-origin"


def test_the_apps_own_headers_go_out_as_they_are(shop: Site) -> None:
    answer = shop.get("/own-headers")
    assert answer.header("Strict-Transport-Security") == "max-age=1"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("X-Frame-Options") == "DENY"
    assert answer.header("Referrer-Policy") == "no-referrer"
    assert answer.header("Retry-After") == "77"
    assert shop.get("/frames").header("X-Frame-Options") is None


def test_a_site_has_its_own_options(shop: Site, wiki: Site) -> None:
    answer = wiki.get("/")
    assert answer.header("Strict-Transport-Security") == "max-age=63072000; includeSubDomains"
    assert answer.header("X-Site") == "wiki"
    assert shop.get("/").header("X-Site") is None


@pytest.mark.parametrize("path", ["/", f"{CHALLENGE}/none"])
def test_hsts_never_goes_over_http(shop: Site, path: str) -> None:
    assert shop.get(path, scheme="http").header("Strict-Transport-Security") is None


def test_no_version_is_told(shop: Site, unknown: Site, provider: Provider) -> None:
    for answer in (shop.get("/", scheme="http"), unknown.get("/", scheme="http"), shop.get("/own-headers")):
        assert answer.header("Server") == provider.server
        assert answer.header("X-Powered-By") is None
        assert not re.search(rf"{provider.server}/|\d+\.\d+\.\d+", answer.text)


def test_text_is_compressed_when_that_is_worth_it(shop: Site) -> None:
    asked = {"Accept-Encoding": "gzip"}
    assert shop.get("/static/style.css", headers=asked).header("Content-Encoding") is None
    assert shop.get("/long", headers=asked).header("Content-Encoding") == "gzip"


def test_the_log_is_json_whatever_a_visitor_sends(host: Host, shop: Site, provider: Provider) -> None:
    said = """a "browser" of caf\xe9s\\"""
    number = uuid.uuid4().hex
    headers = {"User-Agent": said, "Referer": "\xe9", "X-Request-ID": number}
    assert shop.get("/x?q=%22%e9", headers=headers).status == 200
    (line,) = testing.poll(lambda: logged(host, provider, number))
    assert (line["uri"], line["status"], line["host"]) == ("/x?q=%22%e9", "200", "shop.example.org")
    assert line["user_agent"].startswith("a")
