"""What the journal of an app keeps, and that short units start in it."""

from __future__ import annotations

import shlex

import pytest
import testing
from testinfra.host import Host

DROP_IN = "/etc/systemd/system/systemd-journald-sync@.service.d/groundwork.conf"
# Five processes that log as fast as they can, each so many lines.
WRITE = """
import os, sys
for number in range(5):
    if os.fork() == 0:
        for line in range(int(sys.argv[1])):
            os.write(1, b"counted %d %06d %s\\n" % (number, line, b"x" * 60))
        os._exit(0)
for number in range(5):
    os.wait()
"""


def log(host: Host, app: str, lines: int) -> None:
    """Log 5 times as many lines into the journal of an app, by a unit of its account."""
    unit = ["systemd-run", "--quiet", "--wait", f"--property=LogNamespace={app}", f"--property=User={app}"]
    host.check_output(shlex.join([*unit, "/usr/bin/python3", "-c", WRITE, str(lines)]))
    host.check_output(f"journalctl --namespace={app} --sync")


def counted(host: Host, app: str) -> int:
    return int(host.run(f"journalctl --namespace={app} --output=cat --quiet | grep -c ^counted").stdout)


def size(host: Host, app: str) -> float:
    """MB that the journal takes of the disk; its files have holes."""
    return int(host.check_output(f"du --block-size=1K --summarize /var/log/journal/*.{app}").split()[0]) / 2**10


def short_units(host: Host, number: int) -> list[int]:
    """The exit statuses of units that come and go in a namespace in which nothing else runs."""
    host.check_output("systemctl stop jit@r1.socket jit@r1.service")
    unit = "systemd-run --quiet --wait --property=LogNamespace=jit true >/dev/null 2>&1; echo $?"
    return [int(status) for status in host.check_output(f"for i in $(seq {number}); do {unit}; done").split()]


def test_short_units_start_in_an_empty_namespace(host: Host) -> None:
    assert short_units(host, 10) == [0] * 10


@pytest.mark.full
@pytest.mark.suite("trixie")
def test_systemd_257_needs_the_drop_in(host: Host) -> None:
    """Once this fails, the drop-in can go. Without it, a unit fails that comes while the one before it goes."""
    host.check_output(f"mv {DROP_IN} /root/kept; systemctl daemon-reload")
    try:
        assert any(any(short_units(host, 10)) for _turn in range(20))
    finally:
        host.check_output(f"mv /root/kept {DROP_IN}; systemctl daemon-reload; systemctl reset-failed")
    assert short_units(host, 10) == [0] * 10


@pytest.mark.full
def test_without_a_limit_every_line_is_kept(host: Host) -> None:
    host.check_output("systemctl start jit@r1.socket jit@r1.service")
    before = counted(host, "jit")
    log(host, "jit", 20_000)
    assert testing.poll(lambda: counted(host, "jit") == before + 100_000, 120), counted(host, "jit")


@pytest.mark.full
def test_the_cap_holds(host: Host) -> None:
    """Whatever is written, by whoever wants to fill the disk: 20 MB of the role, for the shop."""
    host.check_output("systemctl start shop@r1.socket shop@r1.service")
    for _unit in range(4):
        log(host, "shop", 15_000)
    assert 8 < size(host, "shop") <= 20
