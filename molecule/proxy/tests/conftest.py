"""The scenario's sites, trusted by their own certificates only, and what the proxy said where a test failed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import testing
import visitor
import yaml
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).parent))  # the tests import what stands beside them

from providers import NGINX, PROVIDERS, Provider
from testing import on_host

INVENTORY = yaml.safe_load((testing.scenario_directory() / "inventory" / "hosts.yml").read_text())
PROVIDER = PROVIDERS[INVENTORY["flask_hosts"].get("vars", {}).get("proxy_provider", NGINX.name)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the tests of both scenarios, those of this one.

    The change from one provider to the other and back belongs to both; once is enough.
    """

    def belongs(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("provider")
        return (not mark or PROVIDER.name in mark.args) and (
            item.path.name != "test_change_of_provider.py" or PROVIDER is not NGINX
        )

    items[:] = [item for item in items if belongs(item)]


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark of tests that are about one provider."""
    config.addinivalue_line("markers", "provider(name): what the others refuse to do, or where one is enough")


@pytest.fixture(scope="session")
def provider() -> Provider:
    """The proxy that serves this scenario's sites."""
    return PROVIDER


@pytest.fixture(scope="module")
def shop_certificate(host: Host) -> str:
    """What the shop's visitors trust, as PEM."""
    return str(host.check_output(f"cat {on_host('certificate', 'shop')}/fullchain.pem"))


@pytest.fixture(scope="module")
def wiki_certificate(host: Host) -> str:
    """What the wiki's visitors trust, as PEM."""
    return str(host.check_output("cat /etc/ssl/wiki/fullchain.pem"))


@pytest.fixture
def shop(site: visitor.MakeSite, shop_certificate: str) -> visitor.Site:
    return site("shop.example.org", root=shop_certificate)


@pytest.fixture
def www(site: visitor.MakeSite, shop_certificate: str) -> visitor.Site:
    """The shop's other name."""
    return site("www.shop.example.org", root=shop_certificate)


@pytest.fixture
def wiki(site: visitor.MakeSite, wiki_certificate: str) -> visitor.Site:
    return site("wiki.example.org", root=wiki_certificate)


@pytest.fixture
def unknown(site: visitor.MakeSite) -> visitor.Site:
    """A name that no site has."""
    return site("unknown.example.org", verify=False)


@pytest.fixture(autouse=True)
def explain(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test failed, what the proxy said."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(testing.journal(host, PROVIDER.unit, 20))
        said = host.run(f"tail -n 20 {PROVIDER.logs}/error.log").stdout_bytes
        print(said.decode(errors="replace"))
