"""What the role keeps of the machine, in effect."""

from __future__ import annotations

from testinfra.host import Host


def test_core_dumps_are_off(host: Host) -> None:
    assert "ProcessSizeMax=0" in host.check_output("systemd-analyze cat-config systemd/coredump.conf")
