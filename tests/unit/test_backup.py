"""The backup program: what it refuses, copies, remembers and warns of; a restore survives a crash at any step."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "roles" / "backup" / "files" / "backup"


def load() -> Any:
    """The program as a module; it has no suffix and leaves no compiled file beside itself."""
    loader = importlib.machinery.SourceFileLoader("groundwork_backup", str(PROGRAM))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


backup: Any = load()

# A restic that obeys files in its repository's directory: `fail-<verb>` holds an exit status and what to say.
FAKE_RESTIC = """#!{python}
import json, os, sys
home, verb = os.environ["RESTIC_REPOSITORY"], sys.argv[1]
with open(os.environ["FAKE_LOG"], "a") as log:
    log.write(json.dumps([os.path.basename(home), *sys.argv[1:]]) + "\\n")
try:
    status, said = open(f"{{home}}/fail-{{verb}}").read().split(" ", 1)
    print(said, file=sys.stderr)
    code = int(status)
except FileNotFoundError:
    code = 0
if verb == "init":
    os.makedirs(home, exist_ok=True)
    open(f"{{home}}/config", "w")
elif not os.path.exists(f"{{home}}/config"):
    sys.exit("Fatal: unable to open config file\\nIs there a repository at the following location?\\n" + home)
if verb == "backup" and code in (0, 3):
    print(json.dumps({{"message_type": "summary", "snapshot_id": "0123456789abcdef", "total_bytes_processed": 10,
                       "total_files_processed": 2, "data_added": 5}}))
sys.exit(code)
"""


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host: data, a password, two repositories, and a restic that only pretends."""
    (tmp_path / "bin").mkdir()
    restic = tmp_path / "bin" / "restic"
    restic.write_text(FAKE_RESTIC.format(python=sys.executable))
    restic.chmod(0o755)
    monkeypatch.setenv("PATH", f"{restic.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    data = tmp_path / "data"
    data.mkdir()
    (data / "note").write_text("hello")
    (tmp_path / "password").write_text("secret\n")

    def config(*sets: Any, repositories: tuple[str, ...] = ("one", "two"), **more: Any) -> Any:
        return backup.Config(
            host="box",
            sets=sets or (backup.BackupSet("shop", (str(data),)),),
            repositories=tuple(backup.Repository(name, str(tmp_path / name)) for name in repositories),
            password_file=tmp_path / "password",
            state=tmp_path / "state",
            restored=tmp_path / "restored",
            runtime=tmp_path / "run",
            cache=tmp_path / "cache",
            **more,
        )

    def calls(verb: str) -> list[list[str]]:
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        return [line for line in lines if line[1] == verb]

    return SimpleNamespace(path=tmp_path, data=data, config=config, calls=calls)


def database(path: Path, journal_mode: str = "wal", rows: int = 100) -> None:
    """A database with a table t of so many rows."""
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"PRAGMA journal_mode = {journal_mode}")
        made.execute("CREATE TABLE t (x)")
        made.executemany("INSERT INTO t VALUES (?)", [(number,) for number in range(rows)])
        made.commit()


# Configuration


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "Shop", "paths": ["/a"]}, "a name is made of small letters"),
        ({"name": "../x", "paths": ["/a"]}, "a name is made of small letters"),
        ({"name": "shop", "paths": ["exports"]}, "backup set shop: 'exports' must be an absolute path below /"),
        ({"name": "shop", "paths": ["/"]}, "must be an absolute path below /"),
        ({"name": "shop", "paths": ["/srv/.."]}, "must be an absolute path below /"),
        ({"name": "shop", "paths": ["/a"], "databases": ["b.db"]}, "'b.db' must be an absolute path"),
        ({"name": "shop", "paths": []}, "backup set shop has no paths"),
    ],
)
def test_a_set_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(backup.BackupError, match=re.escape(message)):
        backup.BackupSet.parse(given)


GOOD = {"host": "box", "sets": [{"name": "a", "paths": ["/a"]}], "keep": {"daily": 7}, "max_age_hours": 36}


