"""Who listens on a port: real sockets of this machine, and /proc as it reads on others."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils import listeners
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import in_words, port_holders

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound
TCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


@pytest.fixture(
    params=[(socket.SOCK_STREAM, "127.0.0.1"), (socket.SOCK_STREAM, "::1"), (socket.SOCK_DGRAM, "127.0.0.1")]
)
def bound(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    kind, address = request.param
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as made:
        try:
            made.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        if kind == socket.SOCK_STREAM:
            made.listen()
        yield made


def own(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of this process: another may have a port of the same number, of another protocol or address."""
    return [one for one in found if one["pid"] == os.getpid()]


def test_a_socket_of_this_process(bound: socket.socket) -> None:
    address, port = bound.getsockname()[:2]
    (found,) = own(listeners.listeners([port]))
    protocol = "tcp" if bound.type == socket.SOCK_STREAM else "udp"
    assert (found["port"], found["protocol"], found["address"]) == (port, protocol, address)
    assert (found["pid"], found["program"]) == (os.getpid(), os.readlink("/proc/self/exe"))


def test_a_connection_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert own(listeners.listeners([client.getsockname()[1]])) == []


class Proc:
    """A /proc of another host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/net").mkdir(parents=True)
        for name in ("tcp", "tcp6", "udp", "udp6"):
            self.table(name)

    def table(self, name: str, *rows: str) -> None:
        (self.root / "proc/net" / name).write_text(TCP + "".join(rows))

    def process(self, pid: int, name: str, cgroup: str, *inodes: int) -> None:
        directory = self.root / "proc" / str(pid)
        (directory / "fd").mkdir(parents=True)
        (directory / "comm").write_text(f"{name}\n")
        (directory / "cgroup").write_text(cgroup)
        (directory / "exe").symlink_to(f"/usr/sbin/{name} (deleted)")
        for number, inode in enumerate(inodes):
            (directory / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
        (directory / "fd/99").symlink_to("/dev/null")


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def row(address: str, inode: int, state: str = "0A") -> str:
    return (
        f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000    33        0 {inode} 1 0 100\n"
    )


class Answers:
    """What systemctl and dpkg-query print."""

    def __init__(self, **printed: str) -> None:
        self.printed = printed

    def run(self, argv: Sequence[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        name = os.path.basename(argv[0]).replace("-", "_")
        if name not in self.printed:
            raise FileNotFoundError(argv[0])
        return subprocess.CompletedProcess(argv, 0, self.printed[name], "")


def test_workers_of_a_server_are_one_listener(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", Answers(dpkg_query="nginx, nginx-light:amd64: /usr/sbin/nginx\n").run)
    proc.table("tcp", row("00000000:0050", 11), row("0100007F:0051", 12), row("00000000:0050", 13, "01"))
    for pid in (41, 40, 42):
        proc.process(pid, "nginx", "0::/system.slice/nginx.service\n", 11)
    (found,) = listeners.listeners((80, 443), proc.root)
    assert found == {
        "port": 80,
        "protocol": "tcp",
        "address": EVERYWHERE,
        "uid": 33,
        "pid": 40,
        "name": "nginx",
        "program": "/usr/sbin/nginx",
        "unit": "nginx.service",
        "package": "nginx",
    }
    assert in_words(found) == "nginx (pid 40, unit nginx.service, package nginx)"


def test_a_unit_with_many_files_holds_up_nobody(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not looked at is named by its account."""
    monkeypatch.setattr(listeners, "MOST_OPEN", 2)
    monkeypatch.setattr(listeners, "MOST_OF_UNIT", 4)
    proc.table("tcp", row("00000000:0050", 1))
    for pid in (40, 41, 42):
        proc.process(pid, "many", "0::/system.slice/many.service", 1, 1, 1, 1)
    read: list[str] = []

    def target(path: str) -> str:
        read.append(path)
        return "/dev/null"

    monkeypatch.setattr(os, "readlink", target)
    (found,) = listeners.listeners((80,), proc.root)
    assert (found["pid"], found["uid"]) == (0, 33)
    assert len(read) == 4


@pytest.mark.parametrize(
    ("table", "address", "readable"),
    [
        ("tcp", "057100CB:01BB", "203.0.113.5"),
        ("tcp6", f"{'0' * 32}:01BB", "::"),
        ("tcp6", "B80D0120000000000000000007000000:01BB", "2001:db8::7"),
        ("tcp6", "0000000000000000FFFF0000057100CB:01BB", "203.0.113.5"),
    ],
)
def test_addresses_as_they_are_written(proc: Proc, table: str, address: str, readable: str) -> None:
    proc.table(table, row(address, 11))
    (found,) = listeners.listeners((443,), proc.root)
    assert (found["address"], found["pid"], found["name"]) == (readable, 0, "")
    assert in_words(found) == "a program that cannot be seen from here"


def test_what_other_machines_may_reach(proc: Proc) -> None:
    proc.table("tcp", row("00000000:08AE", 11), row("0100007F:0CEA", 12))
    proc.table("udp", row("00000000:0035", 13, "07"), row("00000000:0044", 14, "07"), row("00000000:9C40", 15, "07"))
    assert [one["port"] for one in listeners.from_elsewhere(proc.root)] == [53, 2222]


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/apache2.service\n", "apache2.service"),
        ("2:cpu:/\n1:name=systemd:/system.slice/haproxy.service\n0::/\n", "haproxy.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/web.service\n", "user@1000.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
        ("0::/system.slice/docker-0a1b.scope\n", "docker-0a1b.scope"),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_the_unit_of_a_process(tmp_path: Path, cgroup: str, unit: str) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    assert listeners.unit_of(tmp_path / "cgroup") == unit


def test_a_socket_unit_is_named_where_systemd_listens(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "Listen=[::]:443 (Stream)\nId=web.socket\n\nId=docker.socket\nListen=/run/docker.sock (Stream)\n"
    monkeypatch.setattr(programs, "run", Answers(systemctl=shown).run)
    proc.table("tcp6", row(f"{'0' * 32}:01BB", 11))
    proc.process(1, "systemd", "0::/init.scope\n", 11)
    proc.process(70, "web", "0::/system.slice/web.service\n", 11)
    assert [one["unit"] for one in listeners.listeners((443,), proc.root)] == ["web.socket", "web.service"]


@pytest.mark.parametrize(
    "text",
    [
        "nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)",
        "nginx: [emerg] bind() to [::]:80 failed (98: Address already in use)",
        "(98)Address already in use: AH00072: make_sock: could not bind to address [::]:80",
        "2026/11/29 20:00:22 [emerg] bind() to 0.0.0.0:80 failed",
    ],
)
def test_what_a_server_says_of_a_port_that_is_held(proc: Proc, text: str) -> None:
    proc.table("tcp", row("00000000:0050", 11), row("00000000:0016", 12))
    proc.process(40, "apache2", "0::/system.slice/apache2.service\n", 11)
    proc.process(41, "sshd", "0::/system.slice/ssh.service\n", 12)
    assert port_holders(text, proc.root) == ["port 80 is held by apache2 (pid 40, unit apache2.service)"]


def test_other_failures_name_no_program(proc: Proc) -> None:
    proc.table("tcp", row("00000000:0050", 11))
    assert port_holders("GET / 127.0.0.1:80\ncannot load certificate", proc.root) == []
