"""Rules that would shut out the play: the host goes back by itself, whatever becomes of the play."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest
import testing
from connections import ALONE, SHARED
from testinfra.host import Host
from testing import on_host

pytestmark = pytest.mark.usefixtures("as_converged")
CONFIRMED = f"{on_host('configuration')}/firewall.confirmed.nft"
SECONDS = 10  # after which the host reverts here; 30 otherwise
# Rules without SSH, past the check that would refuse them.
FORBIDDEN: dict[str, Any] = {"firewall_ssh_ports": [2222], "__firewall_problems": [], "__firewall_seconds": SECONDS}


def boot_rules(host: Host) -> str:
    """What a boot would load."""
    return str(host.file(CONFIRMED).content_string)


def seconds_until_open(address: str, limit: float) -> float:
    """How long it takes until SSH answers."""
    began = time.monotonic()
    assert testing.poll(lambda: testing.tcp_open(address, 22, 1), limit), f"no SSH for {limit} s"
    return time.monotonic() - began


def test_rules_without_ssh_are_taken_back_and_the_play_says_so(host: Host, host_ip: str) -> None:
    """Over a connection that is shared and stays open through the change: it proves nothing."""
    before = boot_rules(host)
    outcome = testing.play(host, ansible_host=host_ip, ansible_ssh_args=SHARED, **FORBIDDEN)
    said = testing.said(outcome)
    assert outcome.returncode == 2
    assert f"no new SSH connection could be opened within {SECONDS} s" in said
    assert "The host has put back what stood before; what it loads at boot is unchanged." in said
    assert "Compare firewall_ssh_ports and firewall_ssh_from with the port" in said
    assert testing.tcp_open(host_ip, 22)
    assert boot_rules(host) == before


def test_the_host_goes_back_by_itself_when_the_play_is_killed(host: Host, host_ip: str) -> None:
    before = boot_rules(host)
    with testing.playing(host, ansible_host=host_ip, ansible_ssh_args=ALONE, **FORBIDDEN) as play:
        shut = testing.poll(lambda: not testing.tcp_open(host_ip, 22, 0.5), 60, 0.1)
        os.killpg(play.pid, signal.SIGKILL)
    assert shut
    seconds_until_open(host_ip, SECONDS + 10)
    assert boot_rules(host) == before
    found = json.loads(host.check_output(f"{on_host('programs')}/firewall compare"))
    assert (found["state"], bool(found["differs"])) == ("kept", True), "the next run would not go on"


@pytest.mark.full
def test_the_host_goes_back_within_forty_seconds(host: Host, host_ip: str) -> None:
    """With the seconds that everybody has."""
    given = {**FORBIDDEN, "__firewall_seconds": 30}
    with testing.playing(host, ansible_host=host_ip, ansible_ssh_args=SHARED, **given) as play:
        shut = testing.poll(lambda: not testing.tcp_open(host_ip, 22, 0.5), 60, 0.1)
        os.killpg(play.pid, signal.SIGKILL)
    assert shut
    assert seconds_until_open(host_ip, 45) < 40
