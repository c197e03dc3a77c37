"""What an app has in PostgreSQL and in Redis is saved while it writes, comes back whole, and is drilled."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest
import services
import testing
from testinfra.host import Host
from testing import on_host
from visitor import Site

PROGRAM = f"{on_host('programs')}/backup"
RESTORE = str(testing.ROOT / "playbooks" / "restore.yml")
DATA = on_host("data", "shop")
TIMERS = "groundwork-backup.timer groundwork-backup-drill.timer"
# Writes the same number into a table, a queue and a file until it is told to end. Both servers know it by its name.
WRITER = """
export PGAPPNAME={name}
exec 3> >({psql} --quiet) 4> >(redis-cli -s {redis} > /dev/null)
echo "CLIENT SETNAME {name}" >&4
i=0
while :; do
  i=$((i + 1))
  echo "INSERT INTO written (number, text) VALUES ($i, md5('$i'));" >&3
  echo "RPUSH written $i" >&4
  echo $i >> {data}/written
done
"""
WRITING = "shop-test-writer"
# Runs the program with one of its functions replaced, as if something had gone wrong at that very place.
PATCHED = """
import os, sys
sys.path.insert(0, "{packages}")
from groundwork_backup.backup import cli, restore, service_database
{patch}
sys.exit(cli.main({arguments!r}))
"""


@pytest.fixture(scope="module", autouse=True)
def _alone(host: Host) -> Iterator[None]:
    """No backup or drill on a schedule: it would be the latest snapshot, or keep the tests' own from running."""
    host.check_output(f"systemctl stop {TIMERS}")
    started = f"systemctl is-active {TIMERS.replace('.timer', '.service')}"
    assert testing.poll(lambda: "activating" not in host.run(started).stdout, 300)
    yield
    host.check_output(f"systemctl start {TIMERS}")


def backup(host: Host, *arguments: str) -> str:
    """Run the program; it must succeed."""
    done = host.run(shlex.join((PROGRAM, *arguments)))
    assert done.rc == 0, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


def patched(host: Host, patch: str, *arguments: str) -> tuple[int, str]:
    """Run the program with a patch; its exit status and what it printed."""
    program = PATCHED.format(packages=on_host("packages"), patch=patch, arguments=list(arguments))
    done = host.run("/usr/bin/python3 -I -c %s", program)
    return done.rc, str(done.stdout + done.stderr)


def state(host: Host) -> list[list[str]]:
    """What the app has: the rows of the table that the writer fills, the entries of its queue, its file."""
    return [
        services.postgresql(host, "shop", "SELECT id, number, text FROM written ORDER BY id").splitlines(),
        services.redis(host, "shop", "lrange", "written", "0", "-1").split(),
        host.check_output(f"cat {DATA}/written").split(),
    ]


def databases(host: Host) -> list[str]:
    """The databases of the app."""
    query = "SELECT datname FROM pg_database WHERE datname = 'shop' OR datname LIKE 'shop.%' ORDER BY 1"
    return services.superuser(host, query).splitlines()


def wipe(host: Host) -> None:
    """Lose it all: an empty database, as the first deploy on another host makes it, an empty Redis and no file."""
    services.superuser(host, "DROP DATABASE shop WITH (FORCE)")
    services.superuser(host, "CREATE DATABASE shop OWNER shop")
    services.postgresql(host, "shop", "CREATE TABLE written (id int)")
    services.redis(host, "shop", "flushall")
    host.check_output(f"rm -f {DATA}/written")


@pytest.fixture
def written(host: Host) -> Iterator[list[list[str]]]:
    """What the app had when it was saved; it went on writing meanwhile."""
    services.postgresql(host, "shop", "CREATE TABLE written (id bigserial PRIMARY KEY, number int, text text)")
    services.postgresql(host, "shop", "CREATE TABLE emptied (id int)")
    writer = WRITER.format(
        data=DATA,
        name=WRITING,
        psql=f"{services.PSQL} --dbname=shop",
        redis=services.record(host, "shop", "redis")["queue"],
    )
    host.check_output(f"systemd-run --quiet --collect --unit={WRITING} --uid=shop bash -c %s", writer)
    assert testing.poll(lambda: min(map(len, state(host))) > 1)
    backup(host, "run", "--set", "shop")
    host.check_output(f"systemctl stop {WRITING}")
    # What was sent before the end is written after it, for as long as the servers have the connections.
    sessions = "SELECT application_name FROM pg_stat_activity"
    assert testing.poll(lambda: WRITING not in services.superuser(host, sessions).splitlines())
    assert testing.poll(lambda: f"name={WRITING} " not in services.redis(host, "shop", "client", "list"))
    live = state(host)
    yield live
    host.run(f"systemctl stop {WRITING}")
    backup(host, "forget-copies", "shop")
    services.postgresql(host, "shop", "DROP TABLE IF EXISTS written, emptied")
    services.redis(host, "shop", "del", "written")
    host.run(f"rm -f {DATA}/written")


