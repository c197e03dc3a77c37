"""sshd of a host, asked at its own address: who gets in, and that nobody who runs a play is shut out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import testing
from testinfra.host import Host
from testing import on_host

KEY = testing.ROOT / ".cache/ssh/id_ed25519"
SETTINGS = on_host("sshd_settings")
CANDIDATE, PROGRAM = f"{on_host('configuration')}/sshd.conf", f"{on_host('programs')}/sshd"
CLOUD = "/etc/ssh/sshd_config.d/50-cloud-init.conf"
POLICIES = {"bookworm": "Hardened Debian 12 (version 3)", "trixie": "Hardened Debian 13 (version 1)"}
UNKNOWN_HOST = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")


def log_in(address: str, user: str = "root", command: str = "id -un", *options: str) -> str:
    """Log in to the host's own sshd by the tests' key; what the command or ssh says."""
    argv = ("ssh", "-F", "/dev/null", "-i", str(KEY), "-o", "BatchMode=yes", *UNKNOWN_HOST, *options)
    done = subprocess.run(
        (*argv, f"{user}@{address}", command), capture_output=True, text=True, check=False, timeout=120
    )
    return (done.stdout + done.stderr).strip()


def reload(host: Host) -> None:
    """Have sshd read its files, and wait until it has: it removes its PID file then, and writes it with its ports open.

    Until then a connection would be taken by the old settings, or cut.
    """
    written = "stat -c '%i %y' /run/sshd.pid"
    before = host.check_output(written)
    host.check_output("systemctl reload ssh.service")
    assert testing.poll(lambda: host.run(written).stdout.strip() not in ("", before))


@pytest.fixture
def as_converged(host: Host) -> Iterator[None]:
    """Puts the settings back as the scenario made them, by hand: a play would cost more than the test."""
    host.check_output(f"cp --preserve {SETTINGS} /root/converged.conf")
    yield
    host.run(f"{PROGRAM} revert")
    host.check_output(
        f"for to in {SETTINGS} {CANDIDATE}; do cp --preserve /root/converged.conf $to; done; rm -f {CLOUD}"
    )
    reload(host)


@pytest.mark.usefixtures("as_converged")
def test_passwords_are_refused_whatever_the_image_says(host: Host, host_ip: str) -> None:
    host.check_output(f"printf 'PasswordAuthentication yes\\nPermitRootLogin yes\\n' >{CLOUD}")
    reload(host)
    assert log_in(host_ip) == "root"
    said = log_in(host_ip, "root", "id", "-o", "PubkeyAuthentication=no")
    assert said == f"root@{host_ip}: Permission denied (publickey)."


@pytest.mark.usefixtures("as_converged")
def test_a_typo_is_refused_and_sshd_lives(host: Host, host_ip: str) -> None:
    host.check_output(f"echo 'PermitRootLogin perhaps' >>{CANDIDATE}")
    tested = host.run(f"{PROGRAM} test")
    assert tested.rc != 0
    assert "PermitRootLogin" in tested.stderr or "perhaps" in tested.stderr
    assert "perhaps" not in host.file(SETTINGS).content_string
    assert log_in(host_ip) == "root"


@pytest.mark.usefixtures("as_converged")
def test_what_nobody_confirms_is_put_back(host: Host, host_ip: str) -> None:
    """By the unit that is there at boot until then; the timer of the play runs the same command.

    An sshd that is slow to take the change is waited for: a connection that it takes before that proves nothing.
    """
    host.check_output(f"echo 'DenyUsers root' >>{CANDIDATE} && {PROGRAM} test")
    slow = "pid=$(systemctl show -P MainPID ssh.service); kill -STOP $pid; (sleep 3; kill -CONT $pid) >/dev/null 2>&1 &"
    host.check_output(f"{slow} {PROGRAM} try")
    assert "Permission denied" in log_in(host_ip)
    host.check_output("systemctl daemon-reload && systemctl start groundwork-sshd-boot.service")
    reload(host)
    assert log_in(host_ip) == "root"
    assert "DenyUsers" not in host.file(SETTINGS).content_string
    assert not host.file("/etc/systemd/system/groundwork-sshd-boot.service").exists


@pytest.fixture
def ada(host: Host) -> Iterator[dict[str, object]]:
    """What an inventory says that is about to come in as ada; she is gone afterwards."""
    public = KEY.with_suffix(".pub").read_text()
    yield {
        "ansible_user": "ada",
        "ansible_become": True,
        "host_admins": [{"name": "ada", "keys": [public]}],
        "host_sshd_root": "no",
    }
    # Where a process of hers is not quite gone, userdel does nothing.
    gone = "pkill -KILL -u ada; userdel --remove ada; ! id ada"
    assert testing.poll(lambda: host.run(gone).rc == 0)
    host.check_output("rm -f /etc/sudoers.d/zz-groundwork-admins")


@pytest.mark.usefixtures("as_converged")
def test_the_first_run_comes_as_root_and_the_next_as_the_admin(
    host: Host, host_ip: str, ada: dict[str, object]
) -> None:
    tags = ("--tags", "host_admin,host_sshd")
    first = testing.play(host, "converge.yml", *tags, **ada)
    assert first.returncode == 0, first.stdout + first.stderr
    assert log_in(host_ip, "ada", "sudo -n id -un") == "root"
    assert "Permission denied" in log_in(host_ip)
    second = testing.play(host, "converge.yml", *tags, **ada)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "changed=0 " in second.stdout


@pytest.mark.full
@pytest.mark.usefixtures("as_converged")
def test_settings_that_shut_out_the_play_are_reverted(host: Host, host_ip: str) -> None:
    """The client of this machine does not offer the cipher, so no new connection succeeds."""
    settings = {"Ciphers": "3des-cbc"}
    outcome = testing.play(host, "converge.yml", "--tags", "host_sshd", host_sshd_settings=settings)
    assert outcome.returncode != 0
    assert "no new SSH connection could be opened" in testing.said(outcome)
    assert "host_sshd_algorithms" in testing.said(outcome)
    assert "3des" not in host.file(SETTINGS).content_string
    assert log_in(host_ip) == "root"


@pytest.mark.full
@pytest.mark.usefixtures("as_converged")
def test_a_reboot_puts_back_what_nobody_has_confirmed(host: Host) -> None:
    host.check_output(f"echo 'DenyUsers root' >>{CANDIDATE} && {PROGRAM} try")
    testing.restart_host(host)
    assert testing.poll(lambda: log_in(testing.host_ip(host)) == "root")
    assert "DenyUsers" not in host.file(SETTINGS).content_string


def test_it_passes_the_hardened_policies(host: Host, host_ip: str) -> None:
    """On Debian 12 with an RSA key of 4096 bits, for which the scenario asks."""
    policy = POLICIES[host.system_info.codename]
    argv = (str(Path(sys.executable).parent / "ssh-audit"), "--timeout", "30", "--policy", policy, host_ip)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    reload(host)  # sshd forgets what it holds against the address of a visitor that does not log in
    assert done.returncode == 0, done.stdout + done.stderr
