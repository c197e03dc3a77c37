"""The attackers, and what none of them may reach."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).parent))

from attacker import Attacker

# What root alone may write, and what an attacker would put there.
TARGETS = "/root/canary* /etc/systemd/system/*.d/canary* /etc/systemd/system/canary* /etc/cron.d/canary*"


@pytest.fixture(scope="module")
def mallory(host: Host) -> Iterator[Attacker]:
    attacker = Attacker(host, "mallory")
    yield attacker
    for directory in attacker.directories:
        shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def nothing_of_roots(host: Host) -> Iterator[None]:
    """After each attack: root has run nothing of it, and what is root's is as it was."""
    yield
    assert host.run(f"ls -d {TARGETS}").stdout == ""
    assert host.check_output("cat /etc/important.conf; stat -c %a:%U /etc/important.conf") == "canary-of-root\n600:root"
