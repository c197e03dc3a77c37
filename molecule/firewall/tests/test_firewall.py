"""What the firewall lets through, seen from outside, and what it leaves alone."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest
import testing
from testinfra.host import Host

UNIT = "groundwork-firewall.service"
FOREIGN = "table inet docker_like { chain forward { type filter hook forward priority 0; tcp dport 1 drop; }; }"


def live_rules(host: Host) -> str:
    """The rules that are in force."""
    return str(host.check_output("nft --stateless list table inet groundwork"))


def assert_filtered(address: str, port: int) -> None:
    """Nothing answers: the port is neither open nor refused."""
    with pytest.raises(TimeoutError):
        socket.create_connection((address, port), 1).close()


def run_play(host: Host, *options: str, **variables: object) -> str:
    """Run the scenario's play again; it must succeed; returns its output."""
    result = testing.play(host, "converge.yml", *options, **variables)
    assert result.returncode == 0, f"{result.stdout}{result.stderr}{testing.journal(host, UNIT)}"
    return result.stdout


def said(result: subprocess.CompletedProcess[str]) -> str:
    """What a play said, on one line."""
    return " ".join((result.stdout + result.stderr).split())


@pytest.fixture
def as_converged(host: Host) -> Iterator[None]:
    """Puts the firewall back as the scenario made it."""
    yield
    run_play(host)


@pytest.mark.parametrize("port", [22, 80, 443, 8443, 8445])
def test_what_is_declared_is_reachable(host: Host, host_ip: str, port: int) -> None:
    assert testing.tcp_open(host_ip, port), f"{testing.journal(host, UNIT)}\n{live_rules(host)}"


@pytest.mark.parametrize("port", [8080, 9000])
def test_what_is_not_declared_is_filtered(host: Host, host_ip: str, port: int) -> None:
    assert host.socket(f"tcp://:::{port}").is_listening
    assert_filtered(host_ip, port)


def test_the_host_itself_and_its_questions_are_free(host: Host) -> None:
    assert host.run("/usr/bin/python3 -c %s", "import socket; socket.create_connection(('127.0.0.1', 8080), 2)").rc == 0
    assert host.run("apt-get --quiet update").rc == 0


VISITOR = """
ip netns add visitor
ip link add to-visitor type veth peer name eth0 netns visitor
ip addr add fd00:6::1/64 dev to-visitor nodad
ip link set to-visitor up
ip -n visitor addr add fd00:6::2/64 dev eth0 nodad
ip -n visitor link set eth0 up
"""


@pytest.fixture
def knock_by_ipv6(host: Host) -> Iterator[Callable[[int], str]]:
    """Knocks at a port over IPv6 from a network of its own beside the host: says open, or what error came."""
    setup = host.run(f"set -e; {VISITOR}")
    assert setup.rc == 0, setup.stderr
    script = "import socket, sys; socket.create_connection(('fd00:6::1', int(sys.argv[1])), 2); print('open')"

    def knock(port: int) -> str:
        said = host.run("ip netns exec visitor /usr/bin/python3 -c %s %s", script, str(port))
        return str(said.stdout.strip() or said.stderr.strip().splitlines()[-1])

    yield knock
    host.run("ip link del to-visitor; ip netns del visitor")


def test_ipv6_is_filtered_alike_and_sources_are_honoured(
    host: Host, host_ip: str, knock_by_ipv6: Callable[[int], str], as_converged: None
) -> None:
    assert testing.poll(lambda: knock_by_ipv6(80) == "open"), knock_by_ipv6(80)
    assert [knock_by_ipv6(port) for port in (22, 443, 8443)] == ["open"] * 3
    assert "TimeoutError" in knock_by_ipv6(8080)
    assert "TimeoutError" in knock_by_ipv6(9000)
    run_play(host, from_addresses=[testing.own_ip(host), "fd00:6::/64"])
    assert knock_by_ipv6(9000) == "open"
    assert testing.tcp_open(host_ip, 9000), live_rules(host)


def test_other_tables_are_left_alone(host: Host, host_ip: str, as_converged: None) -> None:
    assert host.run("echo %s | nft -f -", FOREIGN).rc == 0
    before = host.check_output("nft list table inet docker_like")
    run_play(host, firewall_services=[])
    assert_filtered(host_ip, 8443)
    assert host.run(f"systemctl reload {UNIT}").rc == 0
    assert host.run(f"systemctl restart {UNIT}").rc == 0
    assert_filtered(host_ip, 8443)
    assert host.run(f"systemctl stop {UNIT}").rc == 0
    assert testing.tcp_open(host_ip, 8443)
    assert host.check_output("nft list table inet docker_like") == before
    assert host.run(f"systemctl start {UNIT}").rc == 0
    assert host.check_output("nft list table inet docker_like") == before
    assert host.run("nft delete table inet docker_like").rc == 0


