"""Where the lines about a site go, on either proxy."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import SHOP, lines, render, resolved

SOCKET = "syslog:server=unix:/run/systemd/journal.{}/dev-log,tag=nginx,nohostname"
FILE = "/var/log/nginx/access.log"
BLOG = SHOP | {"name": "blog", "prefix": "/blog", "journal": "posts"}


def starting(text: str, *words: str) -> list[str]:
    return [line for line in lines(text) if line.startswith(words)]


@pytest.mark.parametrize(
    ("journal", "where", "place"),
    [
        ("shop", "apps", f"access_log {SOCKET.format('shop')} groundwork if=$groundwork_logged_for_shop;"),
        ("", "apps", f"access_log {FILE} groundwork if=$groundwork_logged_for_shop;"),
        ("shop", "file", None),  # as the host's
        ("shop", "journal", None),
    ],
)
def test_nginx_logs_a_site_where_it_says(journal: str, where: str, place: str | None) -> None:
    (shop,) = resolved(SHOP | {"journal": journal})
    text = render("nginx/log.app.j2", shop, proxy_access_log=where)
    assert starting(text, "access_log") == ([place] if place else [])
    assert "set $groundwork_app shop;" in lines(text), "the app's name is in the line wherever it goes"
    site = render("nginx/site.conf.j2", shop, proxy_access_log=where)
    ours = bool(journal) and where == "apps"
    assert set(starting(site, "error_log")) == ({f"error_log {SOCKET.format('shop')};"} if ours else set())
    assert set(starting(site, "access_log")) == (
        {f"access_log {FILE} groundwork if=$groundwork_logged_for_none;"} if where == "apps" else set()
    )
    # Before whatever answers; a page of the proxy's changes the path.
    assert site.count("include groundwork/log/shop/*.conf;") == 2
    assert site.index("include groundwork/log/shop/*.conf;") < site.index("if ($groundwork_insecure)")


def test_nginx_knows_the_rest_of_a_domain() -> None:
    main = render("nginx/nginx.conf.j2")
    assert starting(main, "access_log") == [f"access_log {FILE} groundwork if=$groundwork_logged;"]
    journal = render("nginx/nginx.conf.j2", proxy_access_log="journal")
    assert starting(journal, "access_log")[0].startswith("access_log syslog:server=unix:/dev/log,tag=nginx,nohostname ")


def test_nginx_tells_errors_of_sites_of_a_domain_apart() -> None:
    shop, blog = resolved(
        SHOP | {"paths": {"/reset": {"log_query": False}}}, BLOG | {"paths": {"/x": {"log_query": False}}}
    )
    at_home = starting(render("nginx/site.conf.j2", shop), "error_log")
    assert set(at_home) == {
        f"error_log {SOCKET.format('shop')};",
        f"error_log {SOCKET.format('shop')} alert;  # lesser messages name the query",
    }
    below = starting(render("nginx/shared-locations.conf.j2", blog), "error_log")
    assert set(below) == {
        f"error_log {SOCKET.format('posts')};",
        f"error_log {SOCKET.format('posts')} alert;  # lesser messages name the query",
    }


@pytest.mark.parametrize(
    ("journal", "where", "kept"), [("shop", "apps", True), ("", "apps", False), ("shop", "file", False)]
)
def test_apache_logs_a_site_where_it_says(journal: str, where: str, kept: bool) -> None:
    given: list[dict[str, Any]] = resolved(SHOP | {"journal": journal})
    site = render("apache/site.conf.j2", given[0], __proxy_sites=given, proxy_access_log=where)
    assert ("E=GROUNDWORK_JOURNAL:shop" in site) == kept
    assert "E=GROUNDWORK_SITE:shop" in site
    assert bool(starting(site, "ErrorLog")) == kept
    assert site.index("GROUNDWORK_SITE:shop") < site.index("R=301"), "a redirect is the app's too"


def test_apaches_program_writes_as_the_account_that_may() -> None:
    (blog,) = resolved(SHOP | {"journal": "posts"})
    (line,) = starting(render("apache/journal.conf.j2", blog), "CustomLog")
    assert "|/usr/bin/setpriv --reuid=www-data --regid=www-data --clear-groups /usr/bin/logger" in line
    assert (
        "--socket /run/systemd/journal.posts/dev-log --socket-errors=off --tag apache2 --priority local7.info" in line
    )


@pytest.mark.parametrize("journal", ["../shop", "shop;", "a b", "Shop"])
def test_a_journal_is_a_name(journal: str) -> None:
    with pytest.raises(AssertionError, match="write the name of a journal namespace"):
        resolved(SHOP | {"journal": journal})


def test_no_limit_that_systemd_does_not_hand_on() -> None:
    """An interval of 0 is not exported to the journal's daemons, whose own limit would hold (252 and 257)."""
    given = lines(render("log.service.conf.j2"))
    assert {"LogRateLimitIntervalSec=1s", "LogRateLimitBurst=1000000"} <= set(given)
