"""What is saved, proved and brought back, on a host whose app goes on writing."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import testing
from testinfra.host import Host

PROGRAM = "/usr/local/lib/groundwork/backup"
SERVICE = "groundwork-backup.service"
RESTORE = str(testing.ROOT / "playbooks" / "restore.yml")

# All of a file that a restore has to bring back: kind, mode, owner by name, links, target, time, size, content, ACL.
DESCRIBE = r"""
cd /var/lib/shop
find . -name 'shop.db*' -prune -o -printf '%p %y %m %u:%g %n %l %T+\n' -type f -printf '%p %s\n' | sort
find . -name 'shop.db*' -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
getfacl --recursive --skip-base uploads
stat --format '%n %a %U:%G' . shop.db
"""

VISIT = r"""
import collections, socket, sys, time
end, answers, worst = time.time() + float(sys.argv[1]), collections.Counter(), 0.0
while time.time() < end:
    begin = time.time()
    try:
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.settimeout(30)
            visitor.connect("/srv/shop/current/app.sock")
            visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while part := visitor.recv(1000):
                answer += part
        answers[answer.decode().partition("\r\n\r\n")[2] or "nothing"] += 1
    except OSError as error:
        answers[repr(error)] += 1
    worst = max(worst, time.time() - begin)
    time.sleep(0.02)
import json; print(json.dumps([answers, worst]))
"""


def said(result: subprocess.CompletedProcess[str]) -> str:
    """What a play said, on one line."""
    return " ".join((result.stdout + result.stderr).split())


def run_play(host: Host, **variables: Any) -> str:
    """Run the scenario's play again; it must succeed; returns what it said."""
    result = testing.play(host, "converge.yml", **variables)
    assert result.returncode == 0, result.stdout + result.stderr
    return said(result)


def backup(host: Host, arguments: str) -> str:
    """Run the program; it must succeed."""
    result = host.run(f"{PROGRAM} {arguments}")
    assert result.rc == 0, result.stdout + result.stderr
    return str(result.stdout)


def back_up(host: Host) -> None:
    """Run the nightly service; it must succeed."""
    assert host.run(f"systemctl start {SERVICE}").rc == 0, testing.journal(host, SERVICE)


def status(host: Host) -> dict[str, Any]:
    """What the host remembers."""
    return dict(json.loads(backup(host, "status --json")))


def snapshots(host: Host, name: str) -> list[str]:
    """The snapshots of a set, oldest first."""
    return [item["snapshot"] for item in json.loads(backup(host, "list --json")).get(name, [])]


def sql(host: Host, statement: str) -> list[Any]:
    """Ask the app's database, as the app's user."""
    script = (
        "import json, sqlite3, sys; d = sqlite3.connect('/var/lib/shop/shop.db', timeout=30, isolation_level=None); "
        "print(json.dumps(d.execute(sys.argv[1]).fetchall()))"
    )
    return list(json.loads(host.check_output("runuser -u shop -- python3 -c %s %s", script, statement)))


@pytest.fixture
def as_converged(host: Host) -> Iterator[None]:
    """Puts the configuration back as the scenario made it."""
    yield
    run_play(host, backup_absent=["gone", "failing", "wiki"])


def test_the_first_run_made_a_backup_and_says_what_it_is_worth(host: Host) -> None:
    report = status(host)
    assert {name: item["repositories"] for name, item in report["sets"].items()} == {
        "host": ["local"],
        "shop": ["local"],
    }
    assert [item["error"] for item in report["sets"].values()] == [None, None]
    (warning,) = report["warnings"]
    assert "would be lost with it. Add a repository elsewhere" in warning


def test_secrets_are_for_root_alone(host: Host) -> None:
    for path in ("backup.password", "backup.repositories.json", "backup.json"):
        assert host.file(f"/etc/groundwork/{path}").mode == 0o600
    assert host.run("runuser -u shop -- ls /var/backups/restic /var/lib/groundwork/backup").rc != 0
    assert host.check_output("cat /etc/groundwork/backup.password") not in host.check_output("journalctl --no-pager")


def test_the_nightly_run_and_the_drill(host: Host) -> None:
    before = snapshots(host, "shop")
    back_up(host)
    assert len(snapshots(host, "shop")) >= len(before)
    assert snapshots(host, "shop")[-1] not in before
    assert not host.file("/var/lib/groundwork/backup/stage").exists
    drill = "groundwork-backup-drill.service"
    assert host.run(f"systemctl start {drill}").rc == 0, testing.journal(host, drill)
    for name, item in status(host)["sets"].items():
        assert item["drill"]["ok"], f"{name}: {item}"
    assert status(host)["sets"]["shop"]["drill"]["databases"] == 1
    assert not host.file("/var/lib/groundwork/backup/drill").exists


