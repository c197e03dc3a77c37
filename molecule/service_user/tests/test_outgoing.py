"""The outgoing policy of an account, asked from inside a sandbox as apps have it."""

from __future__ import annotations

import outside
import pytest
import testing
from ansible_collections.groundwork.flask.plugins.module_utils.outgoing import rules
from ansible_collections.groundwork.flask.plugins.module_utils.outgoing.policies import Destination, Policy
from testinfra.host import Host
from testing import on_host

LISTED, OTHER = "192.0.2.10", "192.0.2.20"
LISTED6, OTHER6, OWN6 = "2001:db8:77::10", "2001:db8:77::20", "2001:db8:77::1"
REFUSED = "ConnectionRefusedError"
PROGRAM = f"{on_host('programs')}/outgoing"
BUILD = on_host("build_group")


@pytest.fixture(autouse=True)
def beyond(host: Host) -> None:
    """Servers beyond the host; a reboot takes them away."""
    if host.run(f"ip netns pids {outside.NAMESPACE}").stdout == "":
        outside.build(host)


def test_nft_takes_each_name_of_an_app_and_each_form_of_a_destination(host: Host) -> None:
    listed = (
        Destination((LISTED, LISTED6, "192.0.2.0/24", "2001:db8::/32"), ("443", "8000-8010"), "tcp"),
        Destination(("any",), ("53",), "udp"),
    )
    policies = [
        Policy(name, 900 + number, listed if number % 2 else ())
        for number, name in enumerate(("limit", "my-shop_2", "log", "ip", "a" * 30))
    ]
    text = rules.table(policies, ["192.0.2.53", "2001:db8::53"], 990)
    host.check_output("printf %%s %s | unshare --net nft --check --file -", text)


def test_metadata_is_closed_to_each_account_and_refused_at_once(host: Host) -> None:
    address = outside.METADATA
    closed = [f"tcp {address} 80", f"tcp ::ffff:{address} 80", f"mptcp {address} 80", f"udp {address} 8000"]
    for account in ("shop", "blog", "inner"):
        assert outside.ask(host, account, *closed) == [REFUSED] * 3 + ["PermissionError"]
    assert outside.ask(host, "cloud", *closed) == ["hello"] * 4
    # That is where Google's and Oracle's name servers are.
    assert outside.ask(host, "blog", f"udp {address} 53", f"tcp {address} 53") == ["hello"] * 2
    assert outside.ask(host, "blog", f"tcp {OTHER} 80", f"udp {OTHER6} 80") == ["hello"] * 2


def test_an_account_reaches_what_its_list_names_and_nothing_else(host: Host) -> None:
    named = [f"tcp {LISTED} 8000", f"tcp {LISTED6} 8001", f"tcp ::ffff:{LISTED} 8000", f"udp {LISTED} 8002"]
    assert outside.ask(host, "shop", *named) == ["hello"] * 4
    others = [f"tcp {LISTED} 80", *(f"tcp {one} 8000" for one in (OTHER, OTHER6, f"::ffff:{OTHER}"))]
    assert outside.ask(host, "shop", *others, f"mptcp {OTHER} 8000") == [REFUSED] * 5
    packets = [f"udp {LISTED} 8000", f"udp {OTHER} 8002", f"udp {LISTED6} 8002", f"udp {OTHER} 53"]
    assert outside.ask(host, "shop", *packets) == ["PermissionError"] * 4
    assert outside.ask(host, "inner", *named) == [REFUSED] * 3 + ["PermissionError"]


def test_the_host_itself_is_open_and_root_is_not_held_to_anything(host: Host) -> None:
    local = ["tcp 127.0.0.1 22", "tcp ::1 22"]
    host.check_output("systemctl is-active ssh.socket ssh.service | grep -q ^active || systemctl start ssh.service")
    for account in ("shop", "inner"):
        assert [one[:3] for one in outside.ask(host, account, *local)] == ["SSH"] * 2
    assert outside.ask(host, "root", f"tcp {outside.METADATA} 80", f"tcp {OTHER} 80") == ["hello"] * 2


def test_a_build_reaches_an_index_and_no_metadata(host: Host) -> None:
    asked = [f"tcp {OTHER} 80", f"udp {OTHER} 80", f"tcp {outside.METADATA} 80"]
    for account in ("shop", "inner"):
        assert outside.ask(host, account, *asked, group=BUILD) == ["hello", "hello", REFUSED]


