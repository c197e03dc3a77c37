"""The filters as a play sees them: each by its name, what it returns, and its one error for what it cannot take."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host

PLUGINS = Path(__file__).parents[2] / "plugins/filter"
NAMES = sorted(path.stem for path in PLUGINS.glob("*.py"))
APPS = {
    "shop": {"source": {"git": "x", "version": "v1"}, "wsgi_app": "shop:app", "domains": ["shop.example.org"]},
    "blog": {"source": {"git": "y", "version": "v2"}, "wsgi_app": "blog:app", "domains": ["blog.example.org"]},
}
SITE = {"name": "shop", "domains": ["shop.example.org"]}
FACTS = {
    "distribution": "Debian",
    "distribution_version": "13.1",
    "python": {"version": {"major": 3, "minor": 13, "micro": 5}},
}
SHARED = [
    {"name": "shop", "release_command": "flask db upgrade", "environment": {"DATABASE_URL": "postgresql://db/shop"}}
]


def named(name: str) -> Callable[..., Any]:
    """Look a filter up as Ansible does."""
    plugin = importlib.import_module(f"ansible_collections.groundwork.flask.plugins.filter.{name}")
    found: Callable[..., Any] = plugin.FilterModule().filters()[name]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_file_offers_the_filter_of_its_name_and_documents_it(name: str) -> None:
    plugin = importlib.import_module(f"ansible_collections.groundwork.flask.plugins.filter.{name}")
    assert list(plugin.FilterModule().filters()) == [name]
    assert f"\nname: {name}\n" in plugin.DOCUMENTATION


def test_app_problems() -> None:
    app_problems = named("app_problems")
    assert app_problems(APPS, {"shop": {"TOKEN": "x"}}, FACTS) == []
    assert app_problems(None) == []
    (problem,) = app_problems({"shop": {**APPS["shop"], "wsgi_ap": "shop:app"}})
    assert problem == "flask_apps.shop.wsgi_ap is not an option: did you mean wsgi_app?"
    assert "flask_app_secrets.wiki is not an option" in app_problems(APPS, {"wiki": {}})[0]
    (old,) = app_problems(APPS, None, {**FACTS, "distribution": "Gentoo"})
    assert "Gentoo" in old


def test_app_problems_with_names_that_are_taken_on_the_host() -> None:
    taken = {"shop": ["the account shop (uid 1000, home /home/shop, shell /bin/bash)", "the unit"]}
    (problem,) = named("app_problems")(APPS, None, FACTS, None, taken)
    assert problem.startswith("flask_apps.shop: this name is taken on the host by the account shop (uid 1000, ")
    assert "the unit, which was not made for this app: choose another name" in problem


@pytest.mark.parametrize("facts", [{"distribution": "Debian"}, {**FACTS, "python": None}, ["Debian"], "Debian", 7])
def test_app_problems_needs_facts_that_were_gathered(facts: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"^app_problems: facts must hold distribution, .*: gather them first"):
        named("app_problems")(APPS, None, facts)


def test_apps_for() -> None:
    apps_for = named("apps_for")
    assert [site["name"] for site in apps_for(APPS, "proxy")] == ["shop", "blog"]
    assert [account["name"] for account in apps_for(APPS, "service_user", "blog")] == ["blog"]
    assert [app["name"] for app in apps_for(APPS, "release", ["blog"])] == ["blog"]
    assert [app["name"] for app in apps_for(APPS, "release", " blog , shop,")] == ["shop", "blog"]
    assert apps_for(APPS, "release", "shop", "v9")[0]["source"]["version"] == "v9"
    assert "git" in apps_for(APPS, "packages")
    assert apps_for(None, "proxy") == apps_for({}, "proxy", None) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((7, "proxy"), "flask_apps: 7 is not a map: write each app as `name:` with its options below it"),
        ((APPS, "firewall"), "apps_for: there is no role 'firewall' that takes apps; known: "),
        ((APPS, ["proxy"]), r"apps_for: there is no role \['proxy'\] that takes apps; known: "),
        ((APPS, "proxy", "wiki"), "app: 'wiki' is not in flask_apps: known are shop, blog"),
        ((APPS, "proxy", 7), "apps_for: only: 7 is not a list"),
        ((APPS, "proxy", {"shop": 1}), r"apps_for: only: \{'shop': 1\} is not a list"),
        ((APPS, "proxy", "shop", 1.10), "version: 1.1 is not a text: write it exactly and in quotes"),
    ],
)
def test_apps_for_refuses(arguments: tuple[Any, ...], error: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"^{error}"):
        named("apps_for")(*arguments)


def test_apps_for_tells_all_problems_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        named("apps_for")({"shop": {**APPS["shop"], "domains": 7}, "blog": {}}, "proxy")
    lines = str(raised.value).splitlines()
    assert any(line.startswith("flask_apps.shop.domains") for line in lines)
    assert any(line.startswith("flask_apps.blog.source") for line in lines)


def test_release_once() -> None:
    release_once = named("release_once")
    assert release_once(SHARED) == ["shop"]
    secret = {"shop": {"DATABASE_URL": "postgresql://db/shop"}}
    assert release_once([{"name": "shop", "release_command": "flask db upgrade"}], secret) == ["shop"]
    assert release_once([{"name": "shop", "setup_command": "flask create-admin"}], secret) == ["shop"]
    assert release_once([{"name": "shop", "release_command": "flask db upgrade"}]) == []
    assert release_once(None) == release_once([], None) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("shop",), "release_once: apps: 'shop' is not a list"),
        (({"shop": {}},), r"release_once: apps: \{'shop': \{\}\} is not a list"),
        ((["shop"],), "release_once: apps: 'shop' is not a map"),
        ((SHARED, ["shop"]), r"release_once: secrets: \['shop'\] is not a map"),
    ],
)
def test_release_once_refuses(arguments: tuple[Any, ...], error: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"^{error}$"):
        named("release_once")(*arguments)


def test_shared_apps() -> None:
    shared_apps = named("shared_apps")
    hosts = {"a": {"flask_apps": APPS}, "b": {"flask_apps": {"shop": {}}}, "c": {}, "d": {"flask_apps": "refused"}}
    assert shared_apps(["a", "b", "c", "d"], hosts) == ["shop"]
    assert shared_apps(["a", "c", "not in the inventory"], hosts) == []
    assert shared_apps(None, hosts) == []


def test_sites() -> None:
    sites = named("sites")
    (site,) = sites([SITE])
    assert (site["name"], site["socket"]) == ("shop", on_host("socket", "shop"))
    assert sites(None) == sites([]) == []


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("shop", "sites: 'shop' is not a list"),
        ({"shop": {}}, r"sites: \{'shop': \{\}\} is not a list"),
        (7, "sites: 7 is not a list"),
        (["shop"], "proxy_sites.0: 'shop' is not a map: write its options below it"),
        ([{**SITE, "paths": ["/a"]}], r"proxy_sites.shop.paths: \['/a'\] is not a map: write `paths: "),
    ],
)
def test_sites_refuses(given: Any, error: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"^{error}"):
        named("sites")(given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("shop", "proxy_sites: 'shop' is not a list: write each site as `- name: NAME` with its options"),
        ({"shop": {}}, "proxy_sites: {'shop': {}} is not a list: write each site as `- name: NAME` with its options"),
        (["shop"], "proxy_sites.0: 'shop' is not a map: write its options below it, one `key: value` a line"),
        (
            [{**SITE, "paths": ["/a"]}],
            "proxy_sites.shop.paths: ['/a'] is not a map: write `paths: {/admin: {allow: [192.0.2.1]}}`",
        ),
        (
            [{**SITE, "domains": "shop.example.org"}],
            "proxy_sites.shop.domains: 'shop.example.org' is not a list: write `domains: [first, second]`",
        ),
    ],
)
def test_site_problems_are_sentences_whatever_was_written(given: Any, problem: str) -> None:
    assert named("site_problems")(given, "apache", ["cache", "address"])[0] == problem


def test_site_problems_of_a_provider_stand_beside_the_others() -> None:
    site_problems = named("site_problems")
    assert site_problems([{**SITE, "paths": {"/a": None, "/b": {"cache": "1m"}}}], "nginx", []) == []
    found = site_problems(
        [{**SITE, "colour": "red", "paths": {"/a": None, "/b": {"cache": "1m"}}}], "apache", ["cache"]
    )
    assert found[0].startswith("proxy_sites.shop.colour is not an option")
    assert found[1].startswith("proxy_sites.shop.paths./b.cache is not to be had with apache")
    assert site_problems(None) == []


def test_site_problems_refuses_a_provider_s_record_of_another_type() -> None:
    with pytest.raises(AnsibleFilterError, match=r"^site_problems: lacks: 7 is not a list$"):
        named("site_problems")([SITE], "apache", 7)


def test_summary() -> None:
    summary = named("summary")
    assert summary(APPS)[:2] == ["shop: https://shop.example.org/", "blog: https://blog.example.org/"]
    assert summary(APPS, {}, {}, {}, "blog")[0] == summary(APPS, only=["blog"])[0] == "blog: https://blog.example.org/"
    assert summary(None) == summary({}, None, None, None, None) == []


def test_summary_of_some_apps_knows_the_others_of_flask_apps() -> None:
    found = named("summary")(APPS, {"others": ["blog", "stranger"]}, only="shop")
    assert [line for line in found if "not in flask_apps" in line] == [
        "WARNING stranger: is on this host but not in flask_apps. It was left alone. To take it off: "
        "ansible-playbook groundwork.flask.remove -e app=stranger"
    ]


@pytest.mark.parametrize("part", ["release", "certificate", "backup"])
@pytest.mark.parametrize("value", ["text", 7, ["shop"]])
def test_summary_refuses_what_no_role_has_registered(part: str, value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"^summary: {part}: .* is not a map$"):
        named("summary")(APPS, **{part: value})


def test_summary_refuses_apps_and_names_of_other_types() -> None:
    with pytest.raises(AnsibleFilterError, match=r"^flask_apps: 'shop' is not a map"):
        named("summary")("shop")
    with pytest.raises(AnsibleFilterError, match=r"^summary: only: 7 is not a list$"):
        named("summary")(APPS, only=7)
