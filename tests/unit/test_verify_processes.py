"""Processes and sockets of a host, as /proc shows them: an app's code run by hand, and what listens undeclared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import listeners
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.verify import processes
from ansible_collections.groundwork.flask.plugins.module_utils.verify.expected import Expected, ExpectedApp, Port
from ansible_collections.groundwork.flask.plugins.module_utils.verify.sockets import sockets
from ansible_collections.groundwork.flask.plugins.module_utils.verify.updates import reboot
from ansible_collections.groundwork.flask.tests.unit.verify_host import FakeHost, bad

SHOP = Expected({"shop": ExpectedApp("shop")})
HOME = on_host("home", "shop")
PYTHON = f"{HOME}/current/venv/bin/python"


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    found = FakeHost(tmp_path)
    found.write("/etc/passwd", "root:x:0:0::/:/bin/sh\nshop:x:990:990::/:/bin/false\nann:x:1000:1000::/:/bin/sh\n")
    found.write("/proc/1/cgroup", "0::/init.scope\n")
    return found


def runs(
    host: FakeHost, pid: int, uid: int, *argv: str, exe: str = "/usr/bin/python3.11", cwd: str = "/", unit: str = ""
) -> None:
    """Have a process run; `unit` is its control group."""
    at = f"/proc/{pid}"
    host.write(f"{at}/cmdline", "\0".join(argv) + "\0")
    host.write(f"{at}/status", f"Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
    host.write(f"{at}/cgroup", f"0::{unit or '/system.slice/cron.service'}\n")
    for name, target in (("exe", exe), ("cwd", cwd)):
        os.symlink(target, host.root / f"proc/{pid}/{name}")


class TestByHand:
    @pytest.mark.parametrize(
        ("argv", "exe", "cwd", "uid", "who"),
        [
            ((PYTHON, f"{HOME}/current/venv/bin/flask", "run"), "/usr/bin/python3.11", "/root", 0, "root"),
            (("flask", "run"), "/usr/bin/python3.11", f"{HOME}/releases/1/code", 1000, "ann"),
            (("python3", f"{HOME}/current/code/app.py"), "/usr/bin/python3.11", "/", 0, "root"),
            (("./tool",), f"{HOME}/releases/1/venv/bin/tool", "/", 4711, "4711"),
        ],
    )
    def test_code_of_an_app_that_runs_as_another(
        self, host: FakeHost, argv: tuple[str, ...], exe: str, cwd: str, uid: int, who: str
    ) -> None:
        runs(host, 40, uid, *argv, exe=exe, cwd=cwd)
        (text,) = bad(host.found(processes.by_hand, SHOP))
        assert f"(pid 40, cron.service) is code of shop, and runs as {who}." in text

    def test_as_the_app_outside_of_its_units(self, host: FakeHost) -> None:
        runs(host, 40, 990, "/bin/sh", exe="/usr/bin/dash", unit="/user.slice/user-0.slice/session-1.scope")
        (text,) = bad(host.found(processes.by_hand, SHOP))
        assert "(pid 40, session-1.scope) runs as shop outside of its units" in text

    @pytest.mark.parametrize(
        ("argv", "exe", "cwd", "uid", "unit"),
        [
            ((PYTHON, "-m", "gunicorn"), "/usr/bin/python3.11", f"{HOME}/current/code", 990, "shop@1.service"),
            ((PYTHON, "worker"), "/usr/bin/python3.11", HOME, 990, "shop.worker@1.service"),
            ((PYTHON, "probe"), "/usr/bin/python3.11", HOME, 990, "groundwork-release@shop.import.7-1.service"),
            (
                ("/usr/bin/restic", "backup", on_host("data", "shop")),
                "/usr/bin/restic",
                "/",
                0,
                "groundwork-backup.service",
            ),
            # An operator who looks around runs nothing of the app's.
            (("-bash",), "/usr/bin/bash", HOME, 0, "session-1.scope"),
            (("vim", f"{HOME}/current/code/app.py"), "/usr/bin/vim", "/", 1000, "session-1.scope"),
            (("tail", "-f", f"{HOME}/x"), "/usr/bin/tail", "/", 0, "session-1.scope"),
            ((PYTHON,), "/usr/bin/python3.11", HOME, 0, "docker/0123"),
        ],
    )
    def test_what_is_right(
        self, host: FakeHost, argv: tuple[str, ...], exe: str, cwd: str, uid: int, unit: str
    ) -> None:
        runs(host, 40, uid, *argv, exe=exe, cwd=cwd, unit=f"/system.slice/{unit}")
        assert bad(host.found(processes.by_hand, SHOP)) == []

    def test_a_unit_of_the_user_s_own_manager(self, host: FakeHost) -> None:
        """Whoever runs one names its units."""
        unit = "/user.slice/user-990.slice/user@990.service/app.slice/groundwork-x.service"
        runs(host, 40, 990, "/bin/sh", exe="/usr/bin/dash", unit=unit)
        (text,) = bad(host.found(processes.by_hand, SHOP))
        assert "(pid 40, user@990.service) runs as shop outside of its units" in text

    def test_a_host_that_is_a_container_itself(self, host: FakeHost) -> None:
        host.write("/proc/1/cgroup", "9:name=systemd:/libpod/libpod-1/init.scope\n0::/libpod/libpod-1\n")
        runs(host, 40, 0, PYTHON)
        host.write("/proc/40/cgroup", "9:name=systemd:/libpod/libpod-1/system.slice/x.service\n")
        assert len(bad(host.found(processes.by_hand, SHOP))) == 1

    def test_its_words_forge_nothing(self, host: FakeHost) -> None:
        runs(host, 40, 990, "x\nok by_hand host\x1b[2J", "y" * 9000, unit="/a/session-1.scope")
        (text,) = bad(host.found(processes.by_hand, SHOP))
        assert text.isprintable()
        assert len(text) < 400


class TestReboot:
    def test_a_replaced_library(self, host: FakeHost) -> None:
        runs(host, 40, 0, "nginx", unit="/system.slice/nginx.service")
        gone = (
            "7f00-7f01 r-xp 00000000 08:01 42                         /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)"
        )
        host.write("/proc/40/maps", f"{gone}\n7f02-7f03 rw-s 00000000 00:01 1  /dev/zero (deleted)\n")
        assert bad(host.found(reboot)) == [
            "warning: nginx.service runs with files that an update has replaced: /usr/lib/x86_64-linux-gnu/libssl.so.3."
        ]

    def test_one_that_packages_ask_for(self, host: FakeHost) -> None:
        host.write("/run/reboot-required", "")
        host.write("/run/reboot-required.pkgs", "linux-image\nlibc6\nlibc6\n")
        assert bad(host.found(reboot)) == ["warning: A reboot is due, for libc6, linux-image."]

    def test_a_newer_kernel(self, host: FakeHost) -> None:
        host.write("/proc/sys/kernel/osrelease", "6.1.0-9-amd64\n")
        host.write("/boot/vmlinuz-6.1.0-9-amd64", "")
        assert bad(host.found(reboot)) == []
        host.write("/boot/vmlinuz-6.1.0-10-amd64", "")
        assert bad(host.found(reboot)) == ["warning: The kernel 6.1.0-10-amd64 is installed, and 6.1.0-9-amd64 runs."]
        host.write("/run/systemd/container", "podman")
        assert bad(host.found(reboot)) == []


class TestSockets:
    EXPECTED = Expected(firewall=True, ports=(Port(22, 22), Port(80, 80), Port(443, 443)), proxy="nginx")

    def found(
        self, host: FakeHost, monkeypatch: pytest.MonkeyPatch, expected: Expected = EXPECTED, **one: Any
    ) -> list[str]:
        listener = {
            "port": 80,
            "protocol": "tcp",
            "address": "192.0.2.7",
            "uid": 0,
            "pid": 0,
            "name": "x",
            "unit": "",
            "package": "",
        }
        ports = one.pop("ports", None) or [one.pop("port", 80)]
        every = [{**listener, **one, "port": port} for port in ports]
        monkeypatch.setattr(listeners, "listeners", lambda _ports, _root: every)
        return bad(host.found(sockets, expected))

    @pytest.mark.parametrize(
        "one",
        [
            {},
            {"port": 5432, "address": "127.0.0.1"},
            {"port": 5432, "address": "::1"},
            {"port": 443, "protocol": "udp"},
            {"port": 68, "protocol": "udp"},
            {"port": 40000, "protocol": "udp"},
        ],
    )
    def test_declared_or_local(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch, one: dict[str, Any]) -> None:
        assert self.found(host, monkeypatch, **one) == []

    def test_an_extra_one_behind_the_firewall(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        (text,) = self.found(host, monkeypatch, port=6379, address="::", name="redis", unit="redis.service")
        assert text == (
            "warning: redis (unit redis.service) listens on :: port 6379/tcp, which is not declared; the firewall lets "
            "nobody in there."
        )

    def test_one_that_the_firewall_does_not_hold_off(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        for expected, name in ((self.EXPECTED, "docker-proxy"), (Expected(ports=(Port(22, 22),)), "redis")):
            (text,) = self.found(host, monkeypatch, expected, port=6379, name=name)
            assert text.startswith("problem: ")

    def test_a_host_without_any_declaration(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.found(host, monkeypatch, Expected(proxy="nginx")) == []
        assert self.found(host, monkeypatch, Expected(), port=2222, name="sshd") == []
        assert len(self.found(host, monkeypatch, Expected(), port=2222)) == 1

    def test_sshd_behind_a_forwarded_port(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        """The inventory has the port of the controller's way; the rules have the one that sshd listens on."""
        expected = Expected(firewall=True, ports=(Port(2222, 2222),), proxy="nginx")
        assert len(self.found(host, monkeypatch, expected, port=22, name="sshd")) == 1
        host.write(f"{on_host('configuration')}/firewall.nft", '\t\ttcp dport 22 accept comment "SSH"\n')
        assert self.found(host, monkeypatch, expected, port=22, name="sshd") == []
        assert len(self.found(host, monkeypatch, expected, port=22, name="sshd", uid=998)) == 1

    def test_a_program_hides_neither_itself_nor_another(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the name of sshd, and by so many ports that no more are told."""
        host.write("/etc/passwd", "shop:x:998:998::/:/x\n")
        (text,) = self.found(host, monkeypatch, Expected(), port=2222, name="sshd", uid=998)
        assert text.startswith("problem: sshd, as shop, listens on 192.0.2.7 port 2222/tcp, which is not declared")
        (text,) = self.found(host, monkeypatch, ports=list(range(5000, 5100)), uid=998, unit="shop@1.service")
        assert "port 5000/tcp, 5001/tcp" in text
        assert "5007/tcp and 92 more, which is not declared; the firewall" in text
