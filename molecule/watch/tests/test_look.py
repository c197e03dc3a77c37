"""What goes wrong on a host is told once, and so is its end: the look as its unit runs it, and what starts it.

tests/unit/test_watch_look.py has each condition; here are those whose signs systemd, the kernel or the proxy give.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

import pytest
import testing
from testinfra.host import Host
from testing import on_host

PROGRAM = f"{on_host('programs')}/watch"
STATE, SETTINGS = on_host("watch"), f"{on_host('configuration')}/watch.json"
TOLD = "/root/told"  # what the receiver of the inventory was told
ANSWER = f"{on_host('data', 'moody')}/answer"
CACHE = on_host("cache", "moody")
# Waits until the units that deliver messages are at their end. What is put while one ends waits for the next look.
DELIVERED = """
until ! systemctl show -P ActiveState groundwork-alerts.service groundwork-alerts-commands.service | grep -q activating
do sleep 0.1; done
"""


@pytest.fixture(autouse=True)
def _well(host: Host) -> Iterator[None]:
    """A host of which nothing is told when a test begins; the looks are the test's."""
    host.check_output(f"systemctl stop groundwork-watch.timer; rm -f {ANSWER} {STATE}/memory.json")
    look(host)
    host.check_output("systemctl stop groundwork-alerts.service groundwork-alerts-commands.service")
    # With the messages of the tests before, which count for what a receiver gets within an hour.
    host.check_output(f"rm -f {TOLD} {STATE}/memory.json {STATE}/outbox/commands/*")
    yield
    host.check_output(f"rm -f {ANSWER} {STATE}/memory.json; systemctl start groundwork-watch.timer")


def look(host: Host, times: int = 1) -> None:
    """Look as the timer has it, each time when what the look before has to tell is delivered."""
    one = f"systemctl start groundwork-watch.service || exit 1; {DELIVERED}"
    host.check_output(f"for _ in $(seq {times}); do {one} done")


def told(host: Host) -> list[str]:
    """What the receiver was told, in order, of what this test has done."""
    rows = [json.loads(row) for row in host.run(f"cat {TOLD}").stdout.splitlines() if row.strip()]
    changes = [change for row in rows for change in row["changes"]]
    return [" ".join(filter(None, (one["event"], one["subject"], one["kind"], one["part"]))) for one in changes]


def is_told(host: Host, *wanted: str) -> bool:
    """Whether just that was told; the message is under way when the look has ended."""
    testing.poll(lambda: len(told(host)) >= len(wanted), seconds=120)
    assert told(host) == list(wanted), host.run(f"cat {TOLD}; journalctl -t watch -n 20 --no-pager").stdout
    return True


@contextlib.contextmanager
def full_cache(host: Host) -> Iterator[None]:
    """A file system with next to no space left."""
    host.check_output(
        f"mount -t tmpfs -o size=1m tmpfs {CACHE} && head -c 1040000 /dev/zero >{CACHE}/x",
    )
    try:
        yield
    finally:
        host.check_output(f"umount {CACHE}")


def test_an_app_that_answers_500_is_told_by_the_first_look_and_its_recovery_by_the_next(host: Host) -> None:
    host.check_output(f"echo 500 >{ANSWER}")
    look(host)
    assert is_told(host, "alert moody health")
    look(host, 2)
    host.check_output(f"rm {ANSWER}")
    look(host, 2)
    assert is_told(host, "alert moody health", "resolved moody health")
    assert host.check_output(f"{PROGRAM} status").endswith("Nothing is wrong.")


def test_a_dead_web_server_is_told_once_for_all_sites(host: Host) -> None:
    host.check_output("systemctl stop nginx")
    try:
        look(host, 3)
        assert is_told(host, "alert host proxy")
    finally:
        host.check_output("systemctl start nginx")
    look(host, 2)
    assert is_told(host, "alert host proxy", "resolved host proxy")


