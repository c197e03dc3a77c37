"""The pages that the proxy shows for its own errors, and the app's errors that pass."""

from __future__ import annotations

import re
from typing import Any

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


@pytest.mark.parametrize(
    ("path", "status", "retry_after"),
    [
        ("/bad", 400, None),
        ("/forbidden", 403, None),
        ("/static/none", 404, None),
        ("/busy", 429, "10"),
        ("/broken", 500, None),
        ("/die", 502, "10"),
        ("/down", 503, "10"),
        ("/slow", 504, "10"),
    ],
)
def test_the_proxys_own_errors_have_a_page(
    host: Host, wiki: Site, provider: Provider, path: str, status: int, retry_after: str | None
) -> None:
    status = provider.status(path, status)
    answer = wiki.get(path)
    assert (answer.status, answer.header("Retry-After")) == (status, retry_after)
    assert_own_page(provider, answer.text, status)
    assert answer.header("Strict-Transport-Security")
    number = re.search(f"<code>({provider.request_id})</code>", answer.text)
    assert number
    wanted = number.group(1)
    assert testing.poll(lambda: logged(host, provider, wanted))


@pytest.mark.parametrize("body", [b"x" * 20_000, [b"x" * 20_000]], ids=["with its length", "in chunks"])
def test_too_large_a_body_gets_a_page(wiki: Site, provider: Provider, body: Any) -> None:
    answer = wiki.post("/", body=body)
    assert answer.status == 413
    assert_own_page(provider, answer.text, 413)


def test_too_large_a_header_gets_a_page(shop: Site, provider: Provider) -> None:
    answer = shop.get("/", headers={"X-Bomb": "x" * 100_000})
    assert answer.status == 400
    assert_own_page(provider, answer.text, 400)


def test_a_stopped_app_is_a_502_with_a_page(host: Host, wiki: Site, provider: Provider) -> None:
    status = provider.status("stopped", 502)
    with stopped(host, WIKI_SOCKET):
        answer = wiki.get("/")
    assert (answer.status, answer.header("Retry-After")) == (status, "10")
    assert_own_page(provider, answer.text, status)


def test_a_site_of_which_no_release_is_live_is_503_until_one_is(host: Host, shop: Site, provider: Provider) -> None:
    """With the page that a refused first release has left, else with that of the proxy; no reload is needed."""
    current, page = on_host("current", "shop"), on_host("undeployed", "shop")
    host.check_output(f"mv -T {current} {current}.aside")
    try:
        answers = [
            shop.get("/static/style.css"),
            shop.post("/", body=b"x" * 20_000),
            shop.get("/.groundwork/undeployed/shop"),
        ]
        for answer in answers:
            assert (answer.status, answer.header("Retry-After")) == (503, "60")
            assert answer.header("Content-Type") == "text/html; charset=utf-8"
            assert_own_page(provider, answer.text, 503)
        host.check_output(f"echo '<p>3f9c01d2ab44</p>' >{page} && chmod 644 {page}")
        answer = shop.get("/?x=1")
        assert (answer.status, answer.header("Retry-After"), answer.text) == (503, "60", "<p>3f9c01d2ab44</p>\n")
        assert str(answer.header("Content-Type")).startswith("text/html")
        assert answer.header("Strict-Transport-Security")
        assert shop.get("/blog/").status == 200, "another site of this domain"
        assert shop.get(f"{CHALLENGE}/none").status == 404
    finally:
        host.check_output(f"mv -T {current}.aside {current} && rm -f {page}")
    assert shop.get("/").status == 200
    assert shop.get("/.groundwork/undeployed/shop").status == 404


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/error", 500), ("/own-headers", 503)])
def test_the_apps_own_errors_pass(shop: Site, path: str, status: int) -> None:
    answer = shop.get(path)
    assert (answer.status, answer.text) == (status, f"the app's own {status}")


def test_the_pages_cannot_be_asked_for(shop: Site, provider: Provider) -> None:
    answer = shop.get("/.groundwork/502.html")
    assert answer.status == 404
    assert_own_page(provider, answer.text, 404)
