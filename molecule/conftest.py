"""Fixtures for the tests of all scenarios; each test runs once per host of its scenario."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator

import costs
import pytest
import testing
import visitor
import yaml
from testinfra.host import Host
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

MARKS = (
    "suite(name): about this Debian release, so it runs on its hosts only",
    "once: the Debian release cannot change it, so that one host is enough where a scenario has one of each",
    "full: runs in script/test full only; a representative of it runs in the default suite",
    "measuring: asserts what the machine does in a second, so that no other such test may run beside it",
    "alone: asserts what one moment costs; script/test runs these last, with nothing beside them",
)
FULL = os.environ.get("TEST_FULL") == "1"
began = time.time()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that asks for a host on every host of the run, or on those that its marks leave."""
    if "host" in metafunc.fixturenames:
        hosts = [name for name in testing.scenario_hosts() if belongs(metafunc.definition, name)]
        metafunc.parametrize("host", hosts, indirect=True, scope="module")


def belongs(test: pytest.Item | pytest.Function, host: str) -> bool:
    """Say whether a test with these marks runs on this host."""
    suite, once = test.get_closest_marker("suite"), test.get_closest_marker("once")
    alone = os.environ.get("TEST_SUITE", "") if once and not FULL else ""
    return host.endswith(f"-{suite.args[0]}" if suite else "") and host.endswith(alone)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Heed the marks of single parameters, which pytest tells only here; `alone` comes last."""

    def wanted(item: pytest.Item) -> bool:
        host = str(item.callspec.params.get("host", "")) if hasattr(item, "callspec") else ""
        return (FULL or not item.get_closest_marker("full")) and (not host or belongs(item, host))

    def alone(item: pytest.Item) -> bool:
        return item.get_closest_marker("alone") is not None

    unwanted = [item for item in items if not wanted(item)]
    if unwanted:
        config.hook.pytest_deselected(items=unwanted)
    items[:] = sorted(filter(wanted, items), key=alone)


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each host. One for all where there is one host, or where nothing may run beside a test."""
    hosts = len(testing.scenario_hosts())
    return 0 if hosts == 1 or config.option.markexpr == "alone" else hosts


# --- costs and failures ----------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Write down what each test costs."""
    name = str(item.callspec.params.get("host", "")) if hasattr(item, "callspec") else ""
    pid = testing.container_pid(testing.connect(name)) if name else ""
    testing.FAILURES.clear()
    with costs.recorded("test", pid, host=name, name=item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what its plays said last, and what the host's journal warned of meanwhile."""
    report = yield
    if report.failed:
        for failure in testing.FAILURES:
            report.sections.append((f"play that failed: {failure.command}", failure.output))
        if isinstance(host := getattr(item, "funcargs", {}).get("host"), Host):
            report.sections.append((f"journal of {testing.host_name(host)}", testing.warnings(host, call.start)))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run whose tests ran more plays on a host than the scenario's budget allows."""
    if hasattr(session.config, "workerinput"):
        return  # the process that started the workers counts for all
    if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.markexpr:
        session.exitstatus = (
            pytest.ExitCode.OK
        )  # all are `alone`, or none is: script/test runs these in a session of their own
    budget = yaml.safe_load((testing.scenario_directory() / "budget.yml").read_text())
    allowed = budget["full" if FULL else "plays"]
    counted = Counter(record["host"] for record in costs.read(began) if record["kind"] == "play")
    for host, plays in sorted(counted.items()):
        if plays > allowed:
            print(f"\nERROR: the tests ran {plays} plays on {host}; the budget (budget.yml) allows {allowed}.")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


# --- hosts -----------------------------------------------------


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
    return testing.connect(request.param)


@pytest.fixture
def host_ip(host: Host) -> str:
    """The host's address; asked anew for each test, for a reboot may change it."""
    return testing.host_ip(host)


@pytest.fixture
def authority_root(host: Host) -> str:
    """The root certificate of the authority on the host (molecule/shared/pebble.yml), as PEM."""
    return testing.authority_root(host)


@pytest.fixture
def site(host_ip: str) -> Callable[..., visitor.Site]:
    """Make a site to ask, as in ``site("shop.test", root=authority_root).get("/").status``."""

    def make(name: str, root: str | None = None, verify: bool = True) -> visitor.Site:
        return visitor.Site(name, host_ip, root, verify)

    return make
