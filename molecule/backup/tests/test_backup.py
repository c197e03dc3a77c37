"""What is saved, put through a restore drill and brought back, on a host whose app goes on writing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import testing
from program import PROGRAM, backup, newest, snapshots, status
from testinfra.host import Host
from testing import on_host

CONFIGURATION = on_host("configuration")
DATA = on_host("data", "shop")
SOCKET = on_host("socket", "shop")
STATE = on_host("state")
SERVICE = "groundwork-backup.service"
RESTORE = str(testing.ROOT / "playbooks" / "restore.yml")

# All of a file that a restore has to bring back: kind, mode, owner by name, links, target, time, size, content, ACL.
DESCRIBE = rf"""
cd {DATA}
find . -name 'shop.db*' -prune -o -printf '%p %y %m %u:%g %n %l %T+\n' -type f -printf '%p %s\n' | sort
find . -name 'shop.db*' -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
getfacl --recursive --skip-base uploads
stat --format '%n %a %U:%G' . shop.db
"""

# Asks at its first argument, a socket, until the file that is its third is there, and once more; then it prints each
# answer with how often it came, and the longest time that one took. Its second is a file: there once it was answered.
VISIT = r"""
import collections, json, os, socket, sys, time
answers, longest, ended = collections.Counter(), 0.0, False
while not ended:
    ended, begin = os.path.exists(sys.argv[3]), time.monotonic()
    try:
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.settimeout(120)
            visitor.connect(sys.argv[1])
            visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while part := visitor.recv(1000):
                answer += part
        answers[answer.decode().partition("\r\n\r\n")[2] or "nothing"] += 1
    except OSError as error:
        answers[repr(error)] += 1
    longest = max(longest, time.monotonic() - begin)
    open(sys.argv[2], "w").close()
    time.sleep(0.05)
