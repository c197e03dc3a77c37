"""The scenario's sites and servers, and what an app and the proxy said where a test failed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import testing
from testinfra.host import Host
from testing import Site

sys.path.insert(0, str(Path(__file__).parent))  # the tests import what stands beside them

from kinds import Kind, MakeShop


@pytest.fixture
def shop(host: Host, site: Callable[..., Site]) -> MakeShop:
    """Makes the site of an app."""

    def make(kind: Kind) -> Site:
        root = host.check_output(f"cat /etc/ssl/groundwork/{kind.app}/current/fullchain.pem")
        return site(kind.site, root=root)

    return make


@pytest.fixture
def guestbook(host: Host, site: Callable[..., Site]) -> Site:
    return site("guestbook.test", root=host.check_output("cat /etc/ssl/groundwork/guestbook/current/fullchain.pem"))


@pytest.fixture(autouse=True)
def explain(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        kind = request.node.callspec.params.get("kind")
        app = kind.app if kind else "guestbook"
        print(testing.journal(host, f"{app}@*", 60, namespace=f"+{app}"))
        print(host.run("tail -n 20 /var/log/nginx/error.log /var/log/apache2/error.log").stdout)
