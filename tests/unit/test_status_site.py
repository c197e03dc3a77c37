# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the status page: what ``watch_page`` may say, and how either proxy serves it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.site_problems import site_problems
from ansible_collections.groundwork.flask.plugins.filter.status_site import status_site
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.proxy_templates import lines, render, resolved, variable

HASH = "$6$salt$hash"
PAGE = {"domain": "status.example.org", "users": {"ada": HASH}}
APPS = {
    "shop": {
        "source": {"directory": "/srv/source"},
        "wsgi_app": "shop:app",
        "domains": ["shop.example.org", "*.shops.example.org"],
        "certificate": {"provider": "self_signed"},
    }
}


def nginx(**keys: Any) -> list[str]:
    """The lines of its site."""
    return lines(render("nginx/site.conf.j2", resolved(*status_site(PAGE | keys, "proxy", APPS))[0]))


def apache(**keys: Any) -> list[str]:
    """The same for Apache."""
    given = resolved(*status_site(PAGE | keys, "proxy", APPS))
    return lines(render("apache/site.conf.j2", given[0], __proxy_sites=given))


def test_there_is_none_by_default() -> None:
    """It is off until somebody names a domain and a user."""
    assert status_site({}, "proxy", APPS) == []
    assert status_site(None, "certificate", APPS) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"domain": "status.example.org"}, "watch_page.users: nobody could read the page"),
        ({"domain": "status.example.org", "users": {}}, "watch_page.users: nobody could read the page"),
        ({"users": {"ada": HASH}}, "watch_page.domain: None is not a domain"),
        (PAGE | {"domain": "*.example.org"}, "is not a domain"),
        (PAGE | {"domain": "status.example.org; }"}, "is not a domain"),
        (PAGE | {"domain": "shop.example.org"}, "shop.example.org is a domain of the app shop"),
        (PAGE | {"domain": "a.shops.example.org"}, "a.shops.example.org is a domain of the app shop"),
        (PAGE | {"users": {"a:da": HASH}}, "has no colon"),
        (PAGE | {"user": {"ada": HASH}}, "watch_page.user is not an option: it has domain, users"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    """Before the host is changed: the check of the sites reads it. Till then there is no site."""
    assert any(message in one for one in status_site(given, "problems", APPS))
    assert status_site(given, "proxy", APPS) == []
    assert any(message in one for one in variable("__proxy_problems", watch_page=given, flask_apps=APPS))


def test_a_password_in_place_of_its_hash_is_refused_and_not_shown() -> None:
    """The message is on screens and in logs."""
    (message,) = status_site(PAGE | {"users": {"ada": "canary-password"}}, "problems", APPS)
    assert message.startswith("watch_page.users.ada is not the hash")
    assert "canary" not in message


def test_the_proxy_takes_it() -> None:
    """By either provider."""
    given = status_site(PAGE | {"allow": ["192.0.2.0/24"]}, "proxy", APPS)
    for provider in ("nginx", "apache"):
        assert site_problems(given, provider) == []


def test_its_certificate_is_one_like_any_other() -> None:
    """From the CA unless said otherwise."""
    assert status_site(PAGE, "certificate") == [
        {"provider": "acme", "name": "groundwork-status", "domains": ["status.example.org"]}
    ]
    own = status_site(PAGE | {"certificate": {"provider": "self_signed"}}, "certificate")
    assert own[0]["provider"] == "self_signed"


def test_nginx_serves_one_page_and_nothing_else() -> None:
    """It asks for a password first, keeps nothing, and forwards to nobody."""
    found = nginx(allow=["192.0.2.0/24"])
    page = found[found.index("location = / {") :]
    page = page[: page.index("}")]
    for line in (
        *('auth_basic "groundwork-status";', "allow 192.0.2.0/24;", "deny all;", "ssi on;", "charset utf-8;"),
        *("add_header Cache-Control no-store always;", "include groundwork/headers.conf;"),
        *(f"root {on_host('status')};", "try_files /index.html =503;"),
    ):
        assert line in page, line
    assert found[found.index("location / {") :].index("return 404;") < 10
    assert not any(line.startswith(("proxy_pass", "upstream ")) for line in found)
    assert sum("X-Robots-Tag" in line for line in page) == 1
    assert any('"noindex, nofollow";' in line for line in found)


def test_apache_serves_one_page_and_nothing_else() -> None:
    """The same."""
    found = apache(allow=["192.0.2.0/24"])
    for line in (
        *(f'RewriteRule "^/$" "{on_host("status")}/index.html" [END]', "Require valid-user"),
        *("Require ip 192.0.2.0/24", "SetOutputFilter INCLUDES", "Header always set Cache-Control no-store"),
    ):
        assert line in found, line
    assert not any(line.startswith(("ProxyPass", "Alias", "LuaInput")) for line in found)


def test_a_site_with_a_page_has_no_app() -> None:
    """What would be of one is refused."""
    given = {"name": "a", "domains": ["a.example.org"], "page": "/srv/a/a.html", "socket": "/run/a.sock"}
    assert any("is for a site with an app" in one for one in site_problems([given]))


def test_a_site_that_is_no_longer_wanted_leaves() -> None:
    """Only where the host has it: a host that never had a page is asked for nothing."""
    served = [{"name": "shop"}, {"name": on_host("status_site")}]
    assert variable("proxy_absent", host_sites=served) == [on_host("status_site")]
    assert variable("proxy_absent", host_sites=served[:1]) == []
    assert variable("proxy_absent", host_sites=served, watch_page=PAGE) == []
