"""The scenario's sites, the scans of each host, and the figures that the tests found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest
from testinfra.host import Host
from visitor import Site

sys.path.insert(0, str(Path(__file__).parent))  # the tests import what stands beside them

import scanning
from scanning import Findings

Figure = Callable[[str, object], None]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was measured; the processes of the tests hand it over as properties of their reports."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    tests = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = [f"{name}: {value}" for report in tests for name, value in report.user_properties]
    for suite in ("bookworm", "trixie"):
        door = [test for test in tests if "test_front_door" in test.nodeid and suite in test.nodeid]
        if door:
            lines.append(f"{suite}: front door: {sum(test.passed for test in door)} of {len(door)}")
    for line in sorted(lines):
        terminalreporter.write_line(line)


@pytest.fixture
def figure(host: Host, record_property: Callable[[str, object], None]) -> Figure:
    """Keeps a figure for the end of the run."""

    def keep(what: str, value: object) -> None:
        record_property(f"{scanning.suite(host)}: {what}", value)

    return keep


@pytest.fixture(scope="module")
def scans(host: Host) -> Mapping[str, Future[Findings]]:
    """The scans of the host, under way."""
    name = scanning.guestbook_name(host)
    configuration = host.check_output("nginx -T 2>/dev/null")
    # gixy cannot see that OpenSSL 3.5 knows X25519MLKEM768.
    options = "" if scanning.suite(host) == "bookworm" else "--skips=ssl_ecdh_curve"
    return scanning.start_scans(f"scan-{scanning.suite(host)}", name, configuration, options)


@pytest.fixture(scope="module", autouse=True)
def begin_early(request: pytest.FixtureRequest) -> None:
    """Have the scans go on beside the tests that come before theirs."""
    if any("scans" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("scans")


@pytest.fixture
def guestbook(host: Host, site: Callable[..., Site], authority_root: str) -> Site:
    return site(scanning.guestbook_name(host), root=authority_root)


@pytest.fixture
def witness(host: Host, site: Callable[..., Site]) -> Site:
    """The app that answers whatever reaches it. Its certificate is its own."""
    return site(scanning.witness_name(host), verify=False)