def test_a_rerun_heals_the_rules(host: Host, host_ip: str) -> None:
    declared = live_rules(host)
    assert host.run("nft flush ruleset").rc == 0
    assert testing.tcp_open(host_ip, 8080)
    assert "changed=1 " in run_play(host, "--check")
    assert testing.tcp_open(host_ip, 8080), "a dry run changed the rules"
    assert "changed=1 " in run_play(host)
    assert_filtered(host_ip, 8080)
    assert live_rules(host) == declared
    assert host.run("nft add rule inet groundwork input tcp dport 8080 accept").rc == 0
    assert "changed=1 " in run_play(host)
    assert live_rules(host) == declared


@pytest.mark.suite("trixie")
def test_rules_come_back_with_nftables_service(host: Host, host_ip: str, as_converged: None) -> None:
    """Somebody who runs nftables.service empties all tables at each of its restarts; ours is loaded after it."""
    assert host.run("systemctl start nftables.service").rc == 0
    run_play(host)
    for verb in ("restart", "reload"):
        assert host.run(f"systemctl {verb} nftables.service").rc == 0
        assert testing.poll(lambda: testing.tcp_refused(host_ip, 8080), 20), testing.journal(host, UNIT)
        assert testing.tcp_open(host_ip, 80)
    assert host.run("systemctl stop nftables.service").rc == 0


@pytest.mark.suite("bookworm")
def test_rules_that_would_shut_us_out_are_refused(host: Host) -> None:
    before = live_rules(host)
    refused = testing.play(host, firewall_ssh_ports=[2222])
    assert refused.returncode != 0
    assert "firewall_ssh_ports is [2222], but this connection came in on port 22: it would be shut out" in said(refused)
    assert "changed=0 " in refused.stdout
    assert live_rules(host) == before


@pytest.mark.suite("trixie")
@pytest.mark.parametrize(
    ("service", "message"),
    [
        ({"port": 1, "from": ["db.example.org"]}, "Names are refused: db.example.org."),
        ({"port": 1, "from": ["192.0.2.300"]}, "put back as it was"),
    ],
)
def test_a_wrong_service_is_refused(host: Host, service: dict[str, object], message: str) -> None:
    before = live_rules(host)
    refused = testing.play(host, firewall_services=[service])
    assert refused.returncode != 0
    assert message in said(refused)
    assert live_rules(host) == before


@pytest.mark.suite("trixie")
def test_the_port_of_this_very_connection_stays_open(host: Host, host_ip: str, as_converged: None) -> None:
    """To an sshd on another port, that one stays open and 22 is closed; the play ends over the same connection."""
    assert host.run(f"systemctl stop {UNIT}; systemd-run --unit=other-sshd /usr/sbin/sshd -D -p 2222").rc == 0
    assert testing.poll(lambda: testing.tcp_open(host_ip, 2222))
    ssh = "-F /dev/null -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ControlMaster=no"
    run_play(host, ansible_host=host_ip, ansible_port=2222, ansible_ssh_args=ssh)
    assert testing.tcp_open(host_ip, 2222)
    assert_filtered(host_ip, 22)
    assert host.run("systemctl stop other-sshd").rc == 0


@pytest.mark.suite("bookworm")
def test_it_can_be_switched_off_and_on(host: Host, host_ip: str) -> None:
    run_play(host, firewall_enabled=False)
    assert testing.tcp_open(host_ip, 8080)
    assert host.run("nft list table inet groundwork").rc != 0
    assert not host.service(UNIT).is_enabled
    assert host.run("nft -f /etc/groundwork/firewall.nft").rc == 0
    assert "changed=1 " in run_play(host, firewall_enabled=False)
    assert host.run("nft list table inet groundwork").rc != 0
    run_play(host)
    assert_filtered(host_ip, 8080)
    assert host.service(UNIT).is_enabled


def test_rules_are_there_after_a_reboot(host: Host) -> None:
    declared = live_rules(host)
    testing.restart_host(host)
    address = testing.host_ip(host)
    assert testing.poll(lambda: testing.tcp_open(address, 80))
    assert_filtered(address, 8080)
    assert live_rules(host) == declared
    order = host.check_output(f"systemctl show --property=Before --value {UNIT}").split()
    assert "network-pre.target" in order
    assert not host.service("nftables.service").is_running
    assert "changed=0 " in run_play(host)