@pytest.mark.parametrize(
    ("settings", "repositories", "message"),
    [
        ({"sets": [*GOOD["sets"], *GOOD["sets"]]}, [{"name": "x", "repository": "/x"}], "two backup sets are called a"),  # type: ignore[misc]
        ({"keep": {"dayly": 7}}, [{"name": "x", "repository": "/x"}], "backup_keep: dayly is none of last, hourly"),
        ({}, [], "there is no backup repository"),
        ({}, [{"name": "x"}], "needs a name and a repository"),
        ({}, [{"name": "x", "repository": "/x"}] * 2, "two backup repositories are called x"),
    ],
)
def test_a_configuration_is_refused(
    tmp_path: Path, settings: dict[str, Any], repositories: list[dict[str, Any]], message: str
) -> None:
    (tmp_path / "backup.json").write_text(json.dumps({**GOOD, **settings}))
    (tmp_path / "backup.repositories.json").write_text(json.dumps(repositories))
    with pytest.raises(backup.BackupError, match=re.escape(message)):
        backup.Config.load(tmp_path)


@pytest.mark.parametrize(
    ("location", "directory", "shown"),
    [
        ("/var/backups/restic", "/var/backups/restic", "/var/backups/restic"),
        ("local:/mnt/x", "/mnt/x", "local:/mnt/x"),
        ("rest:https://me:secret@host/box/", None, "rest:https://host/box/"),
        ("sftp:me@host:dir", None, "sftp:me@host:dir"),
        ("s3:https://host/bucket", None, "s3:https://host/bucket"),
    ],
)
def test_repository(location: str, directory: str | None, shown: str) -> None:
    repository = backup.Repository("x", location)
    assert (repository.directory, repository.shown) == (directory, shown)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T16:14:14.835636626Z", datetime(2026, 11, 23, 16, 14, 14, 835636, timezone.utc)),
        ("2026-11-23T16:14:14.5+02:00", datetime(2026, 11, 23, 14, 14, 14, 500000, timezone.utc)),
        ("2026-11-23T16:14:14+00:00", datetime(2026, 11, 23, 16, 14, 14, 0, timezone.utc)),
        ("2026-11-23T16:14:14Z", datetime(2026, 11, 23, 16, 14, 14, 0, timezone.utc)),
    ],
)
def test_moment(text: str, expected: datetime) -> None:
    assert backup.moment(text) == expected


def test_a_path_is_escaped_as_a_pattern() -> None:
    assert backup.escaped("/a*b/[c]?/d\\e") == "/a\\*b/\\[c]\\?/d\\\\e"


# Files and databases


def test_walk_leaves_out_caches_and_what_it_is_told_and_follows_no_link(tmp_path: Path) -> None:
    for name in ("kept", "cache", "out", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "cache" / "CACHEDIR.TAG").write_bytes(backup.CACHE_SIGNATURE + b"\n")
    (tmp_path / "kept" / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "kept" / "pipe")
    found = {path for path, _status in backup.walk([str(tmp_path / "kept"), str(tmp_path / "cache")], [])}
    assert found == {str(tmp_path / name) for name in ("kept", "kept/file", "kept/link", "kept/pipe", "cache")}
    assert not list(backup.walk([str(tmp_path / "out")], [str(tmp_path / "out")]))


def test_a_database_is_known_by_its_content(tmp_path: Path) -> None:
    database(tmp_path / "photo.jpg")
    (tmp_path / "app.db").write_text("not one")
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "photo.jpg")
    assert [path.name for path in sorted(tmp_path.iterdir()) if backup.is_database(str(path))] == ["photo.jpg"]


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_copy_is_consistent_under_a_writer(tmp_path: Path, journal_mode: str) -> None:
    """Each transaction moves 1 from one account to the other: a torn copy has another sum."""
    path = tmp_path / "odd name?#\n.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute(f"PRAGMA journal_mode = {journal_mode}")
        made.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount)")
        made.execute("CREATE TABLE ballast (x)")
        made.executemany("INSERT INTO account VALUES (?, 1000)", [(1,), (2,)])
        made.executemany("INSERT INTO ballast VALUES (?)", [("x" * 500,) for _turn in range(2000)])
        made.commit()
    ended = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as writer:
            while not ended.wait(0.002):
                writer.execute("BEGIN IMMEDIATE")
                writer.execute("UPDATE account SET amount = amount - 1 WHERE id = 1")
                writer.execute("UPDATE account SET amount = amount + 1 WHERE id = 2")
                writer.execute("COMMIT")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3):
            copy = tmp_path / f"copy-{number}"
            assert backup.copy_database(str(path), str(copy)) == {"journal_mode": journal_mode}
            with closing(sqlite3.connect(copy)) as copied:
                assert copied.execute("SELECT sum(amount) FROM account").fetchone() == (2000,)
                assert copied.execute("PRAGMA journal_mode").fetchone() == (journal_mode,)
    finally:
        ended.set()
        thread.join()


