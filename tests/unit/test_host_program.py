"""The program of the role host: what it brings into effect, what it leaves alone, and what it puts back."""

from __future__ import annotations

import errno
import os
import subprocess
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.host import (
    cli,
    journal,
    logins,
    modules,
    swap,
    sysctl,
    time_sync,
    updates,
)
from ansible_collections.groundwork.flask.plugins.module_utils.host.machine import Machine

LOGIN_DEFS = "# login\nUMASK\t\t022\n#SHA_CRYPT_MIN_ROUNDS 5000\nPASS_MAX_DAYS\t99999\n"
PACKAGED = "Debian GNU/Linux 12 \\n \\l\n\n"
ROUNDS = {"SHA_CRYPT_MIN_ROUNDS": 65536}


class Host:
    """A host below a directory, whose programs answer what a test says, and write down what they were asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self.units: dict[str, tuple[str, str, str]] = {}  # LoadState, ActiveState, UnitFileState
        self.answers: dict[str, tuple[int, str]] = {}

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        line = " ".join([Path(argv[0]).name, *argv[1:]])
        if line.startswith("systemctl show"):
            load, active, enabled = self.units.get(argv[-1], ("not-found", "inactive", ""))
            text = f"LoadState={load}\nActiveState={active}\nUnitFileState={enabled}\n"
            return subprocess.CompletedProcess(argv, 0, text, "")
        self.asked.append(line)
        status, text = next((answer for begin, answer in self.answers.items() if line.startswith(begin)), (0, ""))
        return subprocess.CompletedProcess(argv, status, "" if status else text, text if status else "")

    def machine(self, dry_run: bool = False) -> Machine:
        return Machine(self.root, self.run, dry_run)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    for key, value in {
        "net/core/somaxconn": "4096",
        "net/ipv4/conf/all/accept_redirects": "1",
        "net/ipv4/conf/eth0/accept_redirects": "1",
        "kernel/kptr_restrict": "0",
        "fs/suid_dumpable": "0",
    }.items():
        made.write(f"proc/sys/{key}", f"{value}\n")
    made.write("proc/swaps", "Filename Type Size Used Priority\n")
    made.write("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable:     500000 kB\n")
    made.write("etc/login.defs", LOGIN_DEFS)
    made.write("etc/issue", PACKAGED)
    made.write("etc/issue.net", "A provider's own text.\n")
    made.answers["findmnt"] = (0, "ext4\n")
    return made


# --- sysctl ----------------------------------------------------

FILE = """# why
-net.core.somaxconn = 8192
-net.ipv4.conf.*.accept_redirects = 0
-kernel.kptr_restrict = 2
-net.core.bpf_jit_harden = 2
"""


def test_parameters_are_set_and_put_back(host: Host) -> None:
    file = host.write("etc/sysctl.d/90-groundwork.conf", FILE)
    dry = host.machine(dry_run=True)
    sysctl.keep(dry, {})
    assert len(dry.changed) == 4
    assert host.read("proc/sys/net/core/somaxconn") == "4096\n"
    first, second = host.machine(), host.machine()
    sysctl.keep(first, {})
    assert first.changed == dry.changed
    assert host.read("proc/sys/net/ipv4/conf/eth0/accept_redirects") == "0\n"
    assert host.read("proc/sys/kernel/kptr_restrict") == "2\n"
    assert first.notes == ["net.core.bpf_jit_harden: this kernel does not have it, or not in a container"]
    sysctl.keep(second, {})
    assert second.changed == []
    file.write_text(FILE.replace("8192", "16384").replace("-kernel.kptr_restrict = 2\n", ""))
    sysctl.keep(host.machine(), {})
    assert host.read("proc/sys/kernel/kptr_restrict") == "0\n"  # not stated any more
    host.write("proc/sys/net/ipv4/conf/eth0/accept_redirects", "1\n")  # by somebody else, since
    file.unlink()
    sysctl.put_back(host.machine())
    assert host.read("proc/sys/net/core/somaxconn") == "4096\n"
    assert host.read("proc/sys/net/ipv4/conf/all/accept_redirects") == "1\n"
    last = host.machine()
    sysctl.put_back(last)
    assert last.changed == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("etc/sysctl.d/99-provider.conf", "net.core.somaxconn=1024", "4096"),
        ("etc/sysctl.d/99-provider.conf", "net/core/somaxconn = 1024", "4096"),
        ("usr/lib/sysctl.d/99-x.conf", "-net.core.* = 1024", "4096"),
        ("usr/lib/sysctl.d/50-default.conf", "net.core.somaxconn = 1024", "8192"),
        ("etc/sysctl.d/99-provider.conf", "; net.core.somaxconn = 1024", "8192"),
    ],
)
def test_a_file_that_is_read_later_has_the_last_word(host: Host, name: str, text: str, value: str) -> None:
    host.write("etc/sysctl.d/90-groundwork.conf", FILE)
    host.write(name, text)
    machine = host.machine()
    sysctl.keep(machine, {})
    assert host.read("proc/sys/net/core/somaxconn").strip() == value
    assert any(f"stays 1024: {host.root}/{name}" in note for note in machine.notes) == (value == "4096")


def test_a_container_sets_its_network_alone(host: Host) -> None:
    host.write("run/systemd/container", "podman\n")
    host.write("etc/sysctl.d/90-groundwork.conf", FILE)
    machine = host.machine()
    sysctl.keep(machine, {})
    assert host.read("proc/sys/kernel/kptr_restrict") == "0\n"
    assert host.read("proc/sys/net/core/somaxconn") == "8192\n"
    assert "kernel.kptr_restrict: it is the machine's, and is not set in a container" in machine.notes


def test_what_the_kernel_refuses_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.write_text

    def refuse(path: Path, text: str) -> int:
        if "proc" in path.parts:
            raise OSError(errno.EPERM, "Operation not permitted")
        return original(path, text)

    host.write("etc/sysctl.d/90-groundwork-core-dumps.conf", "fs.suid_dumpable = 2")
    machine = host.machine()
    monkeypatch.setattr(Path, "write_text", refuse)
    sysctl.keep(machine, {}, "core_dumps")
    assert machine.notes == ["fs.suid_dumpable cannot be set to 2 here: Operation not permitted"]
    assert machine.changed == []


# --- logins ----------------------------------------------------


def test_login_defs_and_issue_go_back_byte_by_byte(host: Host) -> None:
    wanted = {"login_defs": {**ROUNDS, "UMASK": "027"}, "issue": "Authorized users only."}
    machine = host.machine()
    logins.keep(machine, wanted)
    assert (
        host.read("etc/login.defs")
        == LOGIN_DEFS.replace("UMASK\t\t022", "UMASK\t027") + "SHA_CRYPT_MIN_ROUNDS\t65536\n"
    )
    assert host.read("etc/issue") == "Authorized users only.\n"
    assert machine.notes == ["/etc/issue.net has a text of its own, and is left as it is"]
    again = host.machine()
    logins.keep(again, wanted)
    assert again.changed == []
    logins.keep(host.machine(), {"login_defs": {"UMASK": "077"}, "issue": "Another text."})
    assert host.read("etc/login.defs") == LOGIN_DEFS.replace("UMASK\t\t022", "UMASK\t077")
    assert host.read("etc/issue") == "Another text.\n"
    logins.put_back(host.machine())
    assert (host.read("etc/login.defs"), host.read("etc/issue")) == (LOGIN_DEFS, PACKAGED)
    assert not host.machine().before(logins.PART)


def test_what_somebody_has_changed_since_stays(host: Host) -> None:
    logins.keep(host.machine(), {"login_defs": {"UMASK": "027"}, "issue": "Ours."})
    host.write("etc/login.defs", LOGIN_DEFS.replace("UMASK\t\t022", "UMASK 007"))
    host.write("etc/issue", "Theirs.\n")
    logins.put_back(host.machine())
    assert "UMASK 007" in host.read("etc/login.defs")
    assert host.read("etc/issue") == "Theirs.\n"


def test_a_dry_run_writes_nothing(host: Host) -> None:
    machine = host.machine(dry_run=True)
    wanted = {"parts": list(cli.PARTS), "apt": {}, "swap_mb": 1, "modules": [], "login_defs": ROUNDS, "issue": "Ours."}
    before = {path: path.read_text() for path in host.root.rglob("*") if path.is_file()}
    assert cli.apply(machine, wanted)["changed"]
    assert before == {path: path.read_text() for path in host.root.rglob("*") if path.is_file()}
    assert not [line for line in host.asked if line.startswith(("systemctl", "mkswap", "journalctl"))]


# --- units -----------------------------------------------------


def test_timers_are_enabled_and_left_as_they_were(host: Host) -> None:
    host.units = {
        updates.TIMERS[0]: ("loaded", "active", "enabled"),
        updates.TIMERS[1]: ("loaded", "inactive", "disabled"),
    }
    updates.keep(host.machine(), {"apt": {}})
    assert [line for line in host.asked if "systemctl" in line] == ["systemctl enable --now -- apt-daily-upgrade.timer"]
    host.units = dict.fromkeys(updates.TIMERS, ("loaded", "active", "enabled"))
    updates.put_back(host.machine())
    assert [line for line in host.asked if "disable" in line] == ["systemctl disable --now -- apt-daily-upgrade.timer"]


def test_a_masked_timer_and_settings_of_others_are_warned_of(host: Host) -> None:
    host.units = {
        updates.TIMERS[0]: ("masked", "inactive", "masked"),
        updates.TIMERS[1]: ("loaded", "active", "enabled"),
    }
    host.answers["apt-config dump"] = (0, 'APT::Periodic "";\nAPT::Periodic::Unattended-Upgrade "0";\n')
    host.write("etc/apt/apt.conf.d/99local", 'APT::Periodic::Unattended-Upgrade "0";\n')
    host.write("etc/apt/apt.conf.d/20auto-upgrades", 'APT::Periodic::Unattended-Upgrade "0";\n')
    machine = host.machine()
    updates.keep(machine, {"apt": {"APT::Periodic::Unattended-Upgrade": "1"}})
    masked, overridden = machine.warnings
    assert (
        "apt-daily.timer is masked, so the part updates is not in effect: `systemctl unmask apt-daily.timer`" in masked
    )
    assert f"'0' on this host, not '1': {host.root}/etc/apt/apt.conf.d/99local says so." in overridden
    assert machine.changed == []


@pytest.mark.parametrize(
    ("units", "container", "expected"),
    [
        ({}, "podman", ("notes", "the clock of a container is the machine's")),
        ({"chrony.service": ("loaded", "active", "enabled")}, "", ("notes", "chrony.service keeps the clock right")),
        ({"ntpsec.service": ("loaded", "inactive", "disabled")}, "", ("warnings", "is installed and does not run")),
        ({time_sync.OURS: ("loaded", "inactive", "disabled")}, "", ("changed", "enabled and started")),
        ({}, "", ("warnings", "is not on this host")),
    ],
)
def test_one_program_keeps_the_clock(
    host: Host, units: dict[str, Any], container: str, expected: tuple[str, str]
) -> None:
    host.units = units
    if container:
        host.write("run/systemd/container", container)
    machine = host.machine()
    time_sync.keep(machine, {})
    found = {"notes": machine.notes, "warnings": machine.warnings, "changed": machine.changed}
    (text,) = found.pop(expected[0])
    assert expected[1] in text
    assert not any(found.values())


def test_journald_loads_its_file_once_for_each_change(host: Host) -> None:
    file = host.write(journal.FILE, "[Journal]\nSystemMaxUse=500M\n")
    restarts = ["systemctl restart systemd-journald.service", "journalctl --flush"]
    for _run in range(2):
        journal.keep(host.machine(), {})
    assert host.asked == restarts
    file.write_text("[Journal]\nSystemMaxUse=1G\n")
    journal.keep(host.machine(), {})
    file.unlink()
    for _run in range(2):
        journal.put_back(host.machine())
    assert host.asked == restarts * 3


def test_a_journald_that_does_not_restart_is_tried_again(host: Host) -> None:
    host.write(journal.FILE, "[Journal]\n")
    host.answers["systemctl restart"] = (1, "no")
    machine = host.machine()
    journal.keep(machine, {})
    assert "`/usr/bin/systemctl restart systemd-journald.service` failed: no" in machine.warnings
    host.answers.clear()
    journal.keep(host.machine(), {})
    assert host.asked[-1] == "journalctl --flush"


# --- swap ------------------------------------------------------

Disk = namedtuple("Disk", "f_bavail f_frsize")


def test_a_swap_file_is_made_once_and_removed(host: Host) -> None:
    file = host.root / swap.FILE
    host.write(f"{swap.FILE[:-8]}.swapfile.groundwork.new", "what a killed run has left")
    swap.keep(host.machine(), {"swap_mb": 2})
    assert (file.stat().st_size, file.stat().st_mode & 0o777) == (2 * swap.MB, 0o600)
    assert host.asked[-1] == f"systemctl enable --now -- {swap.UNIT}"
    host.write("proc/swaps", f"Filename Type Size Used Priority\n/{swap.FILE} file 2048 100 -2\n")
    host.units = {swap.UNIT: ("loaded", "active", "enabled")}
    again = host.machine()
    swap.keep(again, {"swap_mb": 2})
    assert (again.changed, again.notes) == ([], [])
    host.write("proc/meminfo", "MemAvailable: 50 kB\n")
    full = host.machine()
    swap.put_back(full)
    assert file.exists()
    assert "stays as it is" in full.warnings[0]
    host.write("proc/meminfo", "MemAvailable: 500 kB\n")
    swap.put_back(host.machine())
    assert not file.exists()
    assert f"systemctl stop -- {swap.UNIT}" in host.asked
    assert [path.name for path in file.parent.iterdir() if path.name != "host.json"] == []


@pytest.mark.parametrize(
    ("name", "text", "answer", "note"),
    [
        ("run/systemd/container", "lxc", "ext4", "the swap of a container is the machine's"),
        ("proc/swaps", "Filename\n/dev/vda2 partition 1 0 -2\n", "ext4", "/dev/vda2 is there already"),
        ("etc/fstab", "# x\n/dev/vdb none swap sw 0 0\n", "ext4", "/etc/fstab has /dev/vdb"),
        ("etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n", "btrfs", "the file system btrfs takes no plain swap file"),
    ],
)
def test_where_there_is_no_swap_file(host: Host, name: str, text: str, answer: str, note: str) -> None:
    host.write(name, text)
    host.answers["findmnt"] = (0, f"{answer}\n")
    machine = host.machine()
    swap.keep(machine, {"swap_mb": 1})
    assert note in machine.notes[0]
    assert machine.changed == []
    assert not (host.root / swap.FILE).exists()


def test_a_disk_that_is_too_full(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _path: Disk(2100, swap.MB))
    machine = host.machine()
    swap.keep(machine, {"swap_mb": 512})
    assert "512 MB are wanted of 2100 MB, and 2048 MB are to stay free" in machine.notes[0]


def test_a_disk_that_fills_up_while_it_is_written(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.root / "var/lib/groundwork").mkdir(parents=True)
    real = os.fsync

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    machine = host.machine()
    swap.keep(machine, {"swap_mb": 1})
    assert "No space left on device. Make room and run again" in machine.warnings[0]
    assert list((host.root / "var/lib/groundwork").iterdir()) == []
    monkeypatch.setattr(os, "fsync", real)
    swap.keep(host.machine(), {"swap_mb": 1})
    assert (host.root / swap.FILE).exists()


def test_modules_that_are_loaded_are_told_of(host: Host) -> None:
    host.write("proc/modules", "firewire_ohci 45056 1 - Live 0x0\next4 1 1 - Live 0x0\n")
    machine = host.machine()
    modules.keep(machine, {"modules": ["sctp", "firewire-ohci"]})
    assert machine.notes == ["the kernel module firewire-ohci is loaded, may be in use, and is left as it is"]
    assert machine.changed == []
    host.write("run/systemd/container", "lxc\n")
    machine = host.machine()
    modules.keep(machine, {"modules": ["sctp", "firewire-ohci"]})
    assert machine.notes == []  # they are the machine's
