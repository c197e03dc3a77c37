"""Rules that would shut out the play: the host goes back by itself, whatever becomes of the play."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest
import testing
from connections import ALONE, SHARED
from testinfra.host import Host
from testing import on_host

pytestmark = pytest.mark.usefixtures("as_converged")
CONFIRMED = f"{on_host('configuration')}/firewall.confirmed.nft"
SECONDS = 20  # after which the host reverts here; 30 otherwise. Applying may take two thirds of them
PATIENCE = 300  # seconds that a play may take on a busy machine until it has applied the rules
# Rules without SSH, past the check that would refuse them.
FORBIDDEN: dict[str, Any] = {"firewall_ssh_ports": [2222], "__firewall_problems": [], "__firewall_seconds": SECONDS}
TIMER = "/org/freedesktop/systemd1/unit/groundwork_2dfirewall_2drevert_2etimer"


def boot_rules(host: Host) -> str:
    """What a boot would load."""
    return str(host.file(CONFIRMED).content_string)


def kill_when_shut(host: Host, address: str, play: subprocess.Popen[str]) -> None:
    """Kill a play as soon as its rules are in force. The host is asked: that SSH answers late does not say so."""
    rules = "nft list chain inet groundwork input"
    shut = testing.poll(lambda: "tcp dport 2222 accept" in host.check_output(rules), PATIENCE, 0.1)
    os.killpg(play.pid, signal.SIGKILL)
    assert shut
    assert not testing.tcp_open(address, 22, 1)


def assert_opens_again(address: str) -> None:
    """SSH answers again after the host's seconds."""
    assert testing.poll(lambda: testing.tcp_open(address, 22, 1), SECONDS + 120), "no SSH"


def test_rules_without_ssh_are_taken_back_and_the_play_says_so(host: Host, host_ip: str) -> None:
    """Over a connection that is shared and stays open through the change: it proves nothing."""
    before = boot_rules(host)
    outcome = testing.play(host, ansible_host=host_ip, ansible_timeout=60, ansible_ssh_args=SHARED, **FORBIDDEN)
    said = testing.said(outcome)
    assert outcome.returncode == 2
    assert f"no new SSH connection could be opened within {SECONDS} s" in said
    assert "The host has put back what stood before; what it loads at boot is unchanged." in said
    assert "Compare firewall_ssh_ports and firewall_ssh_from with the port" in said
    assert testing.tcp_open(host_ip, 22)
    assert boot_rules(host) == before


def test_the_host_goes_back_by_itself_when_the_play_is_killed(host: Host, host_ip: str) -> None:
    before = boot_rules(host)
    with testing.playing(host, ansible_host=host_ip, ansible_timeout=60, ansible_ssh_args=ALONE, **FORBIDDEN) as play:
        kill_when_shut(host, host_ip, play)
    assert_opens_again(host_ip)
    assert boot_rules(host) == before
    found = json.loads(host.check_output(f"{on_host('programs')}/firewall compare"))
    assert (found["state"], bool(found["differs"])) == ("kept", True), "the next run would not go on"


@pytest.mark.full
def test_the_host_goes_back_after_thirty_seconds(host: Host, host_ip: str) -> None:
    """The seconds that everybody has, by the host's own timer; how long going back takes is the machine's."""
    given = {**FORBIDDEN, "__firewall_seconds": 30}
    with testing.playing(host, ansible_host=host_ip, ansible_timeout=60, ansible_ssh_args=SHARED, **given) as play:
        kill_when_shut(host, host_ip, play)
        due = f"busctl get-property org.freedesktop.systemd1 {TIMER} org.freedesktop.systemd1.Timer"
        at = int(host.check_output(f"{due} NextElapseUSecMonotonic").split()[1]) / 1e6
        now = float(host.check_output("cut -d' ' -f1 /proc/uptime"))
    assert 0 < at - now <= 30
    assert_opens_again(host_ip)
