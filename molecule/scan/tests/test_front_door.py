"""The front door: thirty requests that a site must answer, or refuse, as it should."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
import testing
from testinfra.host import Host
from testing import on_host
from visitor import Site
from wire import exchange, status

REFUSED = (0, 400, 421)  # 0: closed without an answer


class TestNames:
    """Each name leads to its site, and no other name to any."""

    @pytest.mark.parametrize("prefix", ["", "www."])
    def test_http_leads_to_the_canonical_name_at_once(
        self, site: Callable[..., Site], guestbook: Site, prefix: str
    ) -> None:
        answer = site(prefix + guestbook.name).get("/a?b=c", scheme="http")
        assert (answer.status, answer.header("Location")) == (301, f"https://{guestbook.name}/a?b=c")

    def test_an_acme_challenge_is_looked_for_and_not_redirected(self, guestbook: Site) -> None:
        assert guestbook.get("/.well-known/acme-challenge/none", scheme="http").status == 404

    def test_an_unknown_host_over_http_is_refused(self, guestbook: Site) -> None:
        assert status(exchange(guestbook, b"GET / HTTP/1.1\r\nHost: stranger.test\r\n\r\n", 80)) in REFUSED

    def test_an_unknown_host_inside_tls_is_refused(self, guestbook: Site) -> None:
        assert status(exchange(guestbook, b"GET / HTTP/1.1\r\nHost: stranger.test\r\n\r\n")) in REFUSED

    def test_an_unknown_name_in_the_handshake_is_refused(self, site: Callable[..., Site]) -> None:
        with pytest.raises(OSError, match=r"(?i)unrecognized.name|handshake"):
            site("stranger.test", verify=False).get("/")


class TestForgery:
    """What the app is told about its visitor comes from the proxy alone."""

    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "evil.test"),
            ("X_Forwarded_For", "6.6.6.6"),
            ("SCRIPT_NAME", "/evil"),
        ],
    )
    def test_a_header_cannot_be_forged(self, host: Host, witness: Site, header: str, value: str) -> None:
        seen = witness.get("/page", headers={header: value}).json
        assert seen["remote_addr"] == testing.own_ip(host)
        assert (seen["url"], seen["script_name"]) == (f"https://{witness.name}/page", "")
        assert not [name for name, text in seen["headers"].items() if "6.6.6.6" in text or "evil" in text]


class TestFiles:
    """Only what stands below static is served, and of that nothing hidden."""

    @pytest.mark.parametrize(
        "path",
        [
            "/static/../../env",
            "/static../env",
            "/static/..%2f..%2fenv",
            "/static/%2e%2e/%2e%2e/env",
            "/static/..%5c..%5cenv",
            "/static//../..//code/requirements.txt",
            "/../../../../../../etc/passwd",
            "/.git/config",
            "/static/.hidden",
        ],
    )
    def test_nothing_else_is_served(self, host: Host, guestbook: Site, path: str) -> None:
        hidden = f"{on_host('current', 'guestbook')}/public/static/.hidden"
        host.check_output(f"echo SECRET_KEY > {hidden}")
        try:
            answer = guestbook.get(path)
        finally:
            host.check_output(f"rm {hidden}")
        assert answer.status in (400, 403, 404)
        assert not [word for word in ("SECRET_KEY", "flask==", "root:") if word in answer.text]


class TestRequests:
    """Requests that no browser sends."""

    def test_trace_is_refused(self, guestbook: Site) -> None:
        assert guestbook.request("TRACE", "/").status == 405

    def test_a_header_of_100_kb_is_refused(self, guestbook: Site) -> None:
        data = f"GET / HTTP/1.1\r\nHost: {guestbook.name}\r\nX-Long: {'x' * 100_000}\r\n\r\n".encode()
        assert status(exchange(guestbook, data)) in (0, 400, 431)

    def test_a_body_of_1_gb_is_refused_before_it_is_sent(self, guestbook: Site) -> None:
        data = f"POST / HTTP/1.1\r\nHost: {guestbook.name}\r\nContent-Length: {1 << 30}\r\n\r\n".encode()
        assert status(exchange(guestbook, data)) == 413

    def test_a_line_break_does_not_get_into_a_redirect(self, guestbook: Site) -> None:
        answer = guestbook.get("/%0d%0aInjected:%20yes?%0d%0aInjected:%20yes", scheme="http")
        assert answer.status in (301, 400, 404)
        assert answer.header("Injected") is None

    def test_http2_without_tls_is_not_spoken(self, guestbook: Site) -> None:
        upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        data = f"GET / HTTP/1.1\r\nHost: {guestbook.name}\r\n{upgrade}".encode()
        assert status(exchange(guestbook, data, 80)) == 301
        assert status(exchange(guestbook, data)) == 200
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
        assert b"\x00\x04\x00" not in exchange(guestbook, preface, 80)[:9]


class TestAnswers:
    """What every answer has, and what none has."""

    def test_http2_is_offered(self, guestbook: Site) -> None:
        context = guestbook.context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection((guestbook.address, 443), guestbook.timeout) as plain,
            context.wrap_socket(plain, server_hostname=guestbook.name) as secured,
        ):
            assert secured.selected_alpn_protocol() == "h2"

    def test_no_version_is_told(self, guestbook: Site) -> None:
        for path in ("/", "/nowhere", "/static/none.css", "/%00"):
            answer = guestbook.get(path)
            told = f"{answer.all('Server')} {answer.all('X-Powered-By')}"
            assert not any(letter.isdigit() for letter in told), told
            assert "nginx/" not in answer.text

    def test_the_server_behind_is_not_told(self, guestbook: Site) -> None:
        for path in ("/", "/nowhere", "/static/none.css", "/%00"):
            answer = guestbook.get(path)
            assert "gunicorn" not in f"{answer.headers} {answer.text}".lower()

    def test_errors_have_hsts_too(self, guestbook: Site) -> None:
        for path, expected in (("/nowhere", 404), ("/static/none.css", 404), ("/%00", 400)):
            answer = guestbook.get(path)
            assert answer.status == expected
            assert "max-age=" in (answer.header("Strict-Transport-Security") or ""), path

    def test_http_has_no_hsts(self, guestbook: Site) -> None:
        assert guestbook.get("/", scheme="http").header("Strict-Transport-Security") is None
