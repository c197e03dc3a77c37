"""What the firewall lets through, seen from outside, and what it leaves alone."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import testing
from connections import ALONE
from testinfra.host import Host
from testing import on_host

UNIT = "groundwork-firewall.service"
RULES = f"{on_host('configuration')}/firewall.nft"
CONFIRMED = f"{on_host('configuration')}/firewall.confirmed.nft"
PROGRAM = f"{on_host('programs')}/firewall"
FOREIGN = """
table ip docker_like {
    chain forward { type filter hook forward priority 0; policy accept; tcp dport 1 counter drop; }
    chain nat { type nat hook prerouting priority dstnat; tcp dport 8088 dnat to 10.99.0.2:80; }
}
table inet f2b_like {
    set sshd { type ipv4_addr; elements = { 192.0.2.66 }; }
    chain input { type filter hook input priority -1; policy accept; tcp dport 22 ip saddr @sshd reject; }
}
"""


FOREIGN_TABLES = ("ip docker_like", "inet f2b_like")


def live_rules(host: Host) -> str:
    """The rules that are in force."""
    return str(host.check_output("nft --stateless --terse list table inet groundwork"))


def foreign_tables(host: Host) -> str:
    """The rules in the tables of others, as they are in force, with counters and handles."""
    return "".join(str(host.check_output(f"nft --handle list table {name}")) for name in FOREIGN_TABLES)


def differs(host: Host) -> str:
    """How the kernel's rules and the boot's differ from the file, as the play asks it."""
    return str(json.loads(host.check_output(f"{PROGRAM} compare"))["differs"])


def assert_filtered(address: str, port: int) -> None:
    """Nothing answers: the port is neither open nor refused."""
    with pytest.raises(TimeoutError):
        socket.create_connection((address, port), 1).close()


def run_play(host: Host, *options: str, **variables: object) -> str:
    """Run the scenario's play again; it must succeed; returns its output."""
    result = testing.play(host, "converge.yml", *options, **variables)
    assert result.returncode == 0, f"{result.stdout}{result.stderr}{testing.journal(host, UNIT)}"
    return result.stdout


@pytest.fixture
def with_foreign_tables(host: Host) -> Iterator[None]:
    """Tables as Docker and fail2ban have them beside the firewall's."""
    host.check_output("echo %s | nft -f -", FOREIGN)
    yield
    for name in FOREIGN_TABLES:
        host.check_output(f"nft delete table {name}")


def test_what_is_declared_is_reachable(host: Host, host_ip: str) -> None:
    for port in (22, 80, 443, 8443, 8445):
        assert testing.tcp_open(host_ip, port), f"{port}: {testing.journal(host, UNIT)}\n{live_rules(host)}"


def test_what_is_not_declared_is_filtered(host: Host, host_ip: str) -> None:
    for port in (8080, 9000):
        assert host.socket(f"tcp://:::{port}").is_listening
        assert_filtered(host_ip, port)


USUAL = (21, 23, 25, 53, 111, 139, 445, 2375, 3306, 5355, 5432, 6379, 8000, 8080, 9000, 9100, 11211, 27017)


def test_nothing_else_answers(host_ip: str) -> None:
    """Neither open nor refused: all of them are asked at once. nmap asks all ports in the full suite."""
    asked = {}
    for port in USUAL:
        asked[port] = socket.socket()
        asked[port].setblocking(False)
        asked[port].connect_ex((host_ip, port))
    with selectors.DefaultSelector() as selector:
        for port, one in asked.items():
            selector.register(one, selectors.EVENT_WRITE, port)
        time.sleep(1)
        assert [key.data for key, _events in selector.select(0)] == []
    for one in asked.values():
        one.close()


def test_the_host_itself_and_its_questions_are_free(host: Host) -> None:
    host.check_output("/usr/bin/python3 -c %s", "import socket; socket.create_connection(('127.0.0.1', 8080), 30)")
    uri = host.check_output("apt-get update --print-uris").split("'")[1]
    host.check_output("/usr/lib/apt/apt-helper download-file %s /tmp/answer", uri)


VISITOR = """
ip netns add visitor
ip link add to-visitor type veth peer name eth0 netns visitor
ip addr add fd00:6::1/64 dev to-visitor nodad
ip link set to-visitor up
ip -n visitor addr add fd00:6::2/64 dev eth0 nodad
ip -n visitor link set eth0 up
"""


