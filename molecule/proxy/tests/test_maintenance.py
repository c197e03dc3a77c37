"""What visitors get while a site is in maintenance, and how it is turned on and off.

What the playbook refuses before it looks at a host is in tests/unit/test_maintenance.py.
"""

from __future__ import annotations

import html
import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import testing
from pages import reloaded
from providers import NGINX, Provider
from testinfra.host import Host
from testing import on_host
from visitor import Answer, Site

ACME_WEBROOT = on_host("acme_webroot")
MESSAGE = (
    """Back at "noon", it's <script>alert(1)</script> {{ 6 * 7 }} {% raw %} $host ${uri} """
    """\\n &amp; <!--# echo var="uri" -->"""
)
FRIENDLY = "We are working on this site and will be back soon. Thank you for your patience."
ALLOWED = "2001:db8::/32, 127.0.0.1"
CHALLENGE = "/.well-known/acme-challenge"


def switch(host: Host, **variables: Any) -> subprocess.CompletedProcess[str]:
    return testing.play(host, "maintenance.yml", **variables)


def turn(host: Host, state: str, **variables: Any) -> str:
    """Turn the shop's maintenance on or off; return what the play said."""
    result = switch(host, app="shop", state=state, **variables)
    said = testing.said(result)
    assert result.returncode == 0, said[-3000:]
    return said


def assert_closed(answer: Answer, message: str) -> None:
    assert (answer.status, answer.header("Retry-After")) == (503, "300")
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.header("Strict-Transport-Security") == "max-age=31536000"
    assert f"<p>{message}</p>" in html.unescape(answer.text)


@pytest.fixture(scope="class")
def closed(host: Host, provider: Provider) -> Iterator[str]:
    """The shop is in maintenance for all but the host itself; what the play said.

    In the scenarios Ansible stops at a text that only looks like a template; here it does what it does for a user.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("_ANSIBLE_TEMPLAR_UNTRUSTED_TEMPLATE_BEHAVIOR", raising=False)
        with reloaded(host, provider):
            said = turn(host, "on", message=MESSAGE, allow=ALLOWED)
        yield said
    turn(host, "off")


def from_the_host(host: Host, path: str) -> tuple[int, str | None]:
    """The status and the header Retry-After that a visitor from the host itself gets of the shop."""
    asks = (
        "import http.client, json, ssl, socket, sys; c = ssl._create_unverified_context(); n = 'shop.example.org'; "
        "h = http.client.HTTPConnection(n); "
        "h.sock = c.wrap_socket(socket.create_connection(('127.0.0.1', 443)), server_hostname=n); "
        "h.request('GET', sys.argv[1]); r = h.getresponse(); print(json.dumps([r.status, r.getheader('Retry-After')]))"
    )
    status, retry_after = json.loads(host.check_output("/usr/bin/python3 -c %s %s", asks, path))
    return status, retry_after


@pytest.mark.usefixtures("closed")
class TestOn:
    """For a visitor whose address is not allowed, and for one whose address is."""

    @pytest.mark.parametrize(
        "path", ["/", "/basket?item=1", "/static/style.css", "/missing", "/.groundwork/maintenance"]
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
    def test_every_request_gets_the_page(self, shop: Site, method: str, path: str) -> None:
        assert_closed(shop.request(method, path), MESSAGE)

    def test_a_body_of_any_size_gets_it_too(self, shop: Site) -> None:
        assert_closed(shop.post("/", body=b"x" * 3_000_000), MESSAGE)

    def test_a_head_has_no_body(self, shop: Site) -> None:
        answer = shop.request("HEAD", "/")
        assert (answer.status, answer.header("Retry-After"), answer.body) == (503, "300", b"")

    def test_another_name_of_the_site_gets_it_too(self, www: Site) -> None:
        assert_closed(www.get("/"), MESSAGE)

    def test_nothing_of_the_message_is_code(self, shop: Site) -> None:
        page = shop.get("/").text
        assert "<script" not in page
        assert "<!--" not in page

    def test_the_play_says_who_sees_the_app_and_how_it_ends(self, closed: str) -> None:
        assert f"{ALLOWED} still see the app" in closed
        assert "ansible-playbook groundwork.flask.maintenance -e app=shop -e state=off" in closed

    @pytest.mark.parametrize(
        ("path", "expected"), [("/", (200, None)), ("/static/style.css", (200, None)), ("/die", (502, "10"))]
    )
    def test_the_allowed_see_the_app_and_the_proxys_own_errors(
        self, host: Host, path: str, expected: tuple[int, str | None]
    ) -> None:
        assert from_the_host(host, path) == expected

    def test_another_site_is_as_it_was(self, shop: Site, wiki: Site) -> None:
        assert wiki.get("/").status == 200
        assert shop.get("/blog/").status == 200  # another site of the same domain

    def test_http_still_redirects_and_answers_challenges(self, host: Host, shop: Site) -> None:
        answer = shop.get("/basket", scheme="http")
        assert (answer.status, answer.header("Location")) == (301, "https://shop.example.org/basket")
        host.check_output(f"mkdir -p {ACME_WEBROOT}{CHALLENGE} && echo proof >{ACME_WEBROOT}{CHALLENGE}/token")
        answer = shop.get(f"{CHALLENGE}/token", scheme="http")
        assert (answer.status, answer.text) == (200, "proof\n")

    @pytest.mark.full
    def test_it_survives_a_run_of_the_role_that_changes_nothing(self, host: Host, shop: Site) -> None:
        run = testing.play(host)
        assert "changed=0" in testing.said(run), testing.said(run)[-3000:]
        assert run.returncode == 0
        assert_closed(shop.get("/"), MESSAGE)

    def test_it_survives_another_change_of_the_site(self, host: Host, shop: Site, provider: Provider) -> None:
        """The site's file is put back by hand, which takes less than a play."""
        file = f"{provider.directory}/groundwork/sites/shop.conf"
        host.check_output(f"cp -a {file} /root/shop.conf")
        try:
            assert testing.play(host, shop_directives=provider.closed).returncode == 0
            assert host.run(f"cmp {file} /root/shop.conf").rc == 1
            assert_closed(shop.get("/"), MESSAGE)
        finally:
            host.check_output(f"mv /root/shop.conf {file} && systemctl reload {provider.unit}")

    def test_the_same_again_changes_nothing(self, host: Host) -> None:
        """The allowed may be a text or a list."""
        assert "changed=0" in turn(host, "on", message=MESSAGE, allow=ALLOWED.split(", "))


