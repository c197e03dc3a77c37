"""A site that has a journal is logged there, a site without one in the proxy's file, also where they share a domain."""

from __future__ import annotations

import json
import uuid
from typing import Any

import testing
from pages import assert_own_page, logged, stopped
from providers import Provider
from testinfra.host import Host
from testing import on_host
from visitor import Site

BLOG_SOCKET = f"{on_host('home', 'blog')}/app.sock"


RUN = uuid.uuid4().hex  # a kept host has the lines of earlier runs


def number(name: str) -> dict[str, str]:
    return {"X-Request-ID": f"{name}-{RUN}"}


def in_journal(host: Host, provider: Provider, name: str) -> list[dict[str, Any]]:
    """The requests of a number in the blog's journal, of the lines that are the proxy's own."""
    ours = f"_SYSTEMD_UNIT={provider.unit} _UID={host.check_output('id -u www-data')}"
    shown = host.run(f"journalctl --namespace=blog --quiet --output=cat --lines=100 {ours}").stdout
    wanted = number(name)["X-Request-ID"]
    return [json.loads(line) for line in shown.splitlines() if line.startswith("{") and wanted in line]


def in_file(host: Host, provider: Provider, name: str) -> list[dict[str, Any]]:
    return logged(host, provider, number(name)["X-Request-ID"])


def test_sites_of_one_domain_have_their_own_lines(host: Host, shop: Site, www: Site, provider: Provider) -> None:
    """However the request is answered: by the app, by a redirect, by the proxy's own page."""
    assert shop.get("/blog/x", headers=number("of-the-blog")).status == 200
    assert www.get("/blog/x", headers=number("of-the-blog")).status == 301
    assert shop.get("/blog/x", scheme="http", headers=number("of-the-blog")).status == 301
    with stopped(host, BLOG_SOCKET):
        answer = shop.get("/blog/x", headers=number("of-the-blog"))
    status = provider.status("stopped", 502)
    assert_own_page(provider, answer.text, status)
    assert f"<code>{number('of-the-blog')['X-Request-ID']}</code>" in answer.text
    assert testing.poll(lambda: len(in_journal(host, provider, "of-the-blog")) == 4)
    lines = in_journal(host, provider, "of-the-blog")
    assert sorted(line["status"] for line in lines) == ["200", "301", "301", str(status)]
    assert {line["app"] for line in lines} == {"blog"}
    assert shop.get("/blogs", headers=number("of-the-shop")).status == 200
    assert testing.poll(lambda: in_file(host, provider, "of-the-shop"))
    assert {line["app"] for line in in_file(host, provider, "of-the-shop")} == {"shop"}
    assert in_file(host, provider, "of-the-blog") == in_journal(host, provider, "of-the-shop") == []


def test_a_journal_that_is_away_is_in_nobodys_way(host: Host, shop: Site, provider: Provider) -> None:
    """Visitors are answered as ever, and what comes after it is back is logged again, without a reload."""
    host.check_output("systemctl stop systemd-journald@blog.service systemd-journald@blog.socket")
    try:
        assert [shop.get("/blog/x").status for _visit in range(3)] == [200] * 3
    finally:
        host.check_output("systemctl start systemd-journald@blog.socket")

    def is_logged() -> bool:
        assert shop.get("/blog/x", headers=number("back-again")).status == 200
        return bool(in_journal(host, provider, "back-again"))

    assert testing.poll(is_logged)
