"""What the tests of the scenario share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host


@pytest.fixture
def timer_paused(host: Host) -> Iterator[None]:
    """Stop the timer, so that only the test does its work."""
    host.check_output("systemctl stop groundwork-certificate.timer")
    yield
    host.check_output("systemctl start groundwork-certificate.timer")