def test_off_opens_it_again(host: Host, shop: Site) -> None:
    """The class above has ended with it."""
    assert testing.poll(lambda: shop.get("/").status == 200)
    assert testing.poll(lambda: from_the_host(host, "/")[0] == 200)


def test_a_boolean_state_is_taken_and_a_request_under_way_is_finished(
    host: Host, shop: Site, provider: Provider
) -> None:
    """The blog shares a domain with the shop, which stays open. Without a message the page is friendly."""
    answers: list[Any] = []

    def ask_slowly() -> None:
        try:
            answers.append(shop.post("/blog/x", body=iter_slowly()).status)
        except OSError as error:
            answers.append(error)

    started, go_on = threading.Event(), threading.Event()

    def iter_slowly() -> Iterator[bytes]:
        for turn_of in range(600):
            started.set()
            yield b"x"
            if go_on.wait(0.5) and turn_of:
                return

    asking = threading.Thread(target=ask_slowly)
    asking.start()
    try:
        assert started.wait(60)
        with reloaded(host, provider):
            on = switch(host, app="blog", state=True)
            assert on.returncode == 0, testing.said(on)[-3000:]
        assert "nobody sees the app" in testing.said(on)
        assert testing.poll(lambda: shop.get("/blog/").status == 503)
        assert_closed(shop.get("/blog/"), FRIENDLY)
        assert shop.get("/").status == 200
        assert answers == [], "the request ended before it could be cut off"
    finally:
        go_on.set()
        asking.join()
        off = switch(host, app="blog", state=False)
    assert off.returncode == 0
    assert answers == [200]
    assert testing.poll(lambda: shop.get("/blog/").status == 200)


nginx_alone = pytest.mark.provider(NGINX.name)  # the playbook asks no provider; once is enough

REFUSED: list[Any] = [
    (
        {"app": "other", "state": "on"},
        "serves no site of an app other. It serves: blog, shop, tenants, wiki. Nothing was done.",
    ),
    pytest.param({"state": "on"}, "Name the app, as in -e app=shop", marks=pytest.mark.full),
    pytest.param({"app": "shop"}, "Say -e state=on or -e state=off. Nothing was done.", marks=pytest.mark.full),
    pytest.param(
        {"app": "shop", "state": "on", "allow": "203.0.113.7, 203.0.113.300"},
        "allow: '203.0.113.300' does not appear to be",
        marks=pytest.mark.full,
    ),
]


@nginx_alone
@pytest.mark.parametrize(("variables", "sentence"), REFUSED)
def test_bad_input_is_refused_before_anything_changes(
    host: Host, shop: Site, variables: dict[str, Any], sentence: str
) -> None:
    result = switch(host, **variables)
    assert result.returncode != 0
    assert sentence in testing.said(result), testing.said(result)[-3000:]
    assert "changed=0" in testing.said(result)
    assert shop.get("/").status == 200


@nginx_alone
def test_a_message_that_lost_its_words_is_refused(host: Host, shop: Site) -> None:
    result = testing.play(host, "maintenance.yml", "--extra-vars", "message=Back at noon.", app="shop", state="on")
    assert result.returncode != 0
    assert """-e 'message="Back at noon."'""" in testing.said(result)
    assert shop.get("/").status == 200
