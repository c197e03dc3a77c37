"""The sites of a proxy: what is refused, and what the others come to."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils import site_options, site_plan, sites

CURRENT = on_host("current", "shop")
DATA = on_host("data", "shop")
SHOP: dict[str, Any] = {"name": "shop", "domains": ["shop.example.org", "www.shop.example.org"]}
HASH = "$6$salt$hash"


def problems(*given: dict[str, Any]) -> list[str]:
    return sites.load(list(given))[1]


def resolved(*given: dict[str, Any]) -> list[dict[str, Any]]:
    found, wrong = sites.load(list(given))
    assert wrong == []
    return site_plan.resolve(found)


def place(path: str, *given: dict[str, Any], **options: Any) -> dict[str, Any]:
    """What holds for a path of the shop."""
    (shop, *_others) = resolved(SHOP | options, *given)
    (found,) = (place for place in shop["locations"] if place["path"] == path)
    return dict(found)


REFUSALS = [
    ({"domains": []}, "proxy_sites.shop.domains: the first is the canonical one: write it, without *"),
    ({"domains": ["*.example.org"]}, "proxy_sites.shop.domains: the first is the canonical one: write it, without *"),
    ({"domains": ["Shop.example.org"]}, "proxy_sites.shop.domains: 'Shop.example.org' is not a domain"),
    ({"domains": ["a.example.org; }"]}, "proxy_sites.shop.domains: 'a.example.org; }' is not a domain"),
    ({"domains": ["a.example.org", "a.example.org"]}, "proxy_sites.shop.domains: 'a.example.org' stands twice"),
    ({"name": "../shop"}, "proxy_sites.../shop.name: '../shop' is not a name"),
    ({"socket": "app.sock"}, "proxy_sites.shop.socket: 'app.sock' is not an absolute path"),
    ({"certificate": "/etc/$x"}, "proxy_sites.shop.certificate: '/etc/$x' is not an absolute path"),
    ({"prefix": "shop"}, "proxy_sites.shop.prefix: 'shop' is not a path: begin it with /, as /shop"),
    ({"buffer": True}, "proxy_sites.shop.buffer is not an option: did you mean buffering?"),
    ({"static": {"/static": "/srv"}}, "proxy_sites.shop.static./static: '/static' is not a URL prefix"),
    ({"static": {"/static/": "srv"}}, "proxy_sites.shop.static./static/: 'srv' is not an absolute path"),
    ({"static": {"/static/": "/srv/../etc"}}, "proxy_sites.shop.static./static/: '/srv/../etc' is not an absolute"),
    (
        {"static": {"/static/": {"directory": "/srv", "expires": "soon"}}},
        "proxy_sites.shop.static./static/.expires: 'soon' is not a time: write it as 10m or 1h, in nginx's notation",
    ),
    ({"paths": {"admin": {}}}, "proxy_sites.shop.paths.admin: 'admin' is not a path of the site"),
    ({"paths": {"/": {}}}, "proxy_sites.shop.paths./: '/' is not a path of the site"),
    ({"paths": {"/a b": {}}}, "proxy_sites.shop.paths./a b: '/a b' is not a path of the site"),
    ({"paths": {"/a": {"statics": 1}}}, "proxy_sites.shop.paths./a.statics is not an option"),
    ({"client_max_body_size": "1 GB"}, "proxy_sites.shop.client_max_body_size: '1 GB' is not a size"),
    ({"read_timeout": 0}, "proxy_sites.shop.read_timeout: 0 is out of range: take 1 to 86400"),
    ({"auth_basic": ["ada"]}, "proxy_sites.shop.auth_basic: ['ada'] is not a map of users and hashes"),
    ({"auth_basic": {"a:b": HASH}}, "proxy_sites.shop.auth_basic.a:b: a user's name has no colon"),
    (
        {"auth_basic": {"ada": "lovelace"}},
        "proxy_sites.shop.auth_basic.ada is not the hash of a password: write what `openssl passwd -6` prints",
    ),
    ({"auth_basic": {"ada": "{SHA256}x"}}, "proxy_sites.shop.auth_basic.ada is not the hash of a password"),
    ({"allow": ["192.0.2.1/24"]}, "proxy_sites.shop.allow: '192.0.2.1/24' is no address and no network"),
    ({"limit_req": "fast"}, "proxy_sites.shop.limit_req.rate: 'fast' is not a rate: write 10r/s, 30r/m or none"),
    ({"limit_req": {"rate": "1r/s", "burst": -1}}, "proxy_sites.shop.limit_req.burst: -1 is out of range"),
    ({"limit_req": {"rate": "1r/s", "path": "/"}}, "proxy_sites.shop.limit_req.path is not an option"),
    ({"limit_conn": "many"}, "proxy_sites.shop.limit_conn: 'many' is not a whole number"),
    ({"cache": True}, "proxy_sites.shop.cache: True is not a time"),
    (
        {"cache_ignore_cookies": True},
        "proxy_sites.shop.cache_ignore_cookies: True keeps nothing by itself: write it beside the `cache` it is for",
    ),
    (
        {"cache": "1m", "paths": {"/a": {"cache": 0, "cache_ignore_cookies": True}}},
        "proxy_sites.shop.paths./a.cache_ignore_cookies: True keeps nothing by itself",
    ),
    ({"cache": "1m", "cache_ignore_cookies": "some"}, "proxy_sites.shop.cache_ignore_cookies: 'some' is not"),
    ({"headers": {"X Y": "z"}}, "proxy_sites.shop.headers.X Y: 'X Y' is not a header's name"),
    ({"headers": {"X-Y": "a\nb"}}, "proxy_sites.shop.headers.X-Y: 'a\\nb' is not one line of ASCII text without $"),
    ({"headers": {"X-Y": "$host"}}, "proxy_sites.shop.headers.X-Y: '$host' is not one line of ASCII text without $"),
    ({"headers": {"set-cookie": "a=b"}}, "proxy_sites.shop.headers.set-cookie: 'a=b' cannot be set here: let the app"),
]


@pytest.mark.parametrize(("options", "problem"), REFUSALS)
def test_what_is_refused(options: dict[str, Any], problem: str) -> None:
    (found,) = problems(SHOP | options)
    assert found.startswith(problem)
    assert "lovelace" not in found


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"name": "wiki"}, "proxy_sites.wiki.domains: 'shop.example.org' stands in proxy_sites.shop.domains too"),
        (
            {"name": "wiki", "prefix": "/wiki", "domains": ["shop.example.org"]},
            "proxy_sites.wiki.domains: 'shop.example.org' stands in proxy_sites.shop.domains too: keep it in one "
            "place, or have both share all domains, in the same order, under different prefixes (prefix)",
        ),
        ({"domains": ["other.example.org"]}, "proxy_sites.shop: two sites have this name"),
    ],
)
def test_two_sites_that_cannot_both_be(other: dict[str, Any], problem: str) -> None:
    (found,) = problems(SHOP, SHOP | other)
    assert found.startswith(problem)


def test_sites_that_share_a_domain() -> None:
    blog, shop, wiki = resolved(
        {**SHOP, "name": "blog", "prefix": "/blog/"}, SHOP, {**SHOP, "name": "wiki", "prefix": "/blog/wiki"}
    )
    assert [(one["owner"], one["owned"]) for one in (blog, shop, wiki)] == [
        ("shop", False),
        ("shop", True),
        ("shop", False),
    ]
    assert {one["certificate"] for one in (blog, shop, wiki)} == {on_host("certificate", "shop")}
    assert (shop["others"], blog["others"], wiki["others"]) == (["/blog", "/blog/wiki"], ["/blog/wiki"], [])
    assert [place["path"] for place in blog["locations"]] == ["/blog"]
    first, second = resolved({**SHOP, "name": "a", "prefix": "/a"}, {**SHOP, "name": "b", "prefix": "/b"})
    assert (first["owned"], second["owner"]) == (True, "a")


def test_names_that_are_served_and_names_that_lead_to_them() -> None:
    (one,) = resolved({"name": "t", "domains": ["t.example.org", "old.example.org", "*.t.example.org", "2001:db8::1"]})
    assert one["served"] == ["t.example.org", "*.t.example.org"]
    assert one["redirected"] == ["old.example.org", "2001:db8::1"]
    assert one["addresses"] == ["2001:db8::1"]
    (bare,) = resolved({"name": "t", "domains": ["2001:db8::1"]})
    assert bare["canonical"] == "[2001:db8::1]"


def test_a_path_has_what_is_around_it_unless_it_says_otherwise() -> None:
    options: dict[str, Any] = {
        "allow": ["192.0.2.1"],
        "limit_req": "10r/s",
        "headers": {"X-A": "site"},
        "directives": "# of the site",
        "paths": {
            "/admin/deep": {"read_timeout": 600, "headers": {"X-B": "deep", "Referrer-Policy": ""}},
            "/admin": {
                "auth_basic": {"ada": HASH},
                "directives": "# of /admin",
                "limit_req": {"rate": "5r/m", "burst": 1},
            },
            "/administration": {},
            "/open": {"allow": [], "limit_req": "none"},
        },
    }
    deep = place("/admin/deep", **options)
    assert (deep["allow"], deep["passwords"], deep["read_timeout"]) == (["192.0.2.1"], 1, 600)
    assert deep["limit_req"] == place("/admin", **options)["limit_req"] == {"number": 2, "burst": 1}
    assert deep["directives"] == ""
    names = [header["name"] for header in deep["headers"]]
    assert {"X-A", "X-B", "X-Frame-Options"} <= set(names)
    assert "Referrer-Policy" not in names
    assert place("/admin", **options)["directives"] == "# of /admin"
    beside = place("/administration", **options)
    assert (beside["passwords"], beside["limit_req"]) == (0, place("", **options)["limit_req"])
    opened = place("/open", **options)
    assert (opened["allow"], opened["limit_req"]) == ([], {})


def test_files_are_guarded_like_the_paths_they_lie_in() -> None:
    options: dict[str, Any] = {
        "limit_req": "1r/s",
        "static": {"/admin/static/": "/srv/a/", "/static/": "/srv/b"},
        "paths": {"/admin": {"auth_basic": {"ada": HASH}}, "/static/private": {"allow": ["192.0.2.1"]}},
    }
    below_admin = place("/admin/static", **options)
    assert (below_admin["directory"], below_admin["passwords"], below_admin["limit_req"]) == ("/srv/a", 1, {})
    private = place("/static/private", **options)
    assert (private["directory"], private["allow"], private["exact"]) == ("/srv/b/private", ["192.0.2.1"], True)
    assert not place("/static", **options)["exact"]


@pytest.mark.parametrize(
    ("directory", "links_end", "without_links"),
    [
        (f"{CURRENT}/public/static", CURRENT, f"{CURRENT}/public/static"),
        (f"{DATA}/uploads/public", DATA, f"{on_host('runtime')}/data/shop/uploads/public"),
        ("/var/www/shop/static", "/var/www/shop/static", "/var/www/shop/static"),
        (CURRENT, CURRENT, CURRENT),
        ("/data/srv/shop/current/static", "/data/srv/shop/current/static", "/data/srv/shop/current/static"),
    ],
)
def test_links_are_followed_only_where_root_alone_makes_them(
    directory: str, links_end: str, without_links: str
) -> None:
    found = place("/files", static={"/files/": directory})
    assert (found["directory"], found["links_end"]) == (directory, links_end)
    assert found["without_links"]["directory"] == without_links
    assert without_links.startswith(found["without_links"]["links_end"])
    deeper = place("/files/a/.b", static={"/files/": directory}, paths={"/files/a/.b": {"allow": ["192.0.2.1"]}})
    assert (deeper["directory"], deeper["links_end"], deeper["hidden"]) == (f"{directory}/a/.b", links_end, True)
    assert not found["hidden"]


GUARD = {"allow": ["192.0.2.1"]}


@pytest.mark.parametrize(
    ("options", "refuses"),
    [
        ({}, False),
        (GUARD | {"limit_req": "1r/s", "limit_conn": 2, "auth_basic": {"ada": HASH}}, False),
        (GUARD | {"paths": {"/a": {"read_timeout": 9, "headers": {"X-A": "b"}, "access_log": False}}}, False),
        ({"directives": "# of the site", "paths": {"/a": {"client_max_body_size": "9m"}}}, False),
        ({"static": {"/static/": "/srv/a"}}, False),
        ({"cache": "1m"}, True),
        ({"paths": {"/a": {"cache": "1m"}}}, True),
        ({"paths": {"/a": GUARD}}, True),
        (GUARD | {"paths": {"/open": {"allow": []}}}, True),
        ({"paths": {"/a": {"auth_basic": {"ada": HASH}}}}, True),
        ({"limit_req": "9r/s", "paths": {"/a": {"limit_req": "none"}}}, True),
        ({"paths": {"/a": {"limit_conn": 1}}}, True),
        ({"paths": {"/a": {"directives": "deny all;"}}}, True),
    ],
)
def test_where_a_path_with_two_readings_is_refused(options: dict[str, Any], refuses: bool) -> None:
    (shop,) = resolved(SHOP | options)
    assert shop["refuse_ambiguous"] is refuses


def test_frame_options_give_way_to_the_policy_that_says_the_same() -> None:
    policy = {"Content-Security-Policy": "frame-ancestors https://a.example.org"}
    assert "X-Frame-Options" not in [header["name"] for header in place("", headers=policy)["headers"]]


def test_a_default_header_is_replaced_however_it_is_spelled() -> None:
    (shop,) = resolved(SHOP | {"headers": {"strict-transport-security": "max-age=1"}})
    values = [header["value"] for header in shop["headers"] if header["name"].lower() == "strict-transport-security"]
    assert values == ["max-age=1"]


def test_how_long_browsers_keep_files() -> None:
    (shop,) = resolved(
        SHOP
        | {
            "prefix": "/shop",
            "static": {
                "/s/": "/srv/s",
                "/s/each-time/": {"directory": "/srv/e", "expires": 0},
                "/assets/": {"directory": "/srv/a", "immutable": True},
                "/media/": {"directory": "/srv/m", "expires": "30d"},
            },
        }
    )
    assert [(entry["prefix"], entry["value"]) for entry in shop["cache_control"]] == [
        ("/shop/s/each-time/", "no-cache"),
        ("/shop/assets/", "public, max-age=31536000, immutable"),
        ("/shop/media/", "public, max-age=2592000"),
        ("/shop/s/", "public, max-age=3600"),
    ]


def test_of_the_log_only_what_differs_from_what_is_around_it() -> None:
    (shop,) = resolved(
        SHOP
        | {"paths": {"/a": {"log_query": False}, "/a/b": {"log_query": True}, "/a/c": {}, "/d": {"access_log": False}}}
    )
    assert shop["log"] == {
        "log_query": [{"path": "/a/b", "logged": True}, {"path": "/a", "logged": False}],
        "access_log": [{"path": "/d", "logged": False}],
    }


def test_what_a_provider_lacks_is_refused_by_name() -> None:
    given = [SHOP | {"cache": "1m", "paths": {"/a": {"limit_req": "1r/s"}}}]
    assert [text.partition(" is not")[0] for text in sites.lacking(given, "apache", ["cache", "limit_req"])] == [
        "proxy_sites.shop.cache",
        "proxy_sites.shop.paths./a.limit_req",
    ]
    assert list(sites.lacking(given, "nginx", [])) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prefix": "/shop", "client_max_body_size": "20M", "directives": "# of the site", "log_query": False},
        {"cache": "10m", "cache_ignore_cookies": True, "paths": {"/a": {"cache": 0, "cache_ignore_cookies": False}}},
        {"static": {"/s/": "/srv/s", "/t/": {"directory": "/srv/t/", "expires": "1d", "immutable": True}}},
        {"headers": {"X-A": "b", "Referrer-Policy": ""}, "paths": {"/a": {"headers": {"X-A": "c", "X-D": "e"}}}},
        {
            "limit_req": "10r/s",
            "limit_conn": 4,
            "allow": ["192.0.2.1"],
            "auth_basic": {"ada": HASH},
            "paths": {
                "/a": {"limit_req": {"rate": "5r/m", "burst": 1}, "allow": [], "directives": "# of /a"},
                "/a/b": {"limit_req": "none", "limit_conn": 0, "auth_basic": {}, "buffering": False},
                "/a/b/c": {"limit_req": "10r/s", "read_timeout": 600, "access_log": False},
                "/a/d": {},
            },
        },
    ],
)
def test_what_is_written_of_a_site_is_read_as_the_same_site(options: dict[str, Any]) -> None:
    ((one,), wrong) = sites.load([SHOP | options])
    assert wrong == []
    ((again,), wrong) = sites.load([SHOP | site_options.written(one.site)])
    assert wrong == []
    assert again.site == one.site