def test_all_is_lost_and_comes_back_on_a_host_with_other_ids(host: Host) -> None:
    """Files, owners by name, modes, ACL, times, links and rows: after the restore no difference is left."""
    assert host.run("systemctl stop shop-writer").rc == 0
    sql(host, "INSERT INTO entry (text) VALUES ('kept')")
    entries = sql(host, "SELECT * FROM entry")
    back_up(host)
    before = host.check_output(DESCRIBE)
    assert "user:www-data:r--" in before
    stop = "systemctl stop shop@r1.socket shop@r1.service"
    change = "usermod --uid 1999 shop && groupmod --gid 1999 shop"
    assert host.run(f"{stop}; rm -rf /var/lib/shop && {change}").rc == 0
    backup(host, "restore shop --in-place")
    assert host.check_output(DESCRIBE) == before
    assert host.file("/var/lib/shop/shop.db").uid == 1999
    assert sql(host, "SELECT * FROM entry") == entries
    assert sql(host, "PRAGMA journal_mode") == [["wal"]]
    assert sql(host, "SELECT sum(amount) FROM account") == [[2000000]]
    assert host.run("systemctl start shop@r1.socket shop@r1.service shop-writer").rc == 0


@pytest.mark.suite("bookworm")
def test_a_restore_beside_the_live_files_leaves_them_alone(host: Host) -> None:
    sql(host, "INSERT INTO entry (text) VALUES ('after the backup')")
    entries = sql(host, "SELECT count(*) FROM entry")
    told = json.loads(backup(host, "restore shop --json"))
    picture = host.file(f"{told['target']}/var/lib/shop/uploads/picture.png")
    assert picture.sha256sum == host.file("/var/lib/shop/uploads/picture.png").sha256sum
    assert host.file(f"{told['target']}/var/lib/shop/shop.db").user == "shop"
    assert host.file(told["target"]).mode == 0o700
    assert sql(host, "SELECT count(*) FROM entry") == entries
    assert json.loads(backup(host, "restore shop --json")) == told
    assert host.run(f"{PROGRAM} restore host --in-place").rc != 0


def test_the_playbook_brings_data_back_and_no_visitor_is_turned_away(host: Host) -> None:
    (entries,) = sql(host, "SELECT count(*) FROM entry")
    back_up(host)
    seen: list[Any] = []
    visitor = threading.Thread(
        target=lambda: seen.append(json.loads(host.check_output("/usr/bin/python3 -c %s 20", VISIT)))
    )
    visitor.start()
    sql(host, "DELETE FROM entry")
    result = testing.play(host, RESTORE, app="shop")
    visitor.join()
    assert result.returncode == 0, said(result) + testing.journal(host, "shop@r1.service")
    answers, worst = seen[0]
    assert set(answers) == {"0", str(entries[0])}, answers
    assert worst < 10
    assert sql(host, "SELECT count(*) FROM entry") == [entries]
    assert sql(host, "SELECT sum(amount) FROM account") == [[2000000]]
    assert host.service("shop@r1.service").is_running
    (place,) = [word.rstrip('.",') for word in said(result).split() if "before-restore" in word]
    assert host.file(f"{place}/shop.db").user == "shop"
    assert host.run("rm -rf /var/lib/shop.before-restore-*").rc == 0


@pytest.mark.suite("trixie")
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"app": "shap"}, "has no backup of shap. It has backups of: host, shop."),
        ({"app": "shop", "snapshot": "ffffffff"}, "has no snapshot ffffffff of the set shop; there are: "),
        ({}, "Name the app, as in -e app=shop"),
    ],
)
def test_the_playbook_refuses(host: Host, variables: dict[str, str], message: str) -> None:
    result = testing.play(host, RESTORE, **variables)
    assert result.returncode != 0
    assert message in said(result)
    assert host.service("shop@r1.service").is_running