def test_an_account_cannot_take_the_group_of_builds(host: Host) -> None:
    """No way to it from inside: neither a change of group, nor a file that would give it."""
    number = host.check_output(f"getent group {BUILD}").split(":")[2]
    script = f"import os\nfor call in (lambda: os.setgid({number}), lambda: os.chown('/tmp', -1, {number})):\n try: call(); print('taken')\n except OSError as error: print(error.errno in (1, 22))"  # noqa: E501 - one program
    properties = ["User=shop", "Group=shop", *outside.SANDBOX]
    unit = " ".join(f"--property='{one}'" for one in properties)
    shown = host.check_output(f"systemd-run --quiet --pipe --wait --collect {unit} /usr/bin/python3 -c %s", script)
    assert shown.split() == ["True", "True"]


def test_an_account_cannot_pass_off_what_it_sends_as_an_answer(host: Host) -> None:
    """Any process can send to the host itself from a foreign IPv6 address, and then seems to be asked from there."""
    script = (
        "import socket; foreign, own = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))\n"
        f"foreign.setsockopt(41, 78, 1); foreign.bind(('{OTHER6}', 8002))\n"  # IPPROTO_IPV6, IPV6_FREEBIND
        f"own.bind(('{OWN6}', 4444)); own.settimeout(3)\n"
        f"for one, to in ((foreign, ('{OWN6}', 4444)), (own, ('{OTHER6}', 8002))):\n"
        " try: one.sendto(b'x', to); print('sent')\n"
        " except OSError as error: print(type(error).__name__)"
    )
    properties = " ".join(f"--property='{one}'" for one in ("User=inner", "Group=inner", *outside.SANDBOX))
    shown = host.check_output(
        f"systemd-run --quiet --pipe --wait --collect {properties} /usr/bin/python3 -c %s", script
    )
    assert shown.split() == ["PermissionError"] * 2


def test_a_narrower_policy_ends_connections_that_are_open(host: Host) -> None:
    """Each packet is judged for itself."""
    policy = f"{on_host('outgoing')}/blog.json"
    before = host.file(policy).content_string
    script = (
        f"import socket, time; one = socket.create_connection(('{OTHER}', 8001)); one.settimeout(60)\n"
        "try:\n while True: print(one.recv(9).decode(), flush=True); time.sleep(0.2); one.send(b'x')\n"
        "except OSError as error: print(type(error).__name__)"
    )
    try:
        host.check_output(
            "systemd-run --quiet --collect --unit=held --property=User=blog --property=StandardOutput=file:/run/held "
            "/usr/bin/python3 -c %s",
            script,
        )
        assert testing.poll(lambda: "hello" in host.run("cat /run/held").stdout)
        host.check_output(f"echo '{{\"outgoing\": []}}' >{policy} && systemctl reload groundwork-outgoing.service")
        assert testing.poll(lambda: "Connection" in host.run("cat /run/held").stdout)
    finally:
        host.run(f"printf %s '{before}' >{policy} && systemctl reload groundwork-outgoing.service")


def test_name_servers_follow_the_host_s(host: Host) -> None:
    """With another /etc/resolv.conf the rules are loaded again."""
    before = host.file("/etc/resolv.conf").content_string
    try:
        host.check_output(f"echo 'nameserver {OTHER}' >/etc/resolv.conf")
        rules = f"nft list table inet groundwork_apps | grep 'daddr {OTHER} udp'"
        assert testing.poll(lambda: host.run(rules).rc == 0)
        asked = [f"{protocol} {OTHER} 53" for protocol in ("udp", "tcp")]
        assert outside.ask(host, "shop", *asked, f"udp {LISTED} 53") == ["hello", "hello", "PermissionError"]
        assert outside.ask(host, "inner", f"udp {OTHER} 53") == ["PermissionError"]
    finally:
        host.check_output("printf %s >/etc/resolv.conf", before)


def test_rules_are_there_after_a_reboot_and_without_an_account_that_is_gone(host: Host) -> None:
    host.check_output("userdel cloud")
    testing.restart_host(host)
    outside.build(host)
    began = "systemctl show --property=ActiveEnterTimestampMonotonic --value"
    units = ("groundwork-outgoing.service", "sysinit.target")
    rules, others = (int(host.check_output(f"{began} {unit}")) for unit in units)
    assert 0 < rules < others
    assert host.check_output("systemctl is-active groundwork-outgoing-names.path") == "active"
    assert outside.ask(host, "blog", f"tcp {outside.METADATA} 80", f"tcp {OTHER} 80") == [REFUSED, "hello"]
    assert outside.ask(host, "shop", f"tcp {OTHER} 8000", f"tcp {LISTED} 8000") == [REFUSED, "hello"]
    assert host.check_output(f"{PROGRAM} hold --dry-run") == ""
    host.check_output("nft flush table inet groundwork_apps")
    assert "They were loaded again." in host.check_output(f"{PROGRAM} hold")
    assert host.check_output(f"{PROGRAM} hold --dry-run") == ""
