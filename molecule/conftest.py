"""Fixtures for the tests of all scenarios; each test runs once per host of its scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import testing
from testinfra.host import Host
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

MARKS = (
    "suite(name): run on the hosts of this Debian release only",
    "measuring: asserts what the machine does in a second, so that no other such test may run beside it",
    "alone: asserts what one moment costs; script/test runs these last, with nothing beside them",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a host on every host of the scenario's inventory, or on those of its mark's suite."""
    if "host" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("suite")
        hosts = [name for name in testing.scenario_hosts() if not mark or name.endswith(f"-{mark.args[0]}")]
        metafunc.parametrize("host", hosts, indirect=True, scope="module")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Heed the mark `suite` where a single parameter has it, for pytest tells only here; `alone` comes last."""

    def wanted(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("suite")
        return not mark or bool(item.callspec.params["host"].endswith(f"-{mark.args[0]}"))  # type: ignore[attr-defined]

    def alone(item: pytest.Item) -> bool:
        return item.get_closest_marker("alone") is not None

    items[:] = sorted(filter(wanted, items), key=alone)


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each host: its tests mostly wait. One for all where nothing may run beside a test."""
    return 0 if config.option.markexpr == "alone" else len(testing.scenario_hosts())


class ByHost(LoadScopeScheduling):
    """All tests of a host in one process, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        return next((name for name in testing.scenario_hosts() if f"[{name}" in nodeid), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByHost:
    """Have the hosts' tests run at the same time."""
    return ByHost(config, log)


@pytest.fixture(autouse=True)
def measuring(request: pytest.FixtureRequest) -> Iterator[None]:
    """One at a time of the tests that measure."""
    if any(request.node.get_closest_marker(mark) for mark in ("measuring", "alone")):
        with testing.measuring():
            yield
    else:
        yield


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Host:
    """The test host, as testinfra sees it."""
    return Host(testing.Container(testing.container(request.param)))


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
