"""What others have set on a host, and the role host would overrule, is found and named."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.filter.host_overruled import host_overruled
from ansible_collections.groundwork.flask.plugins.module_utils import host_settings_found
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs

DUMP = (
    'APT::Periodic "";\nAPT::Periodic::Unattended-Upgrade "0";\nUnattended-Upgrade::Automatic-Reboot "false";\n'
    'Unattended-Upgrade::Origins-Pattern:: "origin=Mine";\nAPT::Architecture "amd64";\n'
)
WANTED: dict[str, dict[str, Any]] = {
    "updates": {"APT::Periodic::Unattended-Upgrade": "1", "Unattended-Upgrade::Automatic-Reboot": "true"},
    "journal": {"Storage": "persistent", "SystemMaxUse": "500M"},
    "logins": {"SHA_CRYPT_MIN_ROUNDS": 65536},
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def run(argv: Sequence[str], **_given: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 0, DUMP, "")

    monkeypatch.setattr(programs, "run", run)
    write(tmp_path, "etc/apt/apt.conf.d/20auto-upgrades", 'APT::Periodic::Unattended-Upgrade "0";\n')
    write(tmp_path, "etc/apt/apt.conf.d/50unattended-upgrades", '//Unattended-Upgrade::Automatic-Reboot "false";\n')
    write(tmp_path, "etc/apt/apt.conf.d/52mine", 'Unattended-Upgrade { Automatic-Reboot "false"; };\n')
    write(tmp_path, "etc/systemd/journald.conf", "[Journal]\n#Storage=auto\nSystemMaxUse=1G\n")
    write(tmp_path, "etc/systemd/journald.conf.d/10-mine.conf", "[Journal]\nSystemMaxUse=2G\n")
    write(tmp_path, "etc/systemd/journald.conf.d/99-later.conf", "[Journal]\nSystemMaxUse=3G\n")
    write(tmp_path, "etc/login.defs", "#SHA_CRYPT_MIN_ROUNDS 5000\nSHA_CRYPT_MIN_ROUNDS 100000\nUMASK 022\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def named(root: Path, wanted: dict[str, dict[str, Any]]) -> list[str]:
    return host_overruled({"settings": host_settings_found.settings(root), "journal_bytes": 0}, wanted)


def test_what_is_overruled_is_named_with_its_file(root: Path) -> None:
    apt, reboot, journal, logins = named(root, WANTED)
    assert apt == (
        "/etc/apt/apt.conf.d/20auto-upgrades of this host says APT::Periodic::Unattended-Upgrade is `0`; from this run "
        "on `1` is in effect. To keep yours, put updates into host_skip_parts."
    )
    assert reboot.startswith(
        "/etc/apt/apt.conf.d/52mine of this host says Unattended-Upgrade::Automatic-Reboot is `false`"
    )
    assert reboot.endswith('set host_reboot_time ("" for no reboots), or put updates into host_skip_parts.')
    assert journal.startswith("/etc/systemd/journald.conf.d/10-mine.conf of this host says SystemMaxUse is `2G`")
    assert "SHA_CRYPT_MIN_ROUNDS is `100000`; from this run on `65536`" in logins


def test_what_is_the_same_or_left_out_is_not(root: Path) -> None:
    wanted: dict[str, dict[str, Any]] = {
        "journal": {"SystemMaxUse": "2G"},
        "logins": {"SHA_CRYPT_MIN_ROUNDS": 100000, "UMASK": "022"},
    }
    assert named(root, wanted) == []


def test_a_part_that_is_in_force_has_nothing_left_to_overrule(root: Path) -> None:
    write(root, "etc/apt/apt.conf.d/99groundwork", "")
    write(root, "etc/systemd/journald.conf.d/90-groundwork.conf", "")
    write(root, "var/lib/groundwork/host.json", '{"logins": {"/etc/issue": {}}}')
    assert named(root, WANTED) == []
    assert host_settings_found.journal_bytes(root) == 0


def test_entries_of_the_journal_that_are_deleted_are_named(root: Path) -> None:
    write(root, "var/log/journal/0123/system.journal", "x" * 100_000)
    write(root, "var/log/journal/0123.shop/system.journal", "x" * 9_000_000)
    used = host_settings_found.journal_bytes(root)
    assert 100_000 <= used < 1_000_000
    assert host_overruled({"journal_bytes": used}, WANTED) == []
    (text,) = host_overruled({"journal_bytes": 2**31}, WANTED)
    assert "takes 2048 MB; from this run on its oldest entries above 500M are deleted" in text
    assert host_overruled({"journal_bytes": 2**31}, {}) == []
