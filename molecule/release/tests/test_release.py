"""Releases from a repository: what goes live, what does not, and what is left behind."""

from __future__ import annotations

import re
from typing import Any

import pytest
import testing
from stranger import App
from testinfra.host import Host
from testing import on_host

CURRENT = on_host("current", "shop")
DATA = on_host("data", "shop")


@pytest.fixture(scope="module")
def shop(host: Host) -> App:
    """The app that converge.yml has deployed."""
    app = App(host, "shop", release_command="flask migrate", proxy={"static": {"/static/": "static"}})
    app.secrets = {"TOKEN": "canary-0815"}
    app.settings = {"keep": 3}
    return app


def test_the_first_release(shop: App) -> None:
    assert shop.ask().json == {"version": "v1", "release": shop.live, "scheme": "https"}
    facts = shop.facts()
    assert facts["commit"] == shop.sh("git -C /usr/local/share/shop.git rev-parse v1")
    assert any(name.startswith("flask==") for name in facts["packages"])
    assert shop.sh(f"cat {CURRENT}/public/static/shop.css") == "body {}"
    assert shop.sh(f"cat {DATA}/migrations") == shop.live
    # Compiled once, by the build: the app cannot, and would do it anew at each start.
    assert shop.sh(f"ls {CURRENT}/code/__pycache__/ | grep -c '^shop.*pyc$'") == "1"
    assert int(shop.sh(f"find {CURRENT}/venv/ -name '*.pyc' | wc -l")) > 100
    assert shop.deploy()["action"] == "unchanged"


def test_a_refusal_of_a_play_says_why_and_no_secret(shop: App) -> None:
    before = shop.live
    result = testing.play(shop.host, version="import")
    said = testing.said(result)
    assert result.returncode != 0, said
    assert re.search(r"shop, number \w{12}, step import: the app cannot be imported as shop:app", said)
    assert "RuntimeError: broken on purpose" in said
    assert "What was live before serves on" in said
    assert "canary-0815" not in said
    found = shop.look()
    assert (found["live"], found["instances"]) == (before, [before])
    assert shop.ask().json["version"] == "v1"


@pytest.mark.parametrize(
    ("version", "options", "reason"),
    [
        ("nowhere", {}, "step fetch: file:///usr/local/share/shop.git has no branch or tag 'nowhere'"),
        ("package", {}, "no-such-package-at-all was not found in the package registry"),
        ("exits", {}, "the app cannot be imported as shop:app"),
        ("v2", {"release_command": "echo no room; exit 3"}, "the release command `echo no room; exit 3` failed with"),
        (
            "unhealthy",
            {"health_timeout": 15},
            "/ was not answered well within 15 s (health_path, health_timeout): status 500",
        ),
    ],
    ids=["nowhere", "package", "exits", "command", "unhealthy"],
)
def test_what_is_broken_never_goes_live(shop: App, version: str, options: dict[str, Any], reason: str) -> None:
    broken = App(shop.host, "shop", **{**shop.options, **options})
    broken.secrets = shop.secrets
    broken.options["source"] = {**shop.options["source"], "version": version}
    assert "canary-0815" not in broken.refused(reason)
    assert shop.ask().json["version"] == "v1"


def test_a_dry_run_says_what_would_happen(shop: App) -> None:
    before = shop.live
    for version, action in ("v2", "to deploy"), ("v1", "unchanged"):
        shop.options["source"]["version"] = version
        result = shop.module(check=True)
        assert (result["changed"], result["apps"]["shop"]["action"]) == (action == "to deploy", action)
    assert shop.live == before


def test_a_commit_can_be_named(shop: App) -> None:
    shop.options["source"]["version"] = shop.sh("git -C /usr/local/share/shop.git rev-parse v1")
    assert shop.deploy()["action"] == "unchanged"


def test_a_new_version_and_back(shop: App) -> None:
    first = shop.live
    for version in ("v2", "v1"):
        shop.options["source"]["version"] = version
        done = shop.deploy()
        found = shop.look()
        assert (done["action"], done["release"]) == ("deployed", found["live"])
        assert shop.ask().json["version"] == version
        assert found["instances"] == [found["live"]]
        assert len(found["releases"]) <= 3
    assert shop.live == first
    events = [event["event"] for event in shop.events()]
    assert events[:3] == ["begin", "switch", "live"]
    assert events[-1] == "live"


def test_an_app_is_taken_off(shop: App) -> None:
    result = testing.play(shop.host, gone=["shop"])
    assert result.returncode == 0, testing.said(result)
    assert shop.host.run(f"ls {on_host('home', 'shop')}").rc != 0
    assert shop.look()["instances"] == []
    assert shop.host.run(f"ls {DATA}/migrations {on_host('configuration')}/secrets/shop/SECRET_KEY").rc == 0
    assert testing.module(shop.host, "release", absent=["shop"])["changed"] is False
