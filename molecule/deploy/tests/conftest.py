"""The scenario's site, and what its releases and the proxy said where a test failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import testing
from testinfra.host import Host


@pytest.fixture
def shop(host: Host, site: testing.MakeSite) -> testing.Site:
    return site("shop.test", root=host.check_output("cat /etc/ssl/groundwork/shop/current/fullchain.pem"))


@pytest.fixture(autouse=True)
def explain(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        print(testing.journal(host, "shop@*", 60, namespace="+shop"))
        print(host.run("tail -n 20 /var/log/nginx/error.log; tail -n 5 /var/lib/groundwork/releases/shop.jsonl").stdout)
