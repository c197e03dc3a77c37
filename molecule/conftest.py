"""Fixtures for the tests of all scenarios; each test runs once per host of its scenario."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import testinfra
import testing
from testinfra.host import Host
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# These scenarios assert what the machine does in a second: their hosts take turns, and script/test runs them alone.
MEASURING = ("deploy", "servers")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a host on every host of the scenario's inventory, or on those of its mark's suite."""
    if "host" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("suite")
        hosts = [name for name in testing.scenario_hosts() if not mark or name.endswith(f"-{mark.args[0]}")]
        metafunc.parametrize("host", hosts, indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Heed the mark where a single parameter has it; pytest tells only here."""

    def wanted(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("suite")
        return not mark or bool(item.callspec.params["host"].endswith(f"-{mark.args[0]}"))  # type: ignore[attr-defined]

    items[:] = [item for item in items if wanted(item)]


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests for which one host is enough."""
    config.addinivalue_line("markers", "suite(name): run on the hosts of this Debian release only")


def pytest_xdist_auto_num_workers() -> int:
    """A process for each host: its tests mostly wait."""
    return 0 if testing.scenario_directory().name in MEASURING else len(testing.scenario_hosts())


class ByHost(LoadScopeScheduling):
    """All tests of a host in one process, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        return next((name for name in testing.scenario_hosts() if f"[{name}" in nodeid), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByHost:
    """Have the hosts' tests run at the same time."""
    return ByHost(config, log)


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Host:
    """The test host, as testinfra sees it: commands run on it by podman, which takes a third of a second."""
    return cast("Host", testinfra.get_host(f"podman://{testing.container(request.param)}"))


@pytest.fixture
def host_ip(host: Host) -> str:
    """The host's address; asked anew for each test, for a reboot may change it."""
    return testing.host_ip(host)


@pytest.fixture
def authority_root(host: Host) -> str:
    """The root certificate of the authority on the host (molecule/shared/pebble.yml), as PEM."""
    return testing.authority_root(host)


@pytest.fixture
def site(host_ip: str) -> Callable[..., testing.Site]:
    """Makes a site to ask: site("shop.test", root=authority_root).get("/").status."""

    def make(name: str, root: str | None = None, verify: bool = True) -> testing.Site:
        return testing.Site(name, host_ip, root, verify)

    return make
