"""What stands in front of the proxy, what is chosen for the host as a whole, and a site that comes and goes.

The tests follow each other, for each play takes its time: all at once, then the PROXY protocol, then all as it was.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import testing
import visitor
from pages import reloaded
from providers import NGINX, Provider
from test_front_door import over_http2
from testinfra.host import Host
from testing import on_host
from visitor import Answer, Site

nginx_alone = pytest.mark.provider(NGINX.name)
TOLD = {"X-Forwarded-For": "192.0.2.66, 198.51.100.7", "X-Forwarded-Proto": "https"}
BARE = {
    "name": "bare",
    "domains": ["bare.example.org", "192.0.2.10"],
    "socket": f"{on_host('home', 'blog')}/app.sock",
    "certificate": "/etc/ssl/bare",
}


def play(host: Host, provider: Provider, **variables: Any) -> None:
    """Run a play that changes what is served, and wait until it is."""
    with reloaded(host, provider):
        result = testing.play(host, "converge.yml", **variables)
        assert result.returncode == 0, testing.said(result)


def told(site: Site, hello: bytes, name: str | None, request_for: str) -> str:
    """What a connection is answered that begins with these bytes, then TLS for this name."""
    context = site.context()
    context.check_hostname = name is not None
    with socket.create_connection((site.address, 443), site.timeout) as plain:
        plain.sendall(hello)
        with context.wrap_socket(plain, server_hostname=name) as connection:
            connection.sendall(f"GET /x HTTP/1.1\r\nHost: {request_for}\r\nConnection: close\r\n\r\n".encode())
            return connection.makefile("rb").read().decode()


def passing(answers: list[Answer]) -> list[Answer]:
    """Those of the answers that are the app's."""
    return [answer for answer in answers if answer.status == 200]


@pytest.fixture(scope="module")
def _behind_a_balancer(host: Host, provider: Provider) -> None:
    """Have this machine act as a load balancer; there is one more site, and all that can be had beside that."""
    alone: dict[str, Any] = {
        "proxy_access_log": "journal",
        "proxy_site_template": str(testing.scenario_directory() / "files/site.conf.j2"),
        "proxy_http3": testing.host_name(host).endswith("-trixie"),
    }
    common = {"proxy_trusted_addresses": [f"{testing.own_ip(host)}/32"], "proxy_tls": "modern"}
    if provider is NGINX:
        play(host, provider, **common, **alone, more_sites=[BARE])
    else:
        play(host, provider, **common, more_sites=[BARE | {"domains": BARE["domains"][:1]}])


@pytest.fixture(scope="module")
def _by_the_proxy_protocol(host: Host, provider: Provider, _behind_a_balancer: None) -> None:
    """The same; and the site that was added is not named any more."""
    play(host, provider, proxy_protocol=True, proxy_trusted_addresses=[testing.own_ip(host)])


@pytest.fixture(scope="module")
def as_it_was(host: Host, provider: Provider, _by_the_proxy_protocol: None) -> None:
    """Nobody stands in front, and the site that was added is named as one that is to go."""
    play(host, provider, absent=["bare"])


@pytest.fixture
def bare(host: Host, site: visitor.MakeSite) -> Site:
    """The site that is added and removed."""
    return site("bare.example.org", root=host.check_output("cat /etc/ssl/bare/fullchain.pem"))


def test_nobody_s_word_counts_by_itself(shop: Site) -> None:
    assert shop.get("/", scheme="http", headers=TOLD).status == 301