def test_what_is_only_in_the_log_is_copied(tmp_path: Path) -> None:
    database(tmp_path / "app.db", rows=0)
    with closing(sqlite3.connect(tmp_path / "app.db")) as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        backup.copy_database(str(tmp_path / "app.db"), str(tmp_path / "copy"))
    with closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_database_that_needs_an_unknown_extension_is_copied_page_by_page(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as made:
        made.create_collation("house", lambda a, b: (a > b) - (a < b))
        made.execute("CREATE TABLE t (x TEXT COLLATE house UNIQUE)")
        made.executemany("INSERT INTO t VALUES (?)", [("b",), ("a",)])
        made.commit()
    outcome = backup.copy_database(str(tmp_path / "app.db"), str(tmp_path / "copy"))
    with closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT count(*) FROM t NOT INDEXED").fetchone() == (2,), outcome


def test_a_copy_keeps_owner_mode_and_time(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    database(path)
    path.chmod(0o640)
    os.utime(path, (1, 1))
    record = backup.copy_as_owner(str(path), tmp_path / "stage")
    copy = tmp_path / "stage" / "copy"
    found = copy.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_mtime) == (0o640, path.stat().st_uid, 1)
    assert record["sha256"] == backup.sha256(copy)
    assert record["path"] == str(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can copy as somebody else")
def test_a_copy_is_made_with_the_rights_of_the_owner(tmp_path: Path) -> None:
    """A database of nobody's in a directory of root's: nobody cannot get at it, so it is not copied for nobody."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    database(closed / "app.db", journal_mode="delete")
    os.chown(closed / "app.db", 65534, 65534)
    assert "error" in backup.copy_as_owner(str(closed / "app.db"), tmp_path / "stage")


def damaged(path: Path) -> None:
    """What calls itself a database, and is none."""
    path.write_bytes(backup.SQLITE_MAGIC + b"\0" * 50)


def test_the_stage_holds_copies_and_a_manifest(scene: SimpleNamespace) -> None:
    database(scene.data / "app.db")
    damaged(scene.data / "upload")
    (scene.path / "outside").mkdir()
    database(scene.path / "outside" / "more.db")
    item = backup.BackupSet(
        "shop",
        (str(scene.data), str(scene.data / "sub"), str(scene.path / "link")),
        (str(scene.path / "outside/more.db"),),
    )
    (scene.data / "sub").mkdir()
    (scene.path / "link").symlink_to(scene.data)
    stage = backup.Stage(scene.config(item), item)
    stage.fill()
    manifest = json.loads((stage.directory / "manifest.json").read_text())
    assert manifest["paths"] == [str(scene.data)] == stage.paths
    assert [entry["path"] for entry in manifest["databases"]] == [
        str(scene.data / "app.db"),
        str(scene.path / "outside/more.db"),
    ]
    assert {str(scene.data / f"app.db{suffix}") for suffix in ("", "-wal", "-shm", "-journal")} <= set(stage.excluded)
    assert str(scene.data / "upload") not in stage.excluded
    assert [note.split(" is damaged")[0] for note in stage.notes] == [str(scene.data / "upload")]


@pytest.mark.parametrize(
    ("paths", "databases", "message"),
    [
        (("data", "gone"), (), "gone is not there. Correct the paths of the backup set shop."),
        (("data",), ("gone.db",), "gone.db is not an SQLite database, or not there"),
        (("data",), ("data/broken.db",), "broken.db could not be copied"),
    ],
)
def test_the_stage_refuses(
    scene: SimpleNamespace, paths: tuple[str, ...], databases: tuple[str, ...], message: str
) -> None:
    damaged(scene.data / "broken.db")
    item = backup.BackupSet(
        "shop", tuple(str(scene.path / path) for path in paths), tuple(str(scene.path / path) for path in databases)
    )
    with pytest.raises(backup.BackupError, match=re.escape(message)):
        backup.Stage(scene.config(item), item).fill()


# Running


def test_a_run_makes_one_snapshot_in_each_repository_and_forgets_old_ones(scene: SimpleNamespace) -> None:
    config = scene.config()
    assert backup.run(config, [], 2) == (True, [])
    assert [call[0] for call in scene.calls("init")] == ["one", "two"]
    (first, second) = scene.calls("backup")
    assert (first[0], second[0]) == ("one", "two")
    assert first[first.index("--tag") + 1] == "shop"
    assert first[first.index("--host") + 1] == "box"
    assert first[first.index("--") + 1 :] == [str(scene.data), str(config.state / "stage" / "shop")]
    (forget, _environment) = scene.calls("forget")
    assert "--group-by host,tags --keep-daily=7 --keep-weekly=4 --keep-monthly=6 --prune" in " ".join(forget)
    report = backup.Status(config).report()
    assert report["sets"]["shop"]["repositories"] == ["one", "two"]
    assert report["sets"]["shop"]["snapshot"] == "01234567"
    assert not (config.state / "stage").exists()


def test_missing_backs_up_only_what_has_no_backup(scene: SimpleNamespace) -> None:
    shop = backup.BackupSet("shop", (str(scene.data),))
    assert backup.run(scene.config(shop, repositories=("one",)), [], 2, only_missing=True) == (True, [])
    assert backup.run(scene.config(shop, repositories=("one",)), [], 2, only_missing=True) == (False, [])
    # A new repository, a new set, and a set of the host of which nothing is there.
    new, later = backup.BackupSet("new", (str(scene.data),)), backup.BackupSet("host", ("/not/there",), optional=True)
    assert backup.run(scene.config(shop, new, later), [], 2, only_missing=True) == (True, [])
    assert [(call[0], call[call.index("--tag") + 1]) for call in scene.calls("backup")] == [
        ("one", "shop"),
        ("two", "shop"),
        ("one", "new"),
        ("two", "new"),
    ]
    # A repository that somebody removed is made again.
    (scene.path / "one" / "config").unlink()
    assert backup.run(scene.config(shop, new, later), [], 2, only_missing=True) == (True, [])
    assert backup.Status(scene.config()).repositories["one"]["made_anew"]
    assert (scene.path / "log").read_text().count('"forget"') == 0


def test_a_repository_that_fails_holds_up_no_other(scene: SimpleNamespace) -> None:
    backup.run(scene.config(), [], 2)
    (scene.path / "one" / "fail-unlock").write_text("1 Fatal: connection refused")
    changed, problems = backup.run(scene.config(), [], 2)
    assert changed
    assert problems == ["restic unlock in one: Fatal: connection refused"]
    assert [call[0] for call in scene.calls("backup")] == ["one", "two", "two"]
    assert "connection refused" in backup.Status(scene.config()).sets["shop"]["error"]


def test_a_failing_command_leaves_no_snapshot_and_the_last_commands_run(scene: SimpleNamespace) -> None:
    ended = scene.path / "ended"
    failing = backup.BackupSet("shop", (str(scene.data),), before=("echo no dump; exit 3",), after=(f"touch {ended}",))
    other = backup.BackupSet("wiki", (str(scene.data),))
    _changed, problems = backup.run(scene.config(failing, other, repositories=("one",)), [], 2)
    assert problems == ["shop: `echo no dump; exit 3` (before) ended with 3: no dump"]
    assert [call[call.index("--tag") + 1] for call in scene.calls("backup")] == ["wiki"]
    assert ended.exists()


def test_a_wrong_password_is_told(scene: SimpleNamespace) -> None:
    backup.run(scene.config(), [], 2)
    (scene.path / "one" / "fail-unlock").write_text("1 Fatal: wrong password or no key found")
    _changed, problems = backup.run(scene.config(), [], 2)
    assert "was made with another password than the one in" in problems[0]


def test_another_password_is_refused_until_it_opens(scene: SimpleNamespace) -> None:
    config = scene.config(repositories=("one",))
    backup.run(config, [], 2)
    backup.validate(config)
    (scene.path / "password").write_text("other")
    (scene.path / "one" / "fail-cat").write_text("1 Fatal: wrong password or no key found")
    with pytest.raises(backup.BackupError, match=r"was made with another password\. Put the old one back"):
        backup.validate(config)
    (scene.path / "one" / "fail-cat").unlink()
    backup.validate(config)
    (scene.path / "one" / "config").unlink()
    backup.validate(config)


@pytest.mark.parametrize(
    ("there", "ok"), [(False, True), (True, False)], ids=["the file went away meanwhile", "the file could not be read"]
)
def test_an_incomplete_snapshot(scene: SimpleNamespace, there: bool, ok: bool) -> None:
    item = scene.data / "note" if there else scene.data / "gone"
    said = json.dumps({"message_type": "error", "during": "archival", "item": str(item), "error": {}})
    config = scene.config(repositories=("one",))
    backup.run(config, [], 2)
    (scene.path / "one" / "fail-backup").write_text(f"3 {said}")
    _changed, problems = backup.run(config, [], 2)
    assert (problems == []) == ok
    taken_back = [call for call in scene.calls("forget") if call[2:] == ["01234567"]]
    assert bool(taken_back) != ok


# What is remembered, and warned of


def remembered(config: Any, age: timedelta = timedelta(0), **record: Any) -> Any:
    """The status of a host whose set shop was backed up to all repositories so long ago."""
    status = backup.Status(config)
    time = (backup.now() - age).isoformat()
    for repository in config.repositories:
        status.of_repository(repository)
        if repository.directory:
            Path(repository.directory).mkdir(exist_ok=True)
            Path(repository.directory, "config").touch()
        done = {"time": time, "snapshot": "01234567", "size": 1, "files": 1, "added": 1}
        status.of_set("shop")["repositories"][repository.name] = done
    status.of_set("shop").update(record)
    return status


def test_no_warning_when_all_is_well(scene: SimpleNamespace) -> None:
    config = scene.config()
    far = backup.Config(**{**vars(config), "repositories": (backup.Repository("far", "sftp:host:dir"),)})
    assert backup.warnings(remembered(far), backup.now()) == []


@pytest.mark.parametrize(
    ("age", "record", "warning"),
    [
        (timedelta(hours=40), {}, "The last backup of shop in one is of .* Look at: systemctl status"),
        (timedelta(0), {"error": "no dump"}, "The last backup of shop failed: no dump"),
        (timedelta(0), {"notes": ["x is damaged"]}, "shop: x is damaged"),
        (timedelta(0), {"repositories": {}}, "shop has no backup in one. Run: systemctl start groundwork-backup"),
        (
            timedelta(0),
            {"drills": {"one": {"ok": False, "time": "2026-01-01T00:00:00+00:00", "problem": "bad blob"}}},
            "shop could not be restored from one on .*: bad blob",
        ),
    ],
)
def test_warning(scene: SimpleNamespace, age: timedelta, record: dict[str, Any], warning: str) -> None:
    said = backup.warnings(remembered(scene.config(repositories=("one",)), age, **record), backup.now())
    assert said[0].startswith("All backups are on this host")
    assert re.match(warning, said[1])
    assert len(said) == 2


def test_a_repository_that_moved_is_a_new_one(scene: SimpleNamespace) -> None:
    config = scene.config(repositories=("one",))
    remembered(config).save()
    moved = backup.Config(**{**vars(config), "repositories": (backup.Repository("one", "sftp:host:dir"),)})
    assert backup.Status(config).success("shop", config.repositories[0])
    assert backup.Status(moved).success("shop", moved.repositories[0]) is None


# Restoring


def test_owners_follow_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    people = {"shop": 996, "mail": 8}

    def by_name(name: str) -> SimpleNamespace:
        return SimpleNamespace(pw_uid=people[name], pw_gid=people[name], gr_gid=people[name])

    monkeypatch.setattr(backup.pwd, "getpwnam", by_name)
    monkeypatch.setattr(backup.grp, "getgrnam", by_name)
    manifest = {"users": {"999": "shop", "8": "mail", "500": "left"}, "groups": {"997": "shop", "501": "left"}}
    owned, ownerless = backup.BackupSet("s", ("/a",), owner="shop"), backup.BackupSet("s", ("/a",))
    assert backup.owners_of_today(manifest, owned) == ({999: 996, 500: 996}, {997: 996, 501: 996})
    assert backup.owners_of_today(manifest, ownerless) == ({999: 996}, {997: 996})
    with pytest.raises(backup.BackupError, match=r"there is no user gone on this host\. Run the play"):
        backup.owners_of_today(manifest, backup.BackupSet("s", ("/a",), owner="gone"))


class Crash(BaseException):
    """The power goes."""


def restored(path: Path) -> list[dict[str, str]]:
    """A directory and a database that wait to take the places of others; returns the plan."""
    for place, text in ((path / "live", "live"), (path / "new", "restored")):
        (place / "data").mkdir(parents=True)
        (place / "data" / "file").write_text(text)
        (place / "app.db").write_text(text)
    (path / "live" / "app.db-wal").write_text("live")
    return [
        {
            "new": str(path / "new" / name),
            "path": str(path / "live" / name),
            "old": str(path / "live" / f"{name}.before"),
        }
        for name in ("data", "app.db")
    ]


@pytest.mark.parametrize("recreated", [False, True], ids=["", "and the app makes its directory again"])
@pytest.mark.parametrize("steps", range(6))
def test_a_restore_is_finished_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, recreated: bool
) -> None:
    moves, rename, left = restored(tmp_path), os.rename, [steps]

    def crashing(source: str, target: str) -> None:
        if not left[0]:
            raise Crash
        left[0] -= 1
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(backup.os, "rename", crashing)
        if steps < 5:
            with pytest.raises(Crash):
                backup.carry_out(moves)
        else:
            backup.carry_out(moves)
    if recreated and not (tmp_path / "live" / "data").exists():
        (tmp_path / "live" / "data").mkdir()
    told = backup.carry_out(moves)
    assert (tmp_path / "live/data/file").read_text() == "restored"
    assert (tmp_path / "live/data.before/file").read_text() == "live"
    assert (tmp_path / "live/app.db").read_text() == "restored"
    assert (tmp_path / "live/app.db.before").read_text() == "live"
    assert (tmp_path / "live/app.db.before-wal").read_text() == "live"
    assert not (tmp_path / "live/app.db-wal").exists()
    assert [move["previous"] for move in told] == [move["old"] for move in moves]


def test_a_mount_point_is_not_put_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup.os.path, "ismount", lambda path: True)
    with pytest.raises(backup.BackupError, match="/var/lib/shop is a mount point"):
        backup.plan_moves({"paths": ["/var/lib/shop"], "target": "/x", "snapshot": "1"}, "now")


def test_the_host_set_is_not_restored_in_place(scene: SimpleNamespace) -> None:
    item = backup.BackupSet("host", (str(scene.data),), optional=True)
    with pytest.raises(backup.BackupError, match="the set host belongs to the whole host"):
        backup.restore_in_place(scene.config(item), item, lambda: None, "", "latest")


def test_databases_outside_of_the_paths_are_restored_too() -> None:
    manifest = {
        "paths": ["/var/lib/shop"],
        "databases": [{"path": "/var/lib/shop/a.db"}, {"path": "/var/lib/shopping.db"}],
    }
    assert backup.saved_paths(manifest) == ["/var/lib/shop", "/var/lib/shopping.db"]


def test_compare(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d" / "file").write_text("12345")
    (tmp_path / "d" / "link").symlink_to("file")

    def node(path: str, kind: str, **more: Any) -> dict[str, Any]:
        found = os.lstat(tmp_path / "d")
        return {"struct_type": "node", "path": path, "type": kind, "uid": found.st_uid, "gid": found.st_gid, **more}

    mode = (tmp_path / "d" / "file").stat().st_mode
    good = [
        {"struct_type": "snapshot"},
        node("/d", "dir", mode=2147484136),
        node("/d/file", "file", mode=mode, size=5),
        node("/d/link", "symlink", mode=134218239),
    ]
    assert list(backup.compare(good, tmp_path)) == []
    bad = [
        node("/d", "dir", mode=0o755),
        node("/d/file", "file", mode=mode, size=6),
        node("/d/gone", "file", mode=mode, size=6),
        node("/d/link", "file", mode=mode, size=5),
    ]
    assert list(backup.compare(bad, tmp_path)) == [
        "/d has another mode",
        "/d/file has 5 bytes instead of 6",
        "/d/gone is missing",
        "/d/link is not a file",
    ]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "lock"
    with backup.locked(lock):
        code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = subprocess.run([sys.executable, "-c", code, str(lock)], capture_output=True, text=True, check=False)
        assert "BlockingIOError" in other.stderr
        with pytest.raises(backup.BusyError), backup.locked(lock):
            pass
    with backup.locked(lock):
        pass
