"""The scenario's sites, and what its apps said where a test failed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import testing
from testinfra.host import Host
from testing import on_host
from visitor import MakeSite, Site

sys.path.insert(0, str(Path(__file__).parent))  # the tests import services.py, which stands beside them


def make(host: Host, site: MakeSite, app: str) -> Site:
    return site(f"{app}.test", root=host.check_output(f"cat {on_host('certificate', app)}/fullchain.pem"))


@pytest.fixture
def shop(host: Host, site: MakeSite) -> Site:
    return make(host, site, "shop")


@pytest.fixture
def stock(host: Host, site: MakeSite) -> Site:
    return make(host, site, "stock")


@pytest.fixture
def plain(host: Host, site: MakeSite) -> Site:
    return make(host, site, "plain")


@pytest.fixture(autouse=True)
def explain(host: Host, request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        for app in ("shop", "stock"):
            print(testing.journal(host, f"{app}*", 40, namespace=f"+{app}"))
