"""The scenario's sites, trusted by their own certificates only, and what nginx said where a test failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import testing
from testinfra.host import Host

MakeSite = Callable[..., testing.Site]


@pytest.fixture(scope="module")
def shop_certificate(host: Host) -> str:
    """What the shop's visitors trust, as PEM."""
    return str(host.check_output("cat /etc/ssl/groundwork/shop/current/fullchain.pem"))


@pytest.fixture(scope="module")
def wiki_certificate(host: Host) -> str:
    """What the wiki's visitors trust, as PEM."""
    return str(host.check_output("cat /etc/ssl/wiki/fullchain.pem"))


@pytest.fixture
def shop(site: MakeSite, shop_certificate: str) -> testing.Site:
    return site("shop.example.org", root=shop_certificate)


@pytest.fixture
def www(site: MakeSite, shop_certificate: str) -> testing.Site:
    """The shop's other name."""
    return site("www.shop.example.org", root=shop_certificate)


@pytest.fixture
def wiki(site: MakeSite, wiki_certificate: str) -> testing.Site:
    return site("wiki.example.org", root=wiki_certificate)


@pytest.fixture
def unknown(site: MakeSite) -> testing.Site:
    """A name that no site has."""
    return site("unknown.example.org", verify=False)


@pytest.fixture(autouse=True)
def explain(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test failed, what nginx said."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(testing.journal(host, "nginx.service", 20))
        print(host.run("tail -n 20 /var/log/nginx/error.log").stdout)
