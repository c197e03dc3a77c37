"""Fixtures for the tests of all scenarios; each test runs once per host of its scenario."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import testinfra
import testing
from testinfra.host import Host


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a host on every host of the scenario's inventory, or on those of its mark's suite."""
    if "host" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("suite")
        hosts = [name for name in testing.scenario_hosts() if not mark or name.endswith(f"-{mark.args[0]}")]
        metafunc.parametrize("host", hosts, indirect=True, scope="module")


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests for which one host is enough."""
    config.addinivalue_line("markers", "suite(name): run on the hosts of this Debian release only")


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
