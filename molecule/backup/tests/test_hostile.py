"""What an app that wants to harm root or its neighbours can do by its data: nothing that the others notice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import testing
from program import PROGRAM, backup, newest, status
from testinfra.host import Host
from testing import on_host

CONFIGURATION = on_host("configuration")
DATA = on_host("data", "mallory")
RELEASES = on_host("releases", "mallory")
RUNTIME = on_host("runtime")
MALLORY = (testing.scenario_directory() / "files" / "mallory.py").read_text()
SYSTEMD = "ls -laR --time-style=+ /etc/systemd/system"
UNIT = f"""[Service]
ProtectSystem=strict
StateDirectory=mallory
Environment=FROM=unit
EnvironmentFile={RELEASES}/%i/env
"""
# Instead of restic: between the copies of the databases and the snapshot, the app exchanges a directory for a link.
EXCHANGING = f"""#!/bin/sh
if [ "$1" = backup ] && [ -d {DATA}/d ] && [ ! -L {DATA}/d ]; then
    runuser -u mallory -- sh -c 'cd {DATA} && mv d was-d && ln -s /etc/systemd/system d'
fi
exec /root/restic "$@"
"""


def write_set(host: Host, name: str, **options: Any) -> None:
    """Have the host know a set, as a play would."""
    given = json.dumps({"name": name, "paths": [DATA], **options})
    host.check_output(f"printf %%s %s > {CONFIGURATION}/backup.d/%s.json", given, name)


@pytest.fixture(scope="module")
def mallory(host: Host) -> Iterator[Host]:
    """The host with an app that wants to harm, and its set."""
    host.check_output(f"useradd --system --home-dir {on_host('home', 'mallory')} --shell /usr/sbin/nologin mallory")
    host.check_output(f"install -d -o mallory -g mallory -m 0750 {DATA}")
    host.check_output("cd / && runuser -u mallory -- /usr/bin/python3 -c %s", MALLORY)
    write_set(host, "mallory", owner="mallory", user="mallory")
    yield host
    host.check_output(f"rm {CONFIGURATION}/backup.d/mallory.json")


def test_what_an_app_s_data_is_like_harms_no_other_set(mallory: Host) -> None:
    """One set hangs, one has all that is hard to save, nobody tries to hold the lock: the others are saved."""
    write_set(mallory, "hanging", user="mallory", before=["sleep 987 & sleep 986"], timeout=2)
    before = newest(mallory, "shop")
    try:
        for lock in (f"{RUNTIME}/backup", f"{RUNTIME}/backup/backup.lock"):
            nobody = "setpriv --reuid nobody --regid nogroup --clear-groups"
            refused = mallory.run(f"{nobody} flock --nonblock {lock} true")
            assert (refused.rc, "Permission denied" in refused.stderr) == (66, True), refused
        result = mallory.run(f"{PROGRAM} run --set hanging --set mallory --set shop")
    finally:
        mallory.check_output(f"rm {CONFIGURATION}/backup.d/hanging.json")
    assert result.rc == 1
    assert result.stderr.splitlines()[-2:] == [
        "FAILED: hanging: preparing it took longer than 2 s, and was ended",
        "FAILED: not saved, or not everywhere: hanging (of 3 sets)",
    ]
    assert mallory.run("pgrep -f 'sleep 98[67]'").stdout == ""
    assert newest(mallory, "shop") != before
    report = status(mallory)
    assert report["sets"]["mallory"]["error"] is None
    assert report["sets"]["mallory"]["files"] > 1260
    for part in ("sparse is left out", "sparse.db is left out", "left out, for its path has more than 3500 bytes"):
        assert any(part in warning for warning in report["warnings"]), report["warnings"]
    for text in (result.stdout + result.stderr, backup(mallory, "status")):
        assert "\\x1b]0;owned\\x07 is damaged" in text
        assert text.replace("\n", "").isprintable()


def test_a_directory_that_is_exchanged_while_it_is_saved_leads_no_restore_away(mallory: Host) -> None:
    mallory.check_output("cp /usr/bin/restic /root/restic && printf %%s %s > /root/exchanging", EXCHANGING)
    mallory.check_output("chmod 755 /root/exchanging && mount --bind /root/exchanging /usr/bin/restic")
    try:
        backup(mallory, "run --set mallory")
    finally:
        mallory.check_output("umount /usr/bin/restic")
    assert mallory.file(f"{DATA}/d").is_symlink
    before = mallory.check_output(SYSTEMD)
    told = json.loads(backup(mallory, "restore mallory --in-place --json"))
    assert mallory.check_output(SYSTEMD) == before
    place = mallory.file(f"{DATA}/d")
    assert (place.is_symlink, place.is_directory, place.user) == (False, True, "mallory")
    read = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT x FROM t').fetchone())"
    for name in ("d/app.db", "odd/$HOME.db", "odd/a\nb.db"):
        argv = "runuser -u mallory -- /usr/bin/python3 -c %s %s"
        assert mallory.check_output(argv, read, f"{DATA}/{name}") == "kept"
    (previous,) = [path["previous"] for path in told["restored"]]
    assert status(mallory)["copies"]["mallory"] == [previous]
    assert json.loads(backup(mallory, "forget-copies mallory --json"))["removed"] == [previous]
    assert not mallory.file(previous).exists


def test_the_commands_of_an_app_follow_its_links_with_its_own_rights(mallory: Host) -> None:
    """A command of root's that writes into the app's directory would write wherever a link of the app's leads."""
    mallory.check_output(f"mkdir -p {RELEASES}/r1 && ln -sfn releases/r1 {on_host('current', 'mallory')}")
    mallory.check_output(f"echo TOKEN=secret > {RELEASES}/r1/env && chmod 600 {RELEASES}/r1/env")
    mallory.check_output("printf %%s %s > '/etc/systemd/system/mallory@.service'", UNIT)
    mallory.check_output("echo precious > /root/important && systemctl daemon-reload")
    mallory.check_output(f"runuser -u mallory -- ln -sf /root/important {DATA}/dump")
    who = f'echo $(id -un) $FROM $TOKEN $BACKUP_SET $(grep -c "^NoNewPrivs:.1" /proc/self/status) > {DATA}/who'
    write_set(
        mallory,
        "mallory",
        user="mallory",
        before=[who, "touch /etc/mallory || true", f"echo dumped > {DATA}/dump"],
        after=[f"id -un > {DATA}/after"],
    )
    result = mallory.run(f"{PROGRAM} run --set mallory")
    assert result.rc == 1
    assert f"FAILED: mallory: `echo dumped > {DATA}/dump` (before) ended with 2" in result.stderr
    assert mallory.check_output("cat /root/important") == "precious"
    assert mallory.check_output(f"cat {DATA}/who") == "mallory unit secret mallory 1"
    assert mallory.check_output(f"cat {DATA}/after") == "mallory"
    assert not mallory.file("/etc/mallory").exists


def test_a_copy_that_is_much_smaller_is_saved_and_warned_of(mallory: Host) -> None:
    write_set(mallory, "mallory", owner="mallory")
    mallory.check_output(f"rm -rf {DATA}/small")
    before = newest(mallory, "mallory")
    result = mallory.run(f"{PROGRAM} run --set mallory")
    assert result.rc == 0, result.stderr
    assert "WARNING: mallory: it is much smaller than on" in result.stderr
    assert newest(mallory, "mallory") != before
    assert any(f"(snapshot {before} in local)" in warning for warning in status(mallory)["warnings"])