def test_all_is_lost_and_comes_back(host: Host, shop: Site, written: list[list[str]]) -> None:
    wipe(host)
    told = backup(host, "restore", "shop", "--in-place")
    for live, restored in zip(written, state(host), strict=True):
        assert len(restored) > 1
        assert restored == live[: len(restored)]  # It was written on after the snapshot.
    services.postgresql(host, "shop", "INSERT INTO written (number) VALUES (0)")
    assert "the PostgreSQL database shop; what was there is now shop.before_" in told
    assert f"{on_host('redis_data', 'shop')}, what Redis keeps; what was there is now" in told
    assert services.order(shop).status == 303
    backup(host, "forget-copies", "shop")
    assert databases(host) == ["shop"]


CUT = """
real = service_database.AsTheApp.take
def take(app, out, target):
    if (out / "dump").exists():
        os.truncate(out / "dump", (out / "dump").stat().st_size - 2000)
    return real(app, out, target)
service_database.AsTheApp.take = take
"""
MORE = """
real = service_database.counted
def counted(answer):
    return {name: rows + (name == "public.written") for name, rows in real(answer).items()}
service_database.counted = counted
"""
KILLED = """
def killed(*arguments):
    real(*arguments)
    os.kill(os.getpid(), 9)
real, restore.exchange = restore.exchange, killed
"""


@pytest.mark.full
def test_a_dump_that_is_cut_short_is_refused_and_the_live_one_left_alone(host: Host, written: list[list[str]]) -> None:
    assert patched(host, CUT, "run", "--set", "shop")[0] == 0
    done = host.run(f"{PROGRAM} restore shop --in-place")
    assert done.rc == 1
    assert "PostgreSQL cannot be restored, and nothing was changed: " in done.stderr
    assert state(host) == written
    assert databases(host) == ["shop"]


def test_killed_in_the_middle_the_next_call_finishes_it(host: Host, shop: Site, written: list[list[str]]) -> None:
    backup(host, "run", "--set", "shop")
    wipe(host)
    assert patched(host, KILLED, "restore", "shop", "--in-place")[0] != 0
    assert testing.poll(lambda: host.run("systemctl is-active shop.redis").stdout.strip() == "active", 120)
    told = backup(host, "restore", "shop", "--in-place")
    assert "An interrupted restore of shop from snapshot" in told
    assert state(host) == written
    assert testing.poll(lambda: shop.get("/healthz").status == 200, 120)
    assert services.units(host, "shop")["shop.redis.service"] == "active"


class TestDrill:
    """A restore drill loads what was saved beside what is live."""

    def test_it_passes_and_leaves_nothing(self, host: Host, written: list[list[str]]) -> None:
        told = backup(host, "drill", "--set", "shop")
        assert "tables of PostgreSQL, " in told
        assert "keys in Redis" in told
        assert databases(host) == ["shop"]
        assert state(host) == written

    def test_a_row_that_is_missing_is_caught(self, host: Host, written: list[list[str]]) -> None:
        assert patched(host, MORE, "run", "--set", "shop")[0] == 0
        have = len(written[0])
        done = host.run(f"{PROGRAM} drill --set shop")
        assert done.rc == 1
        assert f"PostgreSQL: the table public.written has {have} rows instead of {have + 1}" in done.stderr
        assert databases(host) == ["shop"]
        backup(host, "run", "--set", "shop")


@pytest.mark.full
@pytest.mark.usefixtures("written")
def test_rows_that_are_truncated_while_they_are_dumped_are_in_the_dump_and_counted(host: Host) -> None:
    services.postgresql(host, "shop", "INSERT INTO emptied SELECT generate_series(1, 1000)")
    more = "SELECT repeat(md5(g::text), 20) FROM generate_series(1, 200000) g"
    services.postgresql(host, "shop", f"INSERT INTO written (text) {more}")
    psql = f"{services.PSQL} --dbname=shop --command='TRUNCATE emptied'"
    host.check_output(f"systemd-run --quiet --on-active=1s --timer-property=AccuracySec=10ms --uid=shop {psql}")
    backup(host, "run", "--set", "shop")
    backup(host, "drill", "--set", "shop")
    assert testing.poll(lambda: services.postgresql(host, "shop", "SELECT count(*) FROM emptied") == "0")


@pytest.mark.full
@pytest.mark.usefixtures("written")
def test_the_playbook_says_what_came_back(host: Host) -> None:
    result = testing.play(host, RESTORE, app="shop")
    assert result.returncode == 0, testing.said(result)
    said = " ".join(testing.said(result).split())
    assert "the PostgreSQL database shop; what was there is kept in the database shop.before_" in said
    assert "what Redis keeps; what was there is kept in" in said


def test_no_file_of_a_backup_is_the_app_s_to_read(host: Host) -> None:
    state_of_root = f"{on_host('state')}/backup"
    assert "Permission denied" in services.refused(host, "shop", f"ls {state_of_root}")
    assert json.loads(backup(host, "status", "--json"))["sets"]["shop"]["error"] is None