def test_a_job_that_fails_is_told_without_waiting_for_the_next_look(host: Host) -> None:
    host.check_output(f"touch {on_host('data', 'moody')}/fail")
    try:
        host.run("systemctl start --wait moody.nightly.service")
        assert is_told(host, "alert moody job nightly")
    finally:
        host.check_output(f"rm {on_host('data', 'moody')}/fail")
        host.check_output("systemctl start --wait moody.nightly.service")


def test_a_unit_of_ours_that_fails_is_told_and_what_tells_does_not_tell_of_itself(host: Host) -> None:
    file = "/etc/systemd/system/groundwork-test.service"
    host.check_output(
        f"printf '[Service]\\nType=oneshot\\nExecStart=/bin/sh -c \"echo the reason; exit 3\"\\n' >{file}"
        " && systemctl daemon-reload"
    )
    try:
        host.run("systemctl start groundwork-test.service")
        assert is_told(host, "alert host unit groundwork-test.service")
        assert "the reason" in host.check_output(f"cat {TOLD}")
    finally:
        host.check_output(f"systemctl reset-failed groundwork-test; rm {file}; systemctl daemon-reload")
    units = "groundwork-failed@x.service groundwork-watch.service groundwork-alerts.service"
    assert host.check_output(f"systemctl show --value -p OnFailure {units}").split() == []


def test_a_full_file_system_is_told(host: Host) -> None:
    with full_cache(host):
        look(host, 3)
        assert is_told(host, f"alert host disk {CACHE}")


def test_looks_are_confined(host: Host) -> None:
    units = "groundwork-watch.service groundwork-failed@x.service"
    shown = host.check_output(f"systemd-analyze security --no-pager {units}")
    figures = [float(row.rpartition(": ")[2].split()[0]) for row in shown.splitlines() if "Overall exposure" in row]
    assert figures
    assert max(figures) <= 1.5
    assert host.check_output(f"stat -c %a {STATE} {STATE}/look.json {SETTINGS}").split() == ["700", "600", "600"]


@pytest.mark.full
def test_the_timer_tells_within_35_seconds(host: Host) -> None:
    """A look begins within that time, and the first one tells, as above; how long it takes is the machine's."""

    def started() -> float:
        ask = "systemctl show -P InactiveExitTimestampMonotonic groundwork-watch.service"
        return int(host.check_output(ask)) / 1e6

    def after(moment: float) -> float:
        return testing.poll(lambda: found if (found := started()) > moment else 0.0, 120)

    before = started()
    host.check_output("systemctl start groundwork-watch.timer")
    first = after(before)
    testing.poll(lambda: host.check_output("systemctl is-active groundwork-watch.service || true") == "inactive")
    host.check_output(f"echo 500 >{ANSWER}")
    second = after(first)
    assert before < first < second < first + 35
    assert is_told(host, "alert moody health")
    host.check_output(f"rm {ANSWER}")
    assert is_told(host, "alert moody health", "resolved moody health")


@pytest.mark.full
def test_a_site_that_only_outside_sees_as_down_is_told(host: Host) -> None:
    host.check_output("echo '127.0.0.99 moody.test' >>/etc/hosts; nft add table ip test_outside")
    try:
        host.check_output(
            "nft 'add chain ip test_outside out { type filter hook output priority -10; }' && "
            "nft add rule ip test_outside out ip daddr 127.0.0.99 tcp dport 443 reject with tcp reset"
        )
        look(host, 3)
        assert is_told(host, "alert moody outside")
    finally:
        host.check_output("sed '/127.0.0.99/d' /etc/hosts >/root/hosts; cat /root/hosts >/etc/hosts")
        host.check_output("nft delete table ip test_outside")


@pytest.mark.full
def test_a_reboot_tells_nothing(host: Host) -> None:
    host.check_output(f'sed -i \'s/"boot_grace": 0/"boot_grace": 180/\' {SETTINGS}')
    try:
        host.check_output("systemctl start groundwork-watch.timer")
        testing.restart_host(host)
        time.sleep(70)  # two looks and more, of which the first comes while all starts
        assert told(host) == []
        assert host.check_output("systemctl is-active groundwork-watch.timer") == "active"
    finally:
        host.check_output(f'sed -i \'s/"boot_grace": 180/"boot_grace": 0/\' {SETTINGS}')
