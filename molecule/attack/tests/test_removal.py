"""An app that does not want to go: processes, crontab and at jobs of its account, deep trees, copies of its data."""

from __future__ import annotations

import pytest
import testing
from attacker import Attacker
from testinfra.host import Host
from testing import on_host

DATA = on_host("data", "trudy")
HOME = on_host("home", "trudy")

# As a release command of an earlier version of the collection could leave them, which ran outside the sandbox.
ENTRENCH = """
runuser -u trudy -- setsid sleep 4712 >/dev/null 2>&1 &
install -d -m 1730 /var/spool/cron /var/spool/cron/crontabs /var/spool/cron/atjobs
echo '* * * * * true' > /var/spool/cron/crontabs/trudy
touch /var/spool/cron/atjobs/a0000101 /var/spool/cron/atjobs/a0000202
chown trudy /var/spool/cron/crontabs/trudy /var/spool/cron/atjobs/a0000101
install -d /var/lib/systemd/linger && touch /var/lib/systemd/linger/trudy
"""
DEEP = """python3 -c "
import os
for _ in range(3000):
    os.mkdir('deep'); os.chdir('deep')
" """


@pytest.fixture(scope="module")
def trudy(host: Host) -> Attacker:
    return Attacker(host, "trudy")


def test_nothing_of_a_removed_app_is_left_and_what_cannot_be_removed_is_named(trudy: Attacker) -> None:
    host = trudy.host
    uid = trudy.sh("id -u trudy").strip()
    trudy.sh(ENTRENCH)
    trudy.run(f"cd {DATA} && {DEEP}; cd {on_host('cache', 'trudy')} && {DEEP}; ln -s /etc {DATA}/link")
    host.check_output(f"mkdir {DATA}/mounted && mount -t tmpfs tmpfs {DATA}/mounted")
    try:
        result = trudy.module(apps=[], absent=["trudy"], purge=True)
    finally:
        host.check_output(f"umount {DATA}/mounted")
    assert f"these could not be removed: {DATA} (" in result["failed_apps"]["trudy"]
    assert host.run(f"pgrep -a -u {uid}").stdout == ""
    assert host.run("id trudy").rc == 0

    host.check_output(f"install -d -o trudy {DATA}.before-restore-20260101T000000")
    done = testing.play(host, "remove.yml", app="trudy", purge=True)
    assert done.returncode == 0, testing.said(done)
    assert host.run(f"id trudy; ls -d {DATA}* {HOME} {on_host('configuration')}/secrets/trudy").stdout == ""
    assert testing.find(host, f"-user {uid}") == []
    assert host.run("ls /var/spool/cron/crontabs/trudy /var/lib/systemd/linger/trudy").stdout == ""
    assert host.run("ls -d /var/log/journal/*.trudy /run/log/journal/*.trudy /run/systemd/journal.trudy").stdout == ""
    assert host.check_output("ls /var/spool/cron/atjobs") == "a0000202"
    assert host.file("/etc/passwd").exists
