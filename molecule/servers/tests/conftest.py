"""The scenario's sites and servers, and what an app and the proxy said where a test failed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import testing
from testinfra.host import Host
from visitor import Site

sys.path.insert(0, str(Path(__file__).parent))  # the tests import what stands beside them

from kinds import FIGURES, Kind, MakeShop
from testing import on_host


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was counted, by whichever process ran the test."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for report in reports:
        for name, value in getattr(report, "user_properties", []):
            if name == "figures" and report.when == "teardown":
                terminalreporter.write_line(value)


@pytest.fixture(scope="module")
def authorities(host: Host) -> str:
    """The certificates of all apps, each its own authority, as PEM."""
    return str(host.check_output(f"cat {on_host('certificates')}/*/current/fullchain.pem"))


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    """The host's address: no test of this scenario restarts the host."""
    return testing.host_ip(host)


@pytest.fixture
def shop(address: str, authorities: str) -> MakeShop:
    """Makes the site of an app."""

    def make(kind: Kind) -> Site:
        return Site(kind.site, address, authorities)

    return make


@pytest.fixture
def guestbook(address: str, authorities: str) -> Site:
    return Site("guestbook.test", address, authorities)


@pytest.fixture(autouse=True)
def explain(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    request.node.user_properties += [("figures", line) for line in FIGURES]
    FIGURES.clear()
    if request.session.testsfailed > failed:
        kind = request.node.callspec.params.get("kind")
        app = kind.app if kind else "guestbook"
        print(testing.journal(host, f"{app}@*", 60, namespace=f"+{app}"))
        print(host.run("tail -n 20 /var/log/nginx/error.log /var/log/apache2/error.log").stdout)
