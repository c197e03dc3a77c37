"""What another machine sees of the host, port by port, and a play that comes by way of it over IPv6."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
import testing
from connections import ALONE
from testinfra.host import Host
from testing import on_host

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("as_converged")]
OWN, VISITORS = "fd00:17::1", "fd00:17::2"
DECLARED = {22, 80, 443, 8443, 8444, 8445}
FAST = "-T4 --min-rate 4000 --max-retries 2"
UDP = "53,67-69,111,123,137,161,443,500,514,520,546,631,1194,1434,1900,4500,5353,5355,11211,51820"


def machines(*arguments: str) -> str:
    """Run script/test-host; what it prints."""
    done = subprocess.run([testing.TEST_HOST, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def inside(name: str, command: str) -> str:
    """Run a command line on another test host."""
    return machines("shell", name, "sh", "-c", command)


def address_command(address: str) -> str:
    """Give the network card of a test host an IPv6 address."""
    return f"sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; ip addr replace {address}/64 dev eth0 nodad"


@pytest.fixture(scope="module")
def visitor(host: Host) -> Iterator[str]:
    """Another machine on the same network, by its name, with IPv6 between the two."""
    name = f"{testing.host_name(host)}-visitor"
    machines("create", f"{name}:{host.system_info.codename}")
    inside(name, address_command(VISITORS))
    host.check_output(address_command(OWN))
    yield name
    host.run(f"ip addr del {OWN}/64 dev eth0")
    machines("remove", name)


def nmap(visitor: str, *arguments: str) -> dict[int, str]:
    """The state of each port that nmap tells of; ports in the state of most are left out."""
    found = inside(visitor, " ".join(("nmap -n -Pn -oG -", *arguments)))
    return {int(port): state for port, state in re.findall(r"(\d+)/([a-z|]+)/", found)}


def test_nmap_sees_the_declared_ports_and_nothing_else(host: Host, host_ip: str, visitor: str) -> None:
    """All TCP ports and the usual UDP ones. Every other is filtered: nothing tells whether anything listens there."""
    inside(visitor, "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy nmap >/dev/null")
    for target in (host_ip, f"-6 {OWN}"):
        tcp = nmap(visitor, f"{FAST} -sS -p-", target)
        assert {port for port, state in tcp.items() if state != "filtered"} <= DECLARED
        # A busy machine may lose packets of all ports at once.
        declared = nmap(visitor, f"-sS -p {','.join(map(str, sorted(DECLARED)))}", target)
        assert {port for port, state in declared.items() if state == "open"} == {22, 80, 443, 8443, 8445}
        udp = nmap(visitor, f"{FAST} -sU -p {UDP}", target)
        assert set(udp.values()) <= {"open|filtered", "filtered"}, udp
    assert host.socket("tcp://:::9000").is_listening


def test_a_play_by_way_of_a_jump_host_over_ipv6_and_without_sharing_connections(
    host: Host, host_ip: str, visitor: str
) -> None:
    """SSH for the jump host alone: its address is the one that the host sees."""
    key = testing.ROOT / ".cache" / "ssh" / "id_ed25519"
    by_visitor = f"ssh -i {key} {ALONE} -W [%h]:%p root@{machines('address', visitor)}"
    given = {"ansible_host": OWN, "ansible_ssh_args": f"{ALONE} -o ProxyCommand='{by_visitor}'"}
    outcome = testing.play(host, firewall_ssh_from=[VISITORS], **given)
    assert outcome.returncode == 0, testing.said(outcome)
    confirmed = host.file(f"{on_host('configuration')}/firewall.confirmed.nft").content_string
    assert f'ip6 saddr {VISITORS} tcp dport 22 accept comment "SSH"' in confirmed
    assert not testing.tcp_open(host_ip, 22, 1)
    refused = testing.said(testing.play(host, firewall_ssh_from=["192.0.2.0/24"], **given))
    assert f"this connection comes from {VISITORS}: it would be shut out. Add {VISITORS}, or its network" in refused
    assert "changed=0 " in refused
