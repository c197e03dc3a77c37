"""A release that is broken never goes live, and the live one does not notice it.

In the default suite, test_load.py has one refused that is not healthy, under load; the others are in the scenario
`release`.
"""

from __future__ import annotations

import pytest
import testing
from testinfra.host import Host
from visitor import Site


def processes(host: Host) -> str:
    """The live instance's main process and how often it was started again."""
    unit = testing.server_unit(host, "shop")
    return str(host.check_output("systemctl show --property=MainPID,NRestarts %s", unit))


@pytest.mark.full
@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("import", ["cannot be imported as shop:app", "RuntimeError: broken on purpose"]),
        ("syntax", ["cannot be imported as shop:app", "SyntaxError"]),
        ("dependency", ["No module named 'a_package_that_requirements_forgot'"]),
        ("command-fails", ["`flask release-check`", "exit status 1", "failed on purpose"]),
        ("command-hangs", ["`flask release-check`", "20 s", "hanging on purpose"]),
        # From here on the app is imported without an error, and breaks when it is started.
        ("unhealthy", ["/healthz", "status 500", "RuntimeError: unhealthy on purpose"]),
        ("silent", ["/healthz", "silent on purpose"]),
        ("dies", ["dying on purpose"]),
        ("exits", ["leaving on purpose"]),
        # LimitAS is 2G in this scenario.
        ("memory", ["MemoryError"]),
    ],
)
def test_what_is_broken_is_refused(host: Host, shop: Site, version: str, words: list[str]) -> None:
    live, before = testing.live(host, "shop"), processes(host)
    limits = {"health_timeout": 15, "command_timeout": 20}
    result = testing.play(host, "deploy.yml", app="shop", version=version, skip_checks=[], **limits)
    said = testing.said(result)
    assert result.returncode != 0, said
    assert [word for word in words if word not in said] == [], said
    assert testing.live(host, "shop") == live
    assert processes(host) == before
    assert testing.leftovers(host, "shop") == []
    assert shop.get("/").json["release"] == live
