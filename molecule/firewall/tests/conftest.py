"""What the tests of the firewall share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import testing
from testinfra.host import Host
from testing import on_host

sys.path.insert(0, str(Path(__file__).parent))  # the tests import what stands beside them


@pytest.fixture
def as_converged(host: Host) -> Iterator[None]:
    """Puts the rules back as the scenario made them, by hand: a play would cost more than the test."""
    rules = f"{on_host('configuration')}/firewall.nft"
    host.check_output(f"cp --preserve {rules} /root/converged.nft")
    testing.forget_facts(host)  # the play asks by which connection it comes
    yield
    for path in (rules, f"{on_host('configuration')}/firewall.confirmed.nft"):
        host.check_output(f"cp --preserve /root/converged.nft {path}")
    host.check_output("systemctl reload-or-restart groundwork-firewall.service")
    testing.forget_facts(host)