@pytest.mark.usefixtures("_behind_a_balancer")
class TestBehindABalancer:
    def test_its_word_counts(self, host: Host, shop: Site) -> None:
        answers = testing.poll(lambda: passing([shop.get("/x", scheme="http", headers=TOLD)]))
        assert answers, shop.get("/x", scheme="http", headers=TOLD)
        (answer,) = answers
        seen = dict(answer.json["headers"])
        assert seen["x-forwarded-for"] == seen["x-real-ip"] == "198.51.100.7"
        assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == ("https", "443")
        assert answer.header("Strict-Transport-Security")
        plain = {**TOLD, "X-Forwarded-Proto": "http"}
        assert shop.get("/x", scheme="http", headers=plain).header("Location") == "https://shop.example.org/x"
        # Without these headers, a visitor is known by the address of the connection.
        assert dict(shop.get("/").json["headers"])["x-forwarded-for"] == testing.own_ip(host)

    def test_nobody_else_s_does(self, host: Host) -> None:
        asks = (
            "import http.client as h; c = h.HTTPConnection('127.0.0.1'); "
            "c.request('GET', '/', headers={'Host': 'shop.example.org', 'X-Forwarded-Proto': 'https'}); "
            "print(c.getresponse().status)"
        )
        assert host.check_output("/usr/bin/python3 -c %s", asks) == "301"

    def test_modern_tls_alone(self, shop: Site, tmp_path: Path) -> None:
        context = shop.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection((shop.address, 443), shop.timeout) as plain,
            pytest.raises(ssl.SSLError, match=r"(?i)version"),
        ):
            context.wrap_socket(plain, server_hostname=shop.name)
        assert over_http2(shop, tmp_path, "/").endswith("\n2 200")

    @nginx_alone
    def test_an_address_among_the_names_needs_no_name_in_the_handshake(self, bare: Site, unknown: Site) -> None:
        assert "Location: https://bare.example.org/x" in told(bare, b"", None, "192.0.2.10")
        assert bare.get("/x").status == 200
        with pytest.raises(OSError, match=r"(?i)internal.error"):
            unknown.get("/")

    @nginx_alone
    @pytest.mark.suite("trixie")  # Debian 12's nginx has no HTTP/3
    def test_http3(self, host: Host, shop: Site) -> None:
        assert shop.get("/").header("Alt-Svc") == 'h3=":443"; ma=86400'
        host.check_output(
            "apt-get install --option DPkg::Lock::Timeout=300 --yes --quiet --no-install-recommends curl >/dev/null"
        )
        answer = host.check_output(
            f"curl --silent --show-error --http3-only --cacert {on_host('certificate', 'shop')}/fullchain.pem "
            "--resolve shop.example.org:443:127.0.0.1 --write-out ' %{http_version}' https://shop.example.org/over-3"
        )
        assert '"path": "/over-3"' in answer
        assert answer.endswith(" 3")

    @nginx_alone
    def test_a_template_of_one_s_own_adds_to_the_role_s(self, shop: Site, wiki: Site) -> None:
        robot = {"User-Agent": "BadBot/1.0"}
        assert (shop.get("/", headers=robot).status, wiki.get("/", headers=robot).status) == (403, 200)
        assert shop.get("/").status == 200

    @nginx_alone
    def test_the_log_may_go_to_the_journal(self, host: Host, shop: Site) -> None:
        find = "journalctl --sync; journalctl --identifier=nginx --output=cat --lines=50 | grep /into-the"

        def found() -> str:
            shop.get("/into-the-journal")  # nginx waits for no journal whose queue is full
            return host.check_output(find)

        said = testing.poll(found)
        assert json.loads(said.splitlines()[-1])["uri"] == "/into-the-journal"


HELLO = b"PROXY TCP4 198.51.100.9 192.0.2.1 4711 443\r\n"


@pytest.mark.usefixtures("_by_the_proxy_protocol")
class TestByTheProxyProtocol:
    def test_it_tells_the_visitor(self, host: Host, shop: Site) -> None:
        answer = testing.poll(lambda: told(shop, HELLO, shop.name, shop.name))
        assert '["x-forwarded-for", "198.51.100.9"]' in answer
        with pytest.raises(OSError, match=r"(?i)eof|reset|version"):
            shop.get("/")
        # The host itself looks at its certificates without it.
        own = "openssl s_client -connect 127.0.0.1:443 -servername shop.example.org </dev/null 2>&1 | grep -c BEGIN"
        assert host.run(own).stdout.strip() == "1"

    def test_a_site_that_is_only_left_out_stays(self, bare: Site) -> None:
        answer = testing.poll(lambda: told(bare, HELLO, bare.name, bare.name))
        assert answer.startswith("HTTP/1.1 200 ")


@pytest.mark.usefixtures("as_it_was")
class TestAsItWas:
    def test_a_site_goes_when_it_is_told_to(
        self, host: Host, bare: Site, shop: Site, wiki: Site, provider: Provider
    ) -> None:
        def refused() -> bool:
            try:
                bare.get("/")
            except ssl.SSLError as error:
                return re.search(provider.no_handshake, str(error)) is not None
            return False

        assert testing.poll(refused)
        assert bare.get("/", scheme="http").status == 421
        assert (shop.get("/").status, wiki.get("/").status) == (200, 200)
        assert host.file("/etc/ssl/bare/privkey.pem").exists

    def test_nobody_s_word_counts_any_more(self, shop: Site) -> None:
        assert shop.get("/", scheme="http", headers=TOLD).status == 301