@pytest.fixture
def knock_by_ipv6(host: Host) -> Iterator[Callable[..., str]]:
    """Knocks at a port over IPv6 from a network of its own beside the host: says open, or what error came."""
    setup = host.run(f"set -e; {VISITOR}")
    assert setup.rc == 0, setup.stderr
    to = "('fd00:6::1', int(sys.argv[1])), float(sys.argv[2])"
    script = f"import socket, sys; socket.create_connection({to}); print('open')"

    def knock(port: int, seconds: float = 30) -> str:
        said = host.run("ip netns exec visitor /usr/bin/python3 -c %s %s %s", script, str(port), str(seconds))
        return str(said.stdout.strip() or said.stderr.strip().splitlines()[-1])

    assert testing.poll(lambda: knock(80, 2) == "open"), knock(80)
    yield knock
    host.run("ip link del to-visitor; ip netns del visitor")


def test_ipv6_is_filtered_alike(knock_by_ipv6: Callable[..., str]) -> None:
    assert [knock_by_ipv6(port) for port in (22, 443, 8443)] == ["open"] * 3
    assert "TimeoutError" in knock_by_ipv6(8080, 2)
    assert "TimeoutError" in knock_by_ipv6(9000, 2)


def test_one_look_tells_what_the_host_is(host: Host, host_ip: str) -> None:
    """From this the role has the port of its connection, and other roles the distribution and the packages."""
    found = testing.module(host, "host_facts")
    facts, system = found["ansible_facts"], host.system_info
    assert facts["distribution"].lower() == system.distribution
    assert (facts["distribution_release"], facts["distribution_major_version"]) == (system.codename, system.release[:2])
    assert host_ip in facts["all_ipv4_addresses"]
    assert sorted(found["packages"]) == sorted(set(testing.installed_packages(host)))
    assert not found["changed"]


def six_knocks(host: Host, address: str) -> list[bool]:
    """Which of six connections to sshd are accepted at a limit of four a minute; none where that gave way meanwhile."""
    host.check_output("nft flush set inet groundwork ssh_ip4")
    began = time.monotonic()
    opened = [testing.tcp_open(address, 22, seconds) for seconds in (30, 30, 30, 30, 0.5, 0.5)]
    return opened if time.monotonic() - began < 60 / 4 else []


@pytest.mark.usefixtures("as_converged", "with_foreign_tables")
def test_a_play_honours_sources_and_closes_what_left_and_leaves_other_tables_alone(
    host: Host, host_ip: str, knock_by_ipv6: Callable[..., str]
) -> None:
    before = foreign_tables(host)
    services = [{"port": 9000, "from": [testing.own_ip(host), "fd00:6::/64"]}]
    run_play(host, firewall_services=services, firewall_ssh_limit=4, firewall_connection_limit=5)
    assert knock_by_ipv6(9000) == "open"
    assert testing.tcp_open(host_ip, 9000), live_rules(host)
    assert_filtered(host_ip, 8443)
    assert foreign_tables(host) == before
    assert testing.poll(lambda: six_knocks(host, host_ip), 120) == [True] * 4 + [False] * 2
    with ExitStack() as stack:
        for _connection in range(5):
            stack.enter_context(socket.create_connection((host_ip, 80), 30))
        assert testing.tcp_refused(host_ip, 443)
        assert [knock_by_ipv6(port) for port in (22, 80)] == ["open"] * 2, "a limit of one source held up another"


@pytest.mark.usefixtures("with_foreign_tables")
def test_the_unit_leaves_other_tables_alone(host: Host, host_ip: str) -> None:
    before = foreign_tables(host)
    for verb in ("reload", "restart"):
        host.check_output(f"systemctl {verb} {UNIT}")
        assert_filtered(host_ip, 8080)
        assert foreign_tables(host) == before
    host.check_output(f"systemctl stop {UNIT}")
    assert testing.tcp_open(host_ip, 8080)
    assert foreign_tables(host) == before
    host.check_output(f"systemctl start {UNIT}")
    assert_filtered(host_ip, 8080)
    assert foreign_tables(host) == before


def test_the_kernel_is_compared_with_the_rules(host: Host) -> None:
    """By the program; that a play acts on it is proved below."""
    declared = live_rules(host)
    assert differs(host) == ""
    host.check_output("nft add rule inet groundwork input tcp dport 8080 accept")
    assert "The kernel's rules differ" in differs(host)
    host.check_output(f"{PROGRAM} revert")
    assert live_rules(host) == declared
    assert differs(host) == ""


