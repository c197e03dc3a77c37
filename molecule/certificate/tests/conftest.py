"""What the tests of the scenario share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).parent))  # the tests import what stands beside them


@pytest.fixture
def timer_paused(host: Host) -> Iterator[None]:
    """Stop the timer, so that only the test does its work."""
    host.check_output("systemctl stop groundwork-certificate.timer")
    yield
    host.check_output("systemctl start groundwork-certificate.timer")