print(json.dumps([answers, longest]))
"""

# All that a play writes.
WRITTEN = f"sha256sum {CONFIGURATION}/backup.[jpr]* {CONFIGURATION}/backup.d/* /etc/systemd/system/groundwork-backup*"


def back_up(host: Host) -> None:
    """Run the nightly service; it must succeed."""
    assert host.run(f"systemctl start {SERVICE}").rc == 0, testing.journal(host, SERVICE)


def sql(host: Host, statement: str) -> list[Any]:
    """Ask the app's database, as the app's user."""
    script = (
        f"import json, sqlite3, sys; d = sqlite3.connect('{DATA}/shop.db', timeout=30, isolation_level=None); "
        "print(json.dumps(d.execute(sys.argv[1]).fetchall()))"
    )
    return list(json.loads(host.check_output("runuser -u shop -- python3 -c %s %s", script, statement)))


@dataclass
class Visits:
    """What visitors were answered: each answer with how often it came, and the longest time that one took."""

    answers: dict[str, int] = field(default_factory=dict)
    longest: float = 0.0


@contextmanager
def visitors(host: Host) -> Iterator[Visits]:
    """Have the app asked, about twenty times a second, while the block runs; what came of it is known afterwards."""
    visits, begun, end = Visits(), "/run/visits-begun", "/run/visits-end"
    printed: list[str] = []
    visit = "timeout 900 /usr/bin/python3 -c %s %s %s %s"
    thread = threading.Thread(
        target=lambda: printed.append(host.check_output(visit, VISIT, SOCKET, begun, end)),
    )
    host.check_output(f"rm -f {begun} {end}")
    thread.start()
    try:
        assert testing.poll(lambda: host.file(begun).exists)
        yield visits
    finally:
        host.check_output(f"touch {end}")
        thread.join()
    visits.answers, visits.longest = json.loads(printed[0])


def test_the_first_run_made_a_backup_and_says_what_it_is_worth(host: Host) -> None:
    report = status(host)
    assert {name: (item["repositories"], item["error"]) for name, item in report["sets"].items()} == {
        name: (["local"], None) for name in ("host", "notes", "shop")
    }
    (warning,) = report["warnings"]
    assert "would be lost with it. Add a repository elsewhere" in warning


def test_secrets_are_for_root_alone(host: Host) -> None:
    for path in ("backup.password", "backup.repositories.json", "backup.json"):
        assert host.file(f"{CONFIGURATION}/{path}").mode == 0o600
    assert host.run(f"runuser -u shop -- ls /var/backups/restic {STATE}/backup").rc != 0
    assert host.check_output(f"cat {CONFIGURATION}/backup.password") not in host.check_output("journalctl --no-pager")


def test_the_nightly_run_and_the_drill(host: Host) -> None:
    before = snapshots(host)["shop"]
    back_up(host)
    after = snapshots(host)["shop"]
    assert len(after) >= len(before)
    assert after[-1] not in before
    assert after[-1] == newest(host, "shop")
    assert not host.file(f"{STATE}/backup/stage").exists
    drill = "groundwork-backup-drill.service"
    assert host.run(f"systemctl start {drill}").rc == 0, testing.journal(host, drill)
    for name, item in status(host)["sets"].items():
        assert item["drill"]["ok"], f"{name}: {item}"
    assert status(host)["sets"]["shop"]["drill"]["databases"] == 1
    assert not host.file(f"{STATE}/backup/drill").exists


def test_all_is_lost_and_comes_back_on_a_host_with_other_ids(host: Host) -> None:
    """Files, owners by name, modes, ACL, times, links and rows: after the restore no difference is left."""
    assert host.run("systemctl stop shop-writer").rc == 0
    sql(host, "INSERT INTO entry (text) VALUES ('kept')")
    entries = sql(host, "SELECT * FROM entry")
    host.check_output(f"setfacl --modify user:www-data:r {DATA}/uploads/private")
    backup(host, "run --set shop")
    before = host.check_output(DESCRIBE)
    assert "user:www-data:r--" in before
    stop = "systemctl stop shop@r1.socket shop@r1.service"
    change = "usermod --uid 1999 shop && groupmod --gid 1999 shop"
    assert host.run(f"{stop}; rm -rf {DATA} && {change}").rc == 0
    backup(host, "restore shop --in-place")
    assert host.check_output(DESCRIBE) == before
    assert host.file(f"{DATA}/shop.db").uid == 1999
    assert sql(host, "SELECT * FROM entry") == entries
    assert sql(host, "PRAGMA journal_mode") == [["wal"]]
    assert sql(host, "SELECT sum(amount) FROM account") == [[2000000]]
    assert host.run("systemctl start shop@r1.socket shop@r1.service shop-writer").rc == 0


def test_a_restore_beside_the_live_files_leaves_them_alone(host: Host) -> None:
    sql(host, "INSERT INTO entry (text) VALUES ('after the backup')")
    entries = sql(host, "SELECT count(*) FROM entry")
    told = json.loads(backup(host, "restore shop --json"))
    picture = host.file(f"{told['target']}{DATA}/uploads/picture.png")
    assert picture.sha256sum == host.file(f"{DATA}/uploads/picture.png").sha256sum
    assert host.file(f"{told['target']}{DATA}/shop.db").user == "shop"
    assert host.file(told["target"]).mode == 0o700
    assert sql(host, "SELECT count(*) FROM entry") == entries
    assert json.loads(backup(host, "restore shop --json")) == told
    assert host.run(f"{PROGRAM} restore host --in-place").rc != 0


def test_the_playbook_brings_the_data_of_a_snapshot_back_and_no_visitor_is_turned_away(host: Host) -> None:
    sql(host, "INSERT INTO entry (text) VALUES ('before the backup')")
    (entries,) = sql(host, "SELECT count(*) FROM entry")
    backup(host, "run --set shop")
    wanted = newest(host, "shop")
    sql(host, "INSERT INTO entry (text) VALUES ('in the next backup')")
    backup(host, "run --set shop")
    sql(host, "DELETE FROM entry")
    with visitors(host) as visits:
        result = testing.play(host, RESTORE, app="shop", snapshot=wanted)
    assert result.returncode == 0, testing.said(result) + testing.journal(host, "shop@r1.service")
    assert set(visits.answers) == {"0", str(entries[0])}, visits.answers
    assert visits.longest < 30
    assert sql(host, "SELECT count(*) FROM entry") == [entries]
    assert sql(host, "SELECT sum(amount) FROM account") == [[2000000]]
    assert host.service("shop@r1.service").is_running
    (place,) = [word.rstrip('.",') for word in testing.said(result).split() if "before-restore" in word]
    assert host.file(f"{place}/shop.db").user == "shop"
    assert place in status(host)["copies"]["shop"]
    assert place in json.loads(backup(host, "forget-copies shop --json"))["removed"]
    assert not host.file(place).exists
    assert "shop" not in status(host)["copies"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"app": "shap"}, "has no backup of shap. It has backups of: host, notes, shop."),
        ({}, "Name the app, as in -e app=shop"),
    ],
)
def test_the_playbook_refuses(host: Host, variables: dict[str, str], message: str) -> None:
    result = testing.play(host, RESTORE, **variables)
    assert result.returncode != 0
    assert message in testing.said(result)
    assert host.service("shop@r1.service").is_running


def test_a_snapshot_that_is_not_there_is_refused_before_the_app_is_stopped(host: Host) -> None:
    """As the playbook calls the program."""
    main = "systemctl show --property=MainPID --value shop@r1.service"
    before = host.check_output(main)
    refused = host.run(f"{PROGRAM} restore shop --in-place --json --snapshot ffffffff --stop shop@r1.service")
    assert refused.rc == 1
    assert "has no snapshot ffffffff of the set shop; there are: " in refused.stderr
    assert newest(host, "shop") in refused.stderr
    assert host.check_output(main) == before != "0"


def test_another_password_is_refused_and_changes_nothing(host: Host) -> None:
    before, password = host.check_output(WRITTEN), host.check_output(f"cat {CONFIGURATION}/backup.password")
    result = testing.play(host, backup_password="another one")
    assert result.returncode != 0
    assert "was made with another password. Put the old one back" in testing.said(result)
    assert password not in testing.said(result)
    assert host.check_output(WRITTEN) == before


@pytest.fixture
def sets_that_fail(host: Host) -> Iterator[list[dict[str, Any]]]:
    """Two sets that cannot be saved and one that can; afterwards the host knows none of them."""
    failing = {"paths": ["/etc/hostname"], "before": ["echo no dump; exit 3"], "after": ["touch /run/after-ran"]}
    yield [
        {"name": "gone", "paths": ["/etc/hostname", "/not/there"]},
        {"name": "failing", **failing},
        {"name": "wiki", "paths": ["/etc/hostname"]},
    ]
    host.check_output(f"cd {CONFIGURATION}/backup.d && rm gone.json failing.json wiki.json")


def test_a_set_that_fails_leaves_no_snapshot_and_holds_up_no_other(
    host: Host, sets_that_fail: list[dict[str, Any]]
) -> None:
    """The play tells what failed, saves the others, and takes the set off that is to go."""
    result = testing.play(host, more_sets=sets_that_fail, backup_absent=["notes"])
    assert result.returncode != 0
    said = testing.said(result)
    assert "/not/there is not there. Correct the paths of the backup set gone." in said
    assert "`echo no dump; exit 3` (before) ended with 3: no dump" in said
    before = {name: newest(host, name) for name in ("shop", "wiki")}
    assert host.run(f"systemctl start {SERVICE}").rc != 0
    assert host.check_output(f"systemctl is-failed {SERVICE}") == "failed"
    there = snapshots(host)
    assert there["gone"] == there["failing"] == []
    for name, snapshot in before.items():
        assert there[name].index(snapshot) < there[name].index(newest(host, name))
    assert "notes" not in status(host)["sets"]
    assert there["notes"]  # what was saved stays
    assert host.file("/run/after-ran").exists
    assert any("The last backup of failing failed" in warning for warning in status(host)["warnings"])


def test_the_next_run_after_a_killed_one_is_green(host: Host) -> None:
    """The program is halted first: else systemd ends restic, which takes its lock away, before the kill reaches it.

    What restic reads takes it longer than any machine takes for the kill.
    """
    locks, kill = "/var/backups/restic/locks", "systemctl kill --signal"
    assert host.run(f"truncate --size=4G {DATA}/big").rc == 0
    try:
        end_both = (
            f"systemctl start --no-block {SERVICE}; "
            f"until pgrep -f '[r]estic backup.*--tag shop' && ls -A {locks} | grep .; do sleep 0.02; done; "
            f"{kill}=STOP {SERVICE}; {kill}=KILL 'groundwork-backup-step-*.service'; {kill}=KILL {SERVICE}"
        )
        assert host.run("timeout 300 sh -c %s", end_both).rc == 0
        assert testing.poll(lambda: host.check_output(f"systemctl show -P ActiveState {SERVICE}") == "failed")
        assert host.check_output(f"ls -A {locks}")
    finally:
        host.run(f"rm {DATA}/big")
    back_up(host)
    assert not host.check_output(f"ls -A {locks}")
    assert host.run(f"{PROGRAM} check --all").rc == 0


def test_the_timer_fires(host: Host) -> None:
    """Its schedule here is far away (converge.yml)."""
    timer, began = "groundwork-backup.timer", "systemctl show --property=ExecMainStartTimestampMonotonic --value"
    assert host.service(timer).is_enabled
    assert host.service("groundwork-backup-drill.timer").is_enabled
    drop_in = f"/run/systemd/system/{timer}.d/often.conf"
    text = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\nAccuracySec=1s\n"
    last = host.check_output(f"{began} {SERVICE}")
    try:
        assert host.run("mkdir -p $(dirname %s); printf %s > %s", drop_in, text, drop_in).rc == 0
        assert host.run(f"systemctl daemon-reload; systemctl restart {timer}").rc == 0
        assert testing.poll(lambda: host.check_output(f"{began} {SERVICE}") != last, 60), testing.journal(host, timer)
    finally:
        host.run(f"rm -r $(dirname {drop_in}); systemctl daemon-reload; systemctl restart {timer}")
    state = "systemctl show --property=ActiveState,Result --value"
    assert testing.poll(lambda: "activating" not in str(host.check_output(f"{state} {SERVICE}")), 300)
    assert "success" in host.check_output(f"{state} {SERVICE}"), testing.journal(host, SERVICE)


def test_one_flipped_bit_is_found_and_the_repository_can_be_replaced(host: Host) -> None:
    """The last test: the repository does not survive it."""
    flip = (
        "import glob, os; path = max(glob.glob('/var/backups/restic/data/*/*'), key=os.path.getsize); "
        "os.chmod(path, 0o600); f = open(path, 'r+b'); f.seek(os.path.getsize(path) // 3); b = f.read(1); "
        "f.seek(-1, 1); f.write(bytes([b[0] ^ 1]))"
    )
    assert host.run("/usr/bin/python3 -c %s", flip).rc == 0
    backup(host, "run --set shop")
    assert host.run(f"{PROGRAM} drill --set shop").rc != 0
    assert not status(host)["sets"]["shop"]["drill"]["ok"]
    assert any("The restore drill of shop from local failed" in warning for warning in status(host)["warnings"])
    assert host.run("mv /var/backups/restic /var/backups/broken").rc == 0
    assert json.loads(backup(host, "run --missing --json"))["changed"]  # as the role calls it
    backup(host, "drill --set shop")
    assert any("was missing and was created anew" in warning for warning in status(host)["warnings"])
