"""A release that is broken never goes live, and the live one does not notice it."""

from __future__ import annotations

import pytest
import testing
from testinfra.host import Host
from testing import Site


def processes(host: Host) -> str:
    """The live instance's main process and how often it was started again."""
    unit = f"shop@{testing.live(host, 'shop')}.service"
    return str(host.check_output("systemctl show --property=MainPID,NRestarts %s", unit))


def refused(host: Host, shop: Site, version: str, words: list[str]) -> None:
    live, before = testing.live(host, "shop"), processes(host)
    result = testing.play(host, "deploy.yml", app="shop", version=version)
    said = testing.said(result)
    assert result.returncode != 0, said
    assert [word for word in words if word not in said] == [], said
    assert testing.live(host, "shop") == live
    assert processes(host) == before
    assert testing.leftovers(host, "shop") == []
    assert shop.get("/").json["release"] == live


@pytest.mark.suite("bookworm")
@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("import", ["cannot be imported as shop:app", "RuntimeError: broken on purpose"]),
        ("syntax", ["cannot be imported as shop:app", "SyntaxError"]),
        ("dependency", ["No module named 'a_package_that_requirements_forgot'"]),
        ("command-fails", ["`flask release-check`", "exit status 1", "failed on purpose"]),
        # release_command_timeout is 6 in this scenario.
        ("command-hangs", ["`flask release-check`", "6 s", "hanging on purpose"]),
    ],
)
def test_what_breaks_before_the_start_is_refused(host: Host, shop: Site, version: str, words: list[str]) -> None:
    refused(host, shop, version, words)


@pytest.mark.suite("trixie")
@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("unhealthy", ["/healthz", "status 500", "RuntimeError: unhealthy on purpose"]),
        ("silent", ["/healthz", "silent on purpose"]),
        ("dies", ["dying on purpose"]),
        ("exits", ["leaving on purpose"]),
        # LimitAS is 2G in this scenario.
        ("memory", ["MemoryError"]),
    ],
)
def test_what_breaks_when_started_is_refused(host: Host, shop: Site, version: str, words: list[str]) -> None:
    refused(host, shop, version, words)