@pytest.mark.suite("bookworm")
def test_a_set_that_fails_leaves_no_snapshot_and_holds_up_no_other(host: Host, as_converged: None) -> None:
    sets = [
        {"name": "gone", "paths": ["/etc/hostname", "/not/there"]},
        {
            "name": "failing",
            "paths": ["/etc/hostname"],
            "before": ["echo no dump; exit 3"],
            "after": ["touch /run/after-ran"],
        },
        {"name": "wiki", "paths": ["/etc/hostname"]},
    ]
    result = testing.play(host, more_sets=sets)
    assert result.returncode != 0
    assert "/not/there is not there. Correct the paths of the backup set gone." in said(result)
    assert "`echo no dump; exit 3` (before) ended with 3: no dump" in said(result)
    shop = snapshots(host, "shop")
    assert host.run(f"systemctl start {SERVICE}").rc != 0
    assert host.check_output(f"systemctl is-failed {SERVICE}") == "failed"
    assert snapshots(host, "gone") == snapshots(host, "failing") == []
    assert snapshots(host, "wiki")
    assert snapshots(host, "shop")[-1] not in shop
    assert host.file("/run/after-ran").exists
    assert any("The last backup of failing failed" in warning for warning in status(host)["warnings"])


@pytest.mark.suite("trixie")
def test_another_password_is_refused_and_changes_nothing(host: Host) -> None:
    before = host.check_output("cat /etc/groundwork/backup.password")
    result = testing.play(host, backup_password="another one")
    assert result.returncode != 0
    assert "was made with another password. Put the old one back" in said(result)
    assert before not in said(result)
    assert host.check_output("cat /etc/groundwork/backup.password") == before
    assert "changed=0 " in run_play(host)


def test_the_next_run_after_a_killed_one_is_green(host: Host) -> None:
    locks = "/var/backups/restic/locks"
    assert host.run("head -c 300000000 /dev/urandom > /var/lib/shop/big").rc == 0
    try:
        kill = (
            f"systemctl start --no-block {SERVICE}; "
            f"until pgrep -f '[r]estic backup.*--tag shop' && ls -A {locks} | grep .; do sleep 0.02; done; "
            f"systemctl kill --signal=KILL {SERVICE}"
        )
        assert host.run("timeout 60 sh -c %s", kill).rc == 0
        assert testing.poll(lambda: host.check_output(f"systemctl show -P ActiveState {SERVICE}") == "failed")
        assert host.check_output(f"ls -A {locks}")
    finally:
        host.run("rm /var/lib/shop/big")
    back_up(host)
    assert not host.check_output(f"ls -A {locks}")
    assert host.run(f"{PROGRAM} check --all").rc == 0


def test_the_timer_fires(host: Host) -> None:
    timer, began = "groundwork-backup.timer", "systemctl show --property=ExecMainStartTimestampMonotonic --value"
    assert host.service(timer).is_enabled
    assert host.service("groundwork-backup-drill.timer").is_enabled
    drop_in = f"/run/systemd/system/{timer}.d/often.conf"
    text = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/5\nRandomizedDelaySec=0\nAccuracySec=1s\n"
    last = host.check_output(f"{began} {SERVICE}")
    try:
        assert host.run("mkdir -p $(dirname %s); printf %s > %s", drop_in, text, drop_in).rc == 0
        assert host.run(f"systemctl daemon-reload; systemctl restart {timer}").rc == 0
        assert testing.poll(lambda: host.check_output(f"{began} {SERVICE}") != last, 30), testing.journal(host, timer)
    finally:
        host.run(f"rm -r $(dirname {drop_in}); systemctl daemon-reload; systemctl restart {timer}")
    state = "systemctl show --property=ActiveState,Result --value"
    ended: Callable[[], bool] = lambda: "activating" not in host.check_output(f"{state} {SERVICE}")  # noqa: E731
    assert testing.poll(ended, 60)
    assert "success" in host.check_output(f"{state} {SERVICE}"), testing.journal(host, SERVICE)


def test_one_flipped_bit_is_found_and_the_repository_can_be_replaced(host: Host) -> None:
    """The last test: the repository does not survive it."""
    flip = (
        "import glob, os; path = max(glob.glob('/var/backups/restic/data/*/*'), key=os.path.getsize); "
        "os.chmod(path, 0o600); f = open(path, 'r+b'); f.seek(os.path.getsize(path) // 3); b = f.read(1); "
        "f.seek(-1, 1); f.write(bytes([b[0] ^ 1]))"
    )
    assert host.run("/usr/bin/python3 -c %s", flip).rc == 0
    back_up(host)
    drill = "groundwork-backup-drill.service"
    assert host.run(f"systemctl start {drill}").rc != 0
    assert not status(host)["sets"]["shop"]["drill"]["ok"], testing.journal(host, drill)
    assert any("shop could not be restored from local" in warning for warning in status(host)["warnings"])
    assert host.run("mv /var/backups/restic /var/backups/broken").rc == 0
    assert "changed=1 " in run_play(host)
    assert host.run(f"systemctl start {drill}").rc == 0, testing.journal(host, drill)
    assert any("was gone and was made anew" in warning for warning in status(host)["warnings"])