@pytest.mark.usefixtures("as_converged")
def test_rules_of_an_earlier_version_stay_in_force_until_others_are_confirmed(host: Host, host_ip: str) -> None:
    """That version had no confirmed rules: what is in force is what the boot loads, and what a revert goes back to."""
    declared = live_rules(host)
    host.check_output(f"rm {CONFIRMED} && sed -i 's/dport 443 /dport 444 /' {RULES} && {PROGRAM} prepare")
    host.check_output(f"{PROGRAM} apply")
    assert live_rules(host) != declared
    assert "in force, but not confirmed" in differs(host)
    host.check_output(f"{PROGRAM} revert")
    assert live_rules(host) == declared
    assert testing.tcp_open(host_ip, 443)


def test_rules_come_back_with_nftables_service(host: Host, host_ip: str) -> None:
    """Somebody who runs nftables.service empties all tables at each of its restarts; ours is loaded after it."""
    host.check_output("systemctl start nftables.service")
    assert "The kernel's rules differ" in differs(host)
    host.check_output(f"systemctl restart {UNIT}")
    for verb in ("restart", "reload"):
        host.check_output(f"systemctl {verb} nftables.service")
        assert testing.poll(lambda: testing.tcp_refused(host_ip, 8080)), testing.journal(host, UNIT)
        assert testing.tcp_open(host_ip, 80)
    host.check_output(f"systemctl stop nftables.service && systemctl start {UNIT}")


def test_rules_that_would_shut_us_out_and_wrong_sources_are_refused(host: Host) -> None:
    before, file = live_rules(host), host.file(RULES).content_string
    outcome = testing.play(host, "refused.yml")
    said = testing.said(outcome)
    assert "firewall_ssh_ports is [2222], but this connection came in on port 22: it would be shut out" in said
    assert "Names are refused: db.example.org." in said
    assert "put back as it was" in said
    assert "rescued=3 " in outcome.stdout
    assert "changed=0 " in outcome.stdout
    assert (live_rules(host), host.file(RULES).content_string) == (before, file)


def test_it_can_be_switched_off(host: Host, host_ip: str) -> None:
    """Even where the unit stops without removing its table, as with this drop-in. The next test switches it on."""
    drop_in = f"/run/systemd/system/{UNIT}.d"
    host.check_output(f"mkdir -p {drop_in} && printf '[Service]\\nExecStop=\\n' >{drop_in}/keep.conf")
    host.check_output("systemctl daemon-reload")
    assert "changed=1 " in run_play(host, firewall_enabled=False)
    assert not host.service(UNIT).is_running
    assert not host.service(UNIT).is_enabled
    assert host.run("nft list table inet groundwork").rc != 0
    assert testing.tcp_open(host_ip, 8080)
    host.check_output(f"rm -r {drop_in} && systemctl daemon-reload")


@pytest.mark.usefixtures("as_converged")
def test_switched_on_it_keeps_the_port_of_this_very_connection_open(host: Host, host_ip: str) -> None:
    """To an sshd on another port, that one stays open and 22 is closed; the play ends over the same connection.

    The port is asked for by the role itself: this play gathers no facts, and none of another connection are kept.
    """
    host.check_output("systemd-run --unit=other-sshd /usr/sbin/sshd -D -p 2222")
    assert testing.poll(lambda: testing.tcp_open(host_ip, 2222))
    run_play(host, ansible_host=host_ip, ansible_port=2222, ansible_timeout=60, ansible_ssh_args=ALONE)
    assert testing.tcp_open(host_ip, 2222)
    assert_filtered(host_ip, 22)
    assert_filtered(host_ip, 8080)
    assert host.service(UNIT).is_enabled
    host.check_output("systemctl stop other-sshd")


def test_rules_are_there_after_a_reboot(host: Host) -> None:
    declared = live_rules(host)
    testing.restart_host(host)
    address = testing.host_ip(host)
    assert testing.poll(lambda: testing.tcp_open(address, 80))
    assert_filtered(address, 8080)
    assert live_rules(host) == declared
    order = host.check_output(f"systemctl show --property=Before --value {UNIT}").split()
    assert {"network-pre.target", "sysinit.target"} <= set(order)
    assert not host.service("nftables.service").is_running


def test_a_rerun_heals_the_rules_and_changes_nothing_else(host: Host, host_ip: str) -> None:
    declared = live_rules(host)
    host.check_output("nft flush ruleset")
    assert testing.tcp_open(host_ip, 8080)
    assert "changed=1 " in run_play(host, "--check")
    assert testing.tcp_open(host_ip, 8080), "a dry run changed the rules"
    assert "changed=1 " in run_play(host)
    assert_filtered(host_ip, 8080)
    assert live_rules(host) == declared
