"""The scenario's site, and what its releases and the proxy said where a test failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import testing
import visitor
from testinfra.host import Host
from testing import on_host


@pytest.fixture
def shop(host: Host, site: visitor.MakeSite) -> visitor.Site:
    return site("shop.test", root=host.check_output(f"cat {on_host('certificate', 'shop')}/fullchain.pem"))


@pytest.fixture(autouse=True)
def explain(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(testing.journal(host, "shop@*", 60, namespace="+shop"))
        print(testing.journal(host, "nginx.service", 20, namespace="shop"))
        print(host.run(f"tail -n 5 {on_host('state')}/releases/shop.jsonl").stdout)
