"""What the roles need to know of a host, from files and programs as they are on Debian and Ubuntu."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.groundwork.flask.plugins.module_utils import host_facts
from ansible_collections.groundwork.flask.plugins.module_utils.common import ownership, programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import Ownership
from ansible_collections.groundwork.flask.plugins.modules import host_facts as module
from ansible_collections.groundwork.flask.plugins.plugin_utils import host_checks
from ansible_collections.groundwork.flask.tests.unit.module_call import Caller

DEBIAN = (
    'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\n'
    'VERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n'
)
UBUNTU = 'NAME="Ubuntu"\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n# a remark=1\n'


@pytest.mark.parametrize(
    ("os_release", "debian_version", "expected"),
    [
        (DEBIAN, "13.2\n", ("Debian", "13.2", "13", "trixie", "Debian")),
        (DEBIAN.replace("13", "14"), "forky/sid\n", ("Debian", "14", "14", "trixie", "Debian")),
        (UBUNTU, "trixie/sid\n", ("Ubuntu", "24.04", "24", "noble", "Debian")),
        ('NAME="Fedora Linux"\nVERSION_ID=43\nID=fedora\n', None, ("Fedora", "43", "43", "", "Fedora")),
        (None, None, ("", "", "", "", "")),
    ],
)
def test_distribution(
    tmp_path: Path, os_release: str | None, debian_version: str | None, expected: tuple[str, ...]
) -> None:
    (tmp_path / "etc").mkdir()
    for name, text in (("os-release", os_release), ("debian_version", debian_version)):
        if text is not None:
            (tmp_path / "etc" / name).write_text(text)
    assert tuple(host_facts.distribution(tmp_path).values()) == expected


def test_processors_and_memory(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:        2048000 kB\nMemFree:  17 kB\n")
    assert host_facts.size(tmp_path) == {"processor_nproc": len(os.sched_getaffinity(0)), "memtotal_mb": 2000}


class Programs:
    """What programs print, by their names."""

    def __init__(self, printed: dict[str, str], status: int = 0) -> None:
        self.printed, self.status = printed, status

    def run(self, argv: Sequence[str], **_options: object) -> subprocess.CompletedProcess[str]:
        if (name := os.path.basename(argv[0])) not in self.printed:
            raise FileNotFoundError(argv[0])
        return subprocess.CompletedProcess(argv, self.status, self.printed[name], "it is broken")


INTERFACES = [
    {
        "ifname": "lo",
        "addr_info": [{"family": "inet", "local": "127.0.0.1"}, {"family": "inet6", "local": "::1"}],
    },
    {
        "ifname": "eth0",
        "addr_info": [{"family": "inet", "local": "203.0.113.5"}, {"family": "inet6", "local": "fe80::1"}],
    },
    {},
]


def test_addresses_are_those_of_no_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", Programs({"ip": json.dumps(INTERFACES)}).run)
    assert host_facts.addresses() == {"all_ipv4_addresses": ["203.0.113.5"], "all_ipv6_addresses": ["fe80::1"]}


def test_packages_are_those_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "installed nginx\nconfig-files apache2\ninstalled libc6\ninstalled libc6\n"
    monkeypatch.setattr(programs, "run", Programs({"dpkg-query": listed}).run)
    assert host_facts.packages() == ["libc6", "nginx"]


def test_a_host_without_the_programs_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", Programs({}).run)
    assert host_facts.packages() == []
    assert host_facts.addresses() == {"all_ipv4_addresses": [], "all_ipv6_addresses": []}


def test_a_program_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", Programs({"dpkg-query": ""}, status=2).run)
    with pytest.raises(RuntimeError, match=r"dpkg-query .* failed: it is broken"):
        host_facts.packages()


class TestConnection:
    """The SSH connection of a process, or of one above it."""

    @staticmethod
    def process(proc: Path, number: int, parent: int, **environment: str) -> None:
        (proc / str(number)).mkdir(parents=True)
        (proc / str(number) / "environ").write_bytes(b"\0".join(f"{k}={v}".encode() for k, v in environment.items()))
        (proc / str(number) / "status").write_text(f"Name:\tsh\nPid:\t{number}\nPPid:\t{parent}\n")

    def test_its_own(self, tmp_path: Path) -> None:
        self.process(tmp_path, 7, 1, SSH_CONNECTION="192.0.2.7 51234 203.0.113.5 22")
        assert host_facts.ssh_connection(7, tmp_path) == "192.0.2.7 51234 203.0.113.5 22"

    def test_that_of_who_called_sudo(self, tmp_path: Path) -> None:
        self.process(tmp_path, 9, 8, PATH="/usr/bin")
        self.process(tmp_path, 8, 7, PATH="/usr/bin")
        self.process(tmp_path, 7, 1, SSH_CONNECTION="2001:db8::7 51234 2001:db8::5 2222")
        assert host_facts.ssh_connection(9, tmp_path) == "2001:db8::7 51234 2001:db8::5 2222"

    @pytest.mark.parametrize("value", ["", "22", "192.0.2.7 51234 203.0.113.5 22; reboot", "a b c d"])
    def test_what_is_none(self, tmp_path: Path, value: str) -> None:
        self.process(tmp_path, 7, 1, SSH_CONNECTION=value)
        assert host_facts.ssh_connection(7, tmp_path) == ""

    def test_none_at_all(self, tmp_path: Path) -> None:
        self.process(tmp_path, 9, 8)
        assert host_facts.ssh_connection(9, tmp_path) == ""


def test_the_python_is_the_one_that_runs_this() -> None:
    assert host_facts.python()["python"]["version"] == dict(
        zip(("major", "minor", "micro"), sys.version_info, strict=False)
    )


def test_names_that_are_taken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_facts, "facts", dict)
    monkeypatch.setattr(programs, "run", Programs({}).run)
    result = Caller(module, capsys)(check=True, apps=["root", "no-such-account"])
    assert list(result["taken"]) == ["root"]
    assert result["taken"]["root"][0].startswith("the account root (uid 0, home /root, shell ")
    assert result["known_apps"] == []
    assert "warnings" not in result


@pytest.mark.parametrize(("shell", "is_taken"), [("/bin/bash", True), ("/usr/sbin/nologin", False)])
def test_a_person_has_the_name_of_an_account_that_the_roles_make(
    shell: str, is_taken: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def account_of(name: str) -> pwd.struct_passwd | None:
        return pwd.struct_passwd((name, "x", 1000, 1000, "", "/home/x", shell)) if name == "groundwork-ship" else None

    monkeypatch.setattr(host_facts, "facts", dict)
    monkeypatch.setattr(programs, "run", Programs({}).run)
    monkeypatch.setattr(ownership, "account_of", account_of)
    taken = Caller(module, capsys)(check=True)["taken"]
    account = "the account groundwork-ship (uid 1000, home /home/x, shell /bin/bash)"
    assert taken == ({"groundwork-ship": [account]} if is_taken else {})
    said = " ".join(host_checks.account_problems(taken))
    assert (said.startswith(f"{account} is somebody's own"), "rename or remove it" in said) == (is_taken, is_taken)


def test_an_app_that_runs_as_an_account_not_made_for_it_is_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_facts, "facts", dict)
    monkeypatch.setattr(programs, "run", Programs({}).run)
    monkeypatch.setattr(Ownership, "is_live", property(lambda _self: True))
    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: warned.append(text))
    result = Caller(module, capsys)(apps=["root"])
    assert (result["taken"], result["known_apps"]) == ({}, ["root"])
    assert warned[0].startswith("root: the app runs as the account root (uid 0, home /root")


@pytest.mark.parametrize(
    ("cpuinfo", "container", "expected"),
    [
        ("flags\t\t: fpu hypervisor lahf_lm\n", "", (True, ["firewire_ohci", "sctp"])),
        ("flags\t\t: fpu lahf_lm\nbugs\t: hypervisor\n", "", (False, ["firewire_ohci", "sctp"])),
        ("Features\t: fp asimd\n", "", (False, ["firewire_ohci", "sctp"])),  # no ARM processor tells
        ("", "lxc\n", (True, [])),
    ],
)
def test_what_a_machine_has_loaded_and_runs_on(
    tmp_path: Path, cpuinfo: str, container: str, expected: tuple[bool, list[str]]
) -> None:
    files = {"proc/cpuinfo": cpuinfo, "proc/modules": "sctp 1 2 - Live 0x0\nfirewire_ohci 1 0 - Live 0x0\n"}
    for name, text in {**files, "run/systemd/container": container}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = host_facts.machine(tmp_path)
    assert (found["virtual"], found["modules"]) == expected
    assert found["container"] == container.strip()


def test_a_kernel_without_modules(tmp_path: Path) -> None:
    found = host_facts.machine(tmp_path)
    assert (found["virtual"], found["modules"]) == (False, [])
