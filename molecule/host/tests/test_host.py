"""What the role keeps of the machine: in effect, beside what others have, and put back when it is left out."""

from __future__ import annotations

import json

import pytest
import testing
from testinfra.host import Host
from testing import on_host

RECORD = f"{on_host('state')}/host.json"
PROGRAM = f"{on_host('programs')}/host"
PARTS = ["updates", "time", "journal", "swap", "sysctl", "core_dumps", "modules", "logins"]
# What needrestart does with each of these units, by its own configuration and ours: 0 is left running.
UNITS = {
    "nginx.service": 1,
    "ssh.service": 1,
    "shop@0123abcd.service": 1,
    "shop.worker@0123abcd.service": 0,
    "shop.nightly.service": 0,
    "shop.redis.service": 0,
    "groundwork-release@shop.service": 0,
    "groundwork-backup.service": 0,
    "postgresql@17-main.service": 0,
    "mariadb.service": 0,
    "docker.service": 0,
}
ASK_NEEDRESTART = """
our %nrconf = (override_rc => {}, defno => 0);
do '/etc/needrestart/needrestart.conf'; die $@ if $@;
for my $unit (@ARGV) {
    my $restart = $nrconf{restart} eq 'a' ? 1 : 0;
    for my $one (keys %{$nrconf{override_rc}}) { $restart = $nrconf{override_rc}{$one} if $unit =~ /$one/; }
    print "$unit $restart\\n";
}
print "interpscan $nrconf{interpscan}\\n";
"""


def parameter(host: Host, name: str) -> str:
    """A kernel parameter that is in effect."""
    return str(host.check_output("sysctl --values %s", name))


def apt(host: Host) -> str:
    """The settings of apt that are in effect."""
    return str(host.check_output("apt-config dump"))


def test_security_updates_come_by_themselves(host: Host) -> None:
    found = apt(host)
    for line in (
        'APT::Periodic::Enable "1"',
        'APT::Periodic::Update-Package-Lists "1"',
        'APT::Periodic::Unattended-Upgrade "1"',
        'Unattended-Upgrade::Automatic-Reboot "true"',
        'Unattended-Upgrade::Automatic-Reboot-Time "04:00"',
    ):
        assert f"{line};" in found
    timers = ("apt-daily.timer", "apt-daily-upgrade.timer")
    assert all(host.service(timer).is_running and host.service(timer).is_enabled for timer in timers)


@pytest.mark.full
def test_unattended_upgrades_takes_security_updates_of_this_release(host: Host) -> None:
    said = host.run("unattended-upgrade --dry-run --debug")
    assert said.rc == 0, said.stdout + said.stderr
    assert f"codename={testing.host_name(host).rpartition('-')[2]}-security" in said.stdout + said.stderr


def test_what_needrestart_restarts(host: Host) -> None:
    asked = host.check_output("perl -e %s " + " ".join(UNITS), ASK_NEEDRESTART)
    found = dict(line.split() for line in asked.splitlines())
    assert found.pop("interpscan") == "0"
    assert {unit: int(restart) for unit, restart in found.items()} == UNITS
    assert "NEEDRESTART-VER" in host.check_output("needrestart -b -r l")  # takes the configuration


def test_the_network_s_parameters_are_in_effect_and_the_machine_s_are_left_alone(host: Host) -> None:
    assert parameter(host, "net.core.somaxconn") == "4096"
    assert parameter(host, "net.ipv4.conf.all.rp_filter") == "2"
    assert parameter(host, "net.ipv4.conf.eth0.accept_redirects") == "0"
    assert parameter(host, "net.ipv6.conf.eth0.accept_source_route") == "0"
    # This host is a container: a parameter of the kernel, set here or at its next boot, would be the machine's.
    stated = host.check_output("cat /etc/sysctl.d/90-groundwork*.conf")
    assert "of the machine, not of this container: kernel.kptr_restrict = 2" in stated
    assert "of the machine, not of this container: fs.suid_dumpable = 0" in stated
    assert all(line[:5] in ("-net.", "") or line[:1] == "#" for line in stated.splitlines())


def test_the_journal_survives_a_reboot_and_has_a_cap(host: Host) -> None:
    machine = host.check_output("cat /etc/machine-id")
    assert host.file(f"/var/log/journal/{machine}/system.journal").exists
    assert "max 500" in host.check_output(
        "journalctl --unit systemd-journald --grep 'System Journal' --lines 1 --output cat"
    )


def test_nobody_dumps_core(host: Host) -> None:
    assert host.check_output("runuser -u nobody -- sh -c 'ulimit -Hc'") == "0"
    assert "Storage=none" in host.check_output("systemd-analyze cat-config systemd/coredump.conf")


def test_what_others_have_configured_goes_on(host: Host) -> None:
    """A provider's parameter, a setting of another apt file, a text of the operator's."""
    provider, local = "/etc/sysctl.d/99-provider.conf", "/etc/apt/apt.conf.d/99local"
    host.check_output(f"echo net.core.somaxconn = 1024 >{provider} && sysctl --quiet --load {provider}")
    host.check_output(f"echo 'APT::Periodic::Unattended-Upgrade \"0\";' >{local}")
    try:
        request = {"parts": PARTS, "apt": {"APT::Periodic::Unattended-Upgrade": "1"}, "swap_mb": 256, "login_defs": {}}
        request |= {"modules": [], "issue": "Another."}
        asked = host.check_output(f"{PROGRAM} apply %s --dry-run", json.dumps(request))
        found = json.loads(asked)
        assert (
            f"net.core.somaxconn stays 1024: {provider} says so, and is read after 90-groundwork.conf" in found["notes"]
        )
        assert "swap: the swap of a container is the machine's" in found["notes"]
        assert any(f"{local} says so" in warning for warning in found["warnings"])
        assert parameter(host, "net.core.somaxconn") == "1024"
    finally:
        host.check_output(f"rm {provider} {local}; sysctl --quiet --write net.core.somaxconn=4096")


def test_parts_that_are_left_out_leave_the_host_as_it_was(host: Host) -> None:
    before = json.loads(host.check_output(f"cat {RECORD}"))["sysctl"]
    assert "net/ipv4/conf/all/log_martians" in before
    result = testing.play(host, host_skip_parts=PARTS)
    assert result.returncode == 0, testing.said(result)[-3000:]
    assert host.run(
        "ls /etc/sysctl.d/*groundwork* /etc/apt/apt.conf.d/*groundwork* /etc/needrestart/conf.d/*groundwork*"
    ).rc
    assert (
        host.check_output("dpkg --verify base-files login $(dpkg-query -W -f '${Package} ' login.defs 2>/dev/null)")
        == ""
    )
    for key, was in before.items():
        assert parameter(host, key.replace("/", ".")).split() == was["before"].split(), key
    assert "Automatic-Reboot-Time" not in apt(host)
    assert host.service("apt-daily-upgrade.timer").is_enabled  # it was before
    assert host.run(f"cat {RECORD}").stdout.strip() in ("{}", "")
    again = testing.play(host)
    assert again.returncode == 0, testing.said(again)[-3000:]
    assert parameter(host, "net.ipv4.conf.all.log_martians") == "1"
