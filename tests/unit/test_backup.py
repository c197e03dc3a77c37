"""The backup program: what it refuses, copies, remembers and warns of; a restore survives a crash at any step."""

from __future__ import annotations

import hashlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import pwd
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "roles" / "backup" / "files" / "backup"


def load() -> Any:
    """The program as a module, with its parts; it has no suffix and leaves no compiled file beside itself."""
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
programs: Any = backup.programs
tree: Any = backup.tree
# What opens databases is a program of its own, which the backup never imports.
copier: Any = importlib.import_module("copier")

# A restic that obeys files in its repository's directory: `fail-<verb>` holds an exit status and what to say.
FAKE_RESTIC = """#!{python}
import json, os, sys
home, verb = os.environ["RESTIC_REPOSITORY"], sys.argv[1]
LISTS = {{"--files-from-raw": "\\0", "--exclude-file": "\\n"}}
lists = {{option: open(sys.argv[sys.argv.index(option) + 1]).read().split(end)[:-1]
          for option, end in LISTS.items() if option in sys.argv}}
with open(os.path.dirname(home) + "/log", "a") as log:
    log.write(json.dumps([os.path.basename(home), *sys.argv[1:], lists]) + "\\n")
try:
    status, said = open(f"{{home}}/fail-{{verb}}").read().split(" ", 1)
    code = int(status)
    print(said, file=sys.stderr)
except FileNotFoundError:
    code = 0
if verb == "init":
    os.makedirs(home, exist_ok=True)
    open(f"{{home}}/config", "w")
elif not os.path.exists(f"{{home}}/config"):
    sys.exit("Fatal: unable to open config file\\nIs there a repository at the following location?\\n" + home)
if verb == "backup" and code in (0, 3):
    print(json.dumps({{"message_type": "summary", "snapshot_id": "0123456789abcdef", "data_added": 5,
                       "total_bytes_processed": 10, "total_files_processed": 2,
                       **json.loads(os.environ.get("FAKE_SUMMARY", "{{}}"))}}))
sys.exit(code)
"""


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host: data, a password, two repositories, and a restic that only pretends."""
    (tmp_path / "bin").mkdir()
    restic = tmp_path / "bin" / "restic"
    restic.write_text(FAKE_RESTIC.format(python=sys.executable))
    restic.chmod(0o755)
    monkeypatch.setattr(programs, "in_unit", in_no_unit)
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
            restic=str(restic),
            **more,
        )

    def calls(verb: str) -> list[list[str]]:
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        return [line for line in lines if line[1] == verb]

    return SimpleNamespace(path=tmp_path, data=data, config=config, calls=calls)


def in_no_unit(
    argv: Sequence[str], sandbox: list[tuple[str, str]], seconds: float, given: bytes = b"", limit: int = 0
) -> tuple[int, str]:
    """A step as it is without systemd: of the sandbox, the account."""
    user = dict(sandbox).get("User")
    account = pwd.getpwnam(user) if user else None
    done = subprocess.run(
        argv,
        input=given.decode(),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        user=account and account.pw_uid,
        group=account and account.pw_gid,
        extra_groups=[] if account else None,
    )
    return done.returncode, done.stdout + done.stderr


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
        ({"name": "shop", "paths": ["//"]}, "must be an absolute path below /"),
        ({"name": "shop", "paths": ["/a"], "databases": ["b.db"]}, "'b.db' must be an absolute path"),
        ({"name": "shop", "paths": []}, "backup set shop has no paths"),
        (
            {"name": "shop", "paths": ["/srv/../etc"]},
            "'/srv/../etc' must be a path without '..' and control characters",
        ),
        ({"name": "shop", "paths": ["/srv/a\nb"]}, "must be a path without '..' and control characters"),
        ({"name": "shop", "paths": ["/a"], "user": "shop -x"}, "user 'shop -x' is not the name of a user"),
        ({"name": "shop", "paths": ["/a"], "timeout": "1h"}, "timeout '1h' is not a number of seconds"),
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


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/a*b/[c]?/d\\e", "/a\\*b/\\[c]\\?/d\\\\e"),
        ("/$HOME/a$$", "/$$HOME/a$$$$"),
        ("/a\nb", "/a[\t-\v]b"),
        ("/a  ", "/a [ ]"),
        ("/a\r", "/a[\r]"),
        ("/a\n", "/a[\t-\v]"),
        ("/ a#!", "/ a#!"),
    ],
)
def test_a_path_is_escaped_as_a_line_of_patterns(path: str, pattern: str) -> None:
    assert backup.escaped(path) == pattern


# Files and databases


def test_walk_leaves_out_caches_and_what_it_is_told_and_follows_no_link(tmp_path: Path) -> None:
    for name in ("kept", "cache", "out", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "cache" / "CACHEDIR.TAG").write_bytes(tree.CACHE_SIGNATURE + b"\n")
    (tmp_path / "kept" / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "kept" / "pipe")
    walk = tree.Walk([str(tmp_path / "kept"), str(tmp_path / "cache")])
    found = {item.path for item in walk}
    assert found == {str(tmp_path / name) for name in ("kept", "kept/file", "kept/link", "kept/pipe", "cache")}
    assert walk.caches == [str(tmp_path / "cache")]
    assert not list(tree.Walk([str(tmp_path / "out")], [str(tmp_path / "out")]))


def test_a_database_is_known_by_its_content(tmp_path: Path) -> None:
    database(tmp_path / "photo.jpg")
    (tmp_path / "app.db").write_text("not one")
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "photo.jpg")
    found = [backup.find_database(item) for item in tree.Walk([str(tmp_path)])]
    assert [database.path for database in found if database] == [str(tmp_path / "photo.jpg")]


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
            assert copier.copy_database(str(path), str(copy)) == {"journal_mode": journal_mode}
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
        copier.copy_database(str(tmp_path / "app.db"), str(tmp_path / "copy"))
    with closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_database_that_needs_an_unknown_extension_is_copied_page_by_page(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as made:
        made.create_collation("house", lambda a, b: (a > b) - (a < b))
        made.execute("CREATE TABLE t (x TEXT COLLATE house UNIQUE)")
        made.executemany("INSERT INTO t VALUES (?)", [("b",), ("a",)])
        made.commit()
    outcome = copier.copy_database(str(tmp_path / "app.db"), str(tmp_path / "copy"))
    with closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT count(*) FROM t NOT INDEXED").fetchone() == (2,), outcome


def staged(scene: SimpleNamespace, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The filled stage of a set of the data, and its manifest."""
    item = backup.BackupSet("shop", (str(scene.data),), **options)
    stage = backup.Stage(scene.config(item), item)
    stage.fill(60)
    return stage, json.loads((stage.directory / "manifest.json").read_text())


def test_a_copy_keeps_owner_mode_and_time(scene: SimpleNamespace) -> None:
    path = scene.data / "app.db"
    database(path)
    path.chmod(0o640)
    os.utime(path, (1, 1))
    stage, manifest = staged(scene)
    (record,) = manifest["databases"]
    copy = stage.directory / record["copy"]
    found = copy.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_mtime) == (0o640, path.stat().st_uid, 1)
    assert record["sha256"] == hashlib.sha256(copy.read_bytes()).hexdigest()
    assert record["path"] == str(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can copy as somebody else")
def test_a_copy_is_made_with_the_rights_of_the_owner(scene: SimpleNamespace) -> None:
    """A database of nobody's in a directory of root's: nobody cannot get at it, so it is not copied for nobody."""
    scene.data.chmod(0o700)
    database(scene.data / "app.db", journal_mode="delete")
    os.chown(scene.data / "app.db", 65534, 65534)
    with pytest.raises(backup.BackupError, match=r"app\.db could not be copied"):
        staged(scene)


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
    stage.fill(60)
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
        backup.Stage(scene.config(item), item).fill(60)


# Running


def test_a_run_makes_one_snapshot_in_each_repository_and_forgets_old_ones(scene: SimpleNamespace) -> None:
    config = scene.config()
    assert backup.run(config, [], 2) == (True, [])
    assert [call[0] for call in scene.calls("init")] == ["one", "two"]
    (first, second) = scene.calls("backup")
    assert (first[0], second[0]) == ("one", "two")
    assert first[first.index("--tag") + 1] == "shop"
    assert first[first.index("--host") + 1] == "box"
    assert first[-1]["--files-from-raw"] == [str(scene.data), str(config.state / "stage" / "shop")]
    (forget, _environment) = scene.calls("forget")
    assert "--group-by host,tags --keep-daily=7 --keep-weekly=4 --keep-monthly=6 --prune" in " ".join(forget[:-1])
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
    assert problems == [
        "restic unlock in one: Fatal: connection refused",
        "not saved, or not everywhere: shop (of 1 sets)",
    ]
    assert [call[0] for call in scene.calls("backup")] == ["one", "two", "two"]
    assert "connection refused" in backup.Status(scene.config()).sets["shop"]["error"]


def test_a_failing_command_leaves_no_snapshot_and_the_last_commands_run(scene: SimpleNamespace) -> None:
    ended = scene.path / "ended"
    failing = backup.BackupSet("shop", (str(scene.data),), before=("echo no dump; exit 3",), after=(f"touch {ended}",))
    other = backup.BackupSet("wiki", (str(scene.data),))
    _changed, problems = backup.run(scene.config(failing, other, repositories=("one",)), [], 2)
    assert problems == [
        "shop: `echo no dump; exit 3` (before) ended with 3: no dump",
        "not saved, or not everywhere: shop (of 2 sets)",
    ]
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
    taken_back = [call for call in scene.calls("forget") if call[2:-1] == ["01234567"]]
    assert bool(taken_back) != ok


# What an app's data may be like


def deep(path: Path, levels: int) -> None:
    """Make directories within each other whose path is longer than any program can name."""
    here = os.open(path, os.O_RDONLY)
    for _level in range(levels):
        os.mkdir("d" * 200, dir_fd=here)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(here)
        here = inner
    os.close(here)


def test_what_cannot_be_saved_is_left_out_and_named(scene: SimpleNamespace) -> None:
    """Sparse beyond the disk, too deep, no file at all: none of it stops the set."""
    for name, start in (("sparse", b""), ("sparse.db", backup.SQLITE_MAGIC)):
        with (scene.data / name).open("wb") as stream:
            stream.write(start)
            stream.truncate(4 << 40)
    os.mkfifo(scene.data / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(scene.data, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    deep(scene.data, 25)
    stage, manifest = staged(scene)
    assert [note.split(": ")[0] for note in stage.notes] == [
        f"{scene.data}/sparse is left out",
        f"{scene.data}/sparse.db is left out",
        "left out, for its path has more than 3500 bytes",
    ]
    assert manifest["databases"] == []
    assert all(len(os.fsencode(path)) < 3800 for path in stage.excluded)
    assert len([path for path in stage.excluded if "ddd" in path]) == 1
    for name in ("fifo", "socket", "note"):
        assert str(scene.data / name) not in stage.excluded


def test_long_lists_reach_restic_by_file(scene: SimpleNamespace) -> None:
    for number in range(300):
        database(scene.data / f"{number:0200}.db", rows=1)
    assert backup.run(scene.config(repositories=("one",)), [], 2) == (True, [])
    ((*argv, lists),) = scene.calls("backup")
    assert len(" ".join(argv)) < 1000
    assert len(lists["--exclude-file"]) > 1200


def test_files_that_vanish_stop_nothing(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (scene.data / name).mkdir()
        database(scene.data / name / "app.db")
    find = backup.find_database

    def vanishing(item: Any) -> Any:
        shutil.rmtree(scene.data / "a", ignore_errors=True)
        (scene.data / "b" / "app.db").unlink(missing_ok=True)
        return find(item)

    monkeypatch.setattr(backup, "find_database", vanishing)
    _stage, manifest = staged(scene)
    assert [record["path"] for record in manifest["databases"]] == [str(scene.data / "c" / "app.db")]


class Hostile:
    """What a step of one set does to the program."""

    @staticmethod
    def unlisted(*_arguments: Any, **_options: Any) -> None:
        raise OSError(36, "File name too long")

    @staticmethod
    def wrong(*_arguments: Any, **_options: Any) -> None:
        raise RecursionError

    @staticmethod
    def slow(*_arguments: Any, **_options: Any) -> None:
        threading.Event().wait(60)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        (Hostile.unlisted, "preparing it: OSError: [Errno 36] File name too long"),
        (Hostile.wrong, "preparing it: RecursionError: "),
        (Hostile.slow, "preparing it took longer than 1 s, and was ended"),
    ],
)
def test_one_set_s_trouble_is_its_own(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, how: Any, error: str
) -> None:
    paths = (str(scene.data),)
    bad, good = backup.BackupSet("bad", paths, timeout=1), backup.BackupSet("good", paths)
    fill = backup.Stage.fill

    def filling(stage: Any, seconds: float) -> None:
        if stage.item.name == "bad":
            how()
        fill(stage, seconds)

    monkeypatch.setattr(backup.Stage, "fill", filling)
    config = scene.config(bad, good, repositories=("one",))
    _changed, problems = backup.run(config, [], 2)
    assert problems == [f"bad: {error}", "not saved, or not everywhere: bad (of 2 sets)"]
    report = backup.Status(config).report()["sets"]
    assert (report["bad"]["error"], report["good"]["error"]) == (error, None)
    assert report["bad"]["tried"]
    assert report["good"]["snapshot"] == "01234567"


def test_a_command_that_hangs_is_ended_with_what_it_started(scene: SimpleNamespace) -> None:
    paths, pid = (str(scene.data),), scene.path / "pid"
    hanging = backup.BackupSet("bad", paths, before=(f"sleep 600 & echo $! > {pid}; wait",), timeout=1)
    config = scene.config(hanging, backup.BackupSet("good", paths), repositories=("one",))
    _changed, problems = backup.run(config, [], 2)
    assert problems[0] == "bad: preparing it took longer than 1 s, and was ended"
    assert [call[call.index("--tag") + 1] for call in scene.calls("backup")] == ["good"]
    status = Path(f"/proc/{pid.read_text().strip()}/status")
    assert not status.exists() or "(zombie)" in status.read_text()


def test_limits_in_each_other() -> None:
    def work() -> None:
        with programs.limited(0.05, "outer"):
            with programs.limited(60, "inner"):
                pass
            threading.Event().wait(60)

    with pytest.raises(programs.TimeLimitError, match="outer"):
        work()


# A copy that is much smaller


def summary(monkeypatch: pytest.MonkeyPatch, size: int, files: int) -> None:
    """Have restic say that it has saved this."""
    told = {"total_bytes_processed": size, "total_files_processed": files}
    monkeypatch.setenv("FAKE_SUMMARY", json.dumps(told))


def test_a_much_smaller_copy_is_saved_and_warned_of_for_a_week(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = scene.config(repositories=("one",))
    monkeypatch.setattr(programs, "PROXIES", ("FAKE_SUMMARY",))

    def told(size: int, files: int, day: int) -> list[str]:
        summary(monkeypatch, size, files)
        monkeypatch.setattr(backup, "now", lambda: datetime(2026, 11, day, tzinfo=timezone.utc))
        assert backup.run(config, [], 2) == (True, [])
        found = backup.Status(config)
        assert found.sets["shop"]["repositories"]["one"]["size"] == size
        return [text for text in backup.warnings(found, backup.now()) if "much smaller" in text]

    assert told(100 << 20, 1000, 1) == []
    assert told(60 << 20, 600, 2) == []  # the next one is compared with this
    (warning,) = told(20 << 20, 400, 3)
    assert "smaller than on 2026-11-02" in warning
    assert "(snapshot 01234567 in one): 20.0 MiB instead of 60.0 MiB." in warning
    assert len(told(20 << 20, 400, 9)) == 1
    assert told(20 << 20, 400, 10) == []
    assert told(20 << 20, 400, 11) == []
    assert "100 files instead of 400" in told(20 << 20, 100, 12)[0]
    assert told(20 << 20, 400, 13) == []


@pytest.mark.parametrize(
    ("size", "files", "databases", "lost"),
    [
        (10_000_000, 100, {"/a.db": 100_000}, []),
        (5_000_000, 50, {"/a.db": 50_000, "/new.db": 1}, []),
        (4_999_999, 100, {"/a.db": 100_000}, ["4.8 MiB instead of 9.5 MiB"]),
        (10_000_000, 49, {"/a.db": 100_000}, ["49 files instead of 100"]),
        (10_000_000, 100, {"/a.db": 8192}, ["the database /a.db has 8.0 KiB instead of 97.7 KiB"]),
        (10_000_000, 100, {}, ["the database /a.db is gone"]),
    ],
)
def test_losses(size: int, files: int, databases: dict[str, int], lost: list[str]) -> None:
    last = {"size": 10_000_000, "files": 100, "databases": {"/a.db": 100_000, "/small.db": 8192}}
    stage = SimpleNamespace(databases={"/small.db": 8192, **databases}, caches=[])
    assert backup.losses(last, {"size": size, "files": files}, stage) == lost


def test_a_planted_cache_is_named(scene: SimpleNamespace) -> None:
    (scene.data / "CACHEDIR.TAG").write_bytes(tree.CACHE_SIGNATURE)
    stage, _manifest = staged(scene)
    last = {"size": 10_000_000, "files": 100, "databases": {}}
    assert f"left out as caches (they hold a CACHEDIR.TAG): {scene.data}" in backup.losses(
        last, {"size": 9, "files": 1}, stage
    )


# What an app says is data


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        ("one\nFAILED: two\r\t", "one\\nFAILED: two\\r\\t"),
        ("\x9b31m \u202e \udcff", "\\x9b31m \\u202e \\udcff"),
        ("größer 大 ✓", "größer 大 ✓"),
        ("x" * 5000, "x" * 999 + "…"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert programs.printable(text) == shown
    assert str(backup.BackupError(text)) == shown


def test_the_name_of_a_file_does_nothing_to_a_terminal(
    scene: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged(scene.data / "\x1b[2J\nFAILED: wiki")
    config = scene.config(repositories=("one",))
    backup.run(config, [], 2)
    backup.tell(backup.Status(config).report(), as_json=False)
    (note,) = backup.Status(config).sets["shop"]["notes"]
    said = capsys.readouterr()
    for text in (note, said.out.replace("\n", ""), said.err.replace("\n", "")):
        assert "\\x1b[2J\\nFAILED: wiki" in text
        assert text.isprintable()


# Root's own programs, locks and reading


def test_programs_are_not_looked_up_where_an_app_could_put_them(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    planted = scene.path / "planted"
    planted.mkdir()
    for name in ("restic", "sh", "rm", "cp", "systemctl", "systemd-run", "sleep", "env"):
        (planted / name).write_text(f"#!/bin/sh\necho {name} >> {scene.path}/hit\n")
        (planted / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{planted}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(planted))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(planted))
    monkeypatch.chdir(planted)
    database(scene.data / "app.db")
    command = "env; pwd; sleep 0; exit 1"
    shop = backup.BackupSet("shop", (str(scene.data),))
    backup.run(scene.config(shop), [], 2)
    with pytest.raises(backup.BackupError) as told:
        backup.shell(command, shop, "before", 10)
    assert not (scene.path / "hit").exists()
    assert str(planted) not in str(told.value)
    assert str(told.value).rstrip().endswith("\\n/")


def test_root_s_program_opens_no_database() -> None:
    for path in (PROGRAM, *(PROGRAM.with_name("backup_parts") / f"{name}.py" for name in ("paths", "programs"))):
        assert "import sqlite3" not in path.read_text()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has others' files to handle")


@as_root
def test_nobody_can_hold_the_lock(tmp_path: Path) -> None:
    """Not even of an earlier version that made it for all to open."""
    tmp_path.chmod(0o755)
    lock = tmp_path / "run" / "backup.lock"
    lock.parent.mkdir(mode=0o755)
    lock.touch(mode=0o644)
    with backup.locked(lock):
        pass
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX)"
    other = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(lock)],
        user=65534,
        group=65534,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in other.stderr
    assert (stat.S_IMODE(lock.parent.stat().st_mode), stat.S_IMODE(lock.stat().st_mode)) == (0o700, 0o600)


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), backup.locked(tmp_path / "run" / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


@as_root
def test_a_program_follows_no_link_below_what_others_can_change(tmp_path: Path) -> None:
    """An app exchanges a directory for a link while restic goes through it: no other's file is saved as the app's."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("foreign")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "d").symlink_to(tmp_path / "secret")
    key = str(tmp_path / "data" / "d" / "key")
    free = programs.run(("/usr/bin/cat", key), tmp_path)
    bound = programs.run(("/usr/bin/cat", key), tmp_path, unfollowed=[str(tmp_path / "data")])
    assert (free.stdout, bound.stdout) == ("foreign", "")
    assert "Too many levels of symbolic links" in bound.stderr
    assert (tmp_path / "data" / "d").resolve() == tmp_path / "secret"  # for everybody else


@as_root
def test_the_topmost_directory_that_others_can_change_is_guarded(tmp_path: Path) -> None:
    (tmp_path / "app" / "data" / "sub").mkdir(parents=True)
    os.chown(tmp_path / "app", 65534, 65534)
    assert tree.changeable(str(tmp_path / "app" / "data" / "sub")) == str(tmp_path / "app")
    assert tree.changeable(str(tmp_path / "other")) == str(tmp_path / "other")
    assert tree.accounts_on(str(tmp_path / "app" / "data" / "file")) == ((65534, 65534), False)
    assert tree.accounts_on(str(tmp_path / "app")) == (None, True)


def test_links_of_root_s_lead_on_and_those_of_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert tree.resolved(str(tmp_path / "link" / "sub")) == str(tmp_path / "real" / "sub")
    assert tree.resolved(str(tmp_path / "link" / "new" / "er")) == str(tmp_path / "real" / "new" / "er")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "link").symlink_to("/etc")
    with pytest.raises(OSError, match="others than root can change this link"):
        tree.resolved(str(shared / "link" / "passwd"))
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match="link"):
        tree.resolved(str(tmp_path / "round"))


@as_root
def test_a_set_s_path_does_not_lead_through_a_link_of_the_app_s(scene: SimpleNamespace) -> None:
    os.chown(scene.data, 65534, 65534)
    (scene.data / "uploads").symlink_to("/etc")
    item = backup.BackupSet("shop", (str(scene.data / "uploads" / "ssh"),))
    with pytest.raises(backup.BackupError, match="others than root can change this link"):
        backup.Stage(scene.config(item), item).fill(60)


@as_root
@pytest.mark.parametrize("left", ["link", "hard link", "directory", "another's file", "too long", "nothing"])
def test_what_a_copier_leaves_is_taken_for_what_it_is(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """The copier has read what an app wrote; it may be the app's by then."""
    os.chown(scene.data, 65534, 65534)
    database(scene.data / "app.db")
    (scene.path / "secret").write_text("foreign")

    def hostile(_argv: Any, sandbox: list[tuple[str, str]], *_rest: Any) -> tuple[int, str]:
        copy = Path(dict(sandbox)["BindPaths"]) / "0"
        if left == "link":
            copy.symlink_to(scene.path / "secret")
        elif left == "hard link":
            copy.hardlink_to(scene.path / "secret")
        elif left == "directory":
            copy.mkdir()
        elif left != "nothing":
            copy.touch()
            os.chown(copy, *((0, 0) if left == "another's file" else (65534, 65534)))
            os.truncate(copy, (1 << 30) if left == "too long" else 1)
        return 0, '{"number": 0, "journal_mode": "wal"}\n{"number": "x"}\n\x1b[2J\n[]'

    monkeypatch.setattr(programs, "in_unit", hostile)
    with pytest.raises(backup.BackupError, match=r"app\.db could not be copied: its copier left"):
        staged(scene)


@as_root
def test_databases_of_an_app_are_copied_as_the_app(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns the file: in the app's directory a path leads where the app likes."""
    os.chown(scene.data, 65534, 65534)
    for name, uid in (("app.db", 65534), ("roots.db", 0), ("daemons.db", 1)):
        database(scene.data / name)
        os.chown(scene.data / name, uid, uid)
    started = []

    def unit(argv: Any, sandbox: list[tuple[str, str]], *_rest: Any) -> tuple[int, str]:
        started.append(dict(sandbox))
        return 0, ""

    monkeypatch.setattr(programs, "in_unit", unit)
    with pytest.raises(backup.BackupError, match="its copier ended without a word"):
        staged(scene)
    (sandbox,) = started
    assert sandbox["User"] == "nobody"
    assert (sandbox["NoNewPrivileges"], sandbox["CapabilityBoundingSet"], sandbox["ProtectSystem"]) == (
        "yes",
        "",
        "strict",
    )
    assert sandbox["PrivateNetwork"] == "yes"


UNIT = """# /etc/systemd/system/shop@.service
[Unit]
Description=x
[Service]
Type=notify
ExecStart=/srv/shop/releases/%i/start
ExecStartPre=/bin/true
User=shop
EnvironmentFile=/srv/shop/releases/%i/env
RuntimeDirectory=shop-%i
# Comment=no
SystemCallFilter=@system-service
SystemCallFilter=~@privileged \\
  @resources
CapabilityBoundingSet=
Restart=always
[Install]
WantedBy=multi-user.target
"""


def test_commands_of_an_app_run_in_its_sandbox() -> None:
    sandbox = [
        ("SystemCallFilter", "@system-service"),
        ("SystemCallFilter", "~@privileged    @resources"),
        ("CapabilityBoundingSet", ""),
    ]
    assert programs.directives(UNIT, "r1") == [("EnvironmentFile", "/srv/shop/releases/r1/env"), *sandbox]
    assert programs.directives(UNIT, "") == sandbox


@pytest.mark.parametrize(
    ("user", "message"), [("nobody-there", "there is no user nobody-there on this host"), ("root", "leave `user` out")]
)
def test_commands_of_an_account_that_cannot_be(user: str, message: str) -> None:
    with pytest.raises(backup.BackupError, match=message):
        backup.sandbox_of(backup.BackupSet("shop", ("/a",), user=user))


def test_commands_of_a_set_with_a_user_never_run_as_root(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def unit(argv: Any, sandbox: list[tuple[str, str]], _seconds: float) -> tuple[int, str]:
        started.append((argv, dict(sandbox)))
        return 0, ""

    monkeypatch.setattr(programs, "in_unit", unit)
    monkeypatch.setattr(programs, "said_by", lambda *_arguments, **_options: pytest.fail("not in a unit"))
    item = backup.BackupSet("shop", (str(scene.data),), user="nobody")
    backup.shell("touch dump", item, "before", 10)
    ((argv, sandbox),) = started
    assert argv == ("/bin/sh", "-c", "touch dump")
    assert (sandbox["User"], sandbox["NoNewPrivileges"], sandbox["Environment"]) == ("nobody", "yes", "BACKUP_SET=shop")


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
    manifest = manifested(users={"999": "shop", "8": "mail", "500": "left"}, groups={"997": "shop", "501": "left"})
    owned, ownerless = backup.BackupSet("s", ("/a",), owner="shop"), backup.BackupSet("s", ("/a",))
    assert backup.owners_of_today(manifest, owned) == ({999: 996, 500: 996}, {997: 996, 501: 996})
    assert backup.owners_of_today(manifest, ownerless) == ({999: 996}, {997: 996})
    with pytest.raises(backup.BackupError, match=r"there is no user gone on this host\. Run the play"):
        backup.owners_of_today(manifest, backup.BackupSet("s", ("/a",), owner="gone"))


def manifested(stage: Path = Path("/stage"), **given: Any) -> Any:
    """A manifest that says this."""
    return backup.Manifest.parse({"set": "s", "paths": [], "databases": [], "users": {}, "groups": {}, **given}, stage)


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

    def crashing(source: str, target: str, **directories: int) -> None:
        if not left[0]:
            raise Crash
        left[0] -= 1
        rename(source, target, **directories)

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
    databases = [{"path": path, "copy": "0", "sha256": "0"} for path in ("/var/lib/shop/a.db", "/var/lib/shopping.db")]
    manifest = manifested(paths=["/var/lib/shop"], databases=databases)
    assert manifest.saved_paths == ["/var/lib/shop", "/var/lib/shopping.db"]


@pytest.mark.parametrize(
    "given",
    [
        {"paths": ["/var/lib/shop/../../etc"]},
        {"paths": ["var/lib/shop"]},
        {"paths": ["/"]},
        {"paths": ["//etc"]},
        {"databases": [{"path": "/var/lib/shop/../a.db", "copy": "0", "sha256": "0"}]},
        {"databases": [{"path": "/a.db", "copy": "../../0", "sha256": "0"}]},
        {"databases": [{"path": "/a.db", "copy": "/etc/passwd", "sha256": "0"}]},
    ],
)
def test_a_manifest_s_paths_are_data(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="."):
        manifested(**given)


def restored_with(tmp_path: Path, place: str) -> tuple[Path, Any]:
    """What restic has restored of /data, and a manifest with a database that was at ``place`` in it."""
    target, content = tmp_path / "target", b"database"
    (target / "data").mkdir(parents=True)
    (target / "stage").mkdir()
    (target / "stage" / "0").write_bytes(content)
    record = {"path": f"/data/{place}", "copy": "0", "sha256": hashlib.sha256(content).hexdigest()}
    return target, manifested(target / "stage", paths=["/data"], databases=[record])


@pytest.mark.parametrize("what", ["a link", "a file"])
def test_a_directory_that_became_a_link_leads_no_restore_away(tmp_path: Path, what: str) -> None:
    """The app sees its database being copied, and exchanges the directory for a link before the files are saved."""
    target, manifest = restored_with(tmp_path, "d/e/app.db")
    outside = tmp_path / "outside"
    outside.mkdir()
    if what == "a link":
        (target / "data" / "d").symlink_to(outside)
    else:
        (target / "data" / "d").write_text("a file")
    backup.settle(target, manifest, None)
    assert list(outside.iterdir()) == []
    assert (target / "data" / "d" / "e" / "app.db").read_bytes() == b"database"
    assert not (target / "data" / "d").is_symlink()
    assert os.path.lexists(target / "data" / "d.was-in-the-way")


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_what_stands_at_a_database_s_place(tmp_path: Path, kind: str) -> None:
    target, manifest = restored_with(tmp_path, "app.db")
    outside = tmp_path / "outside"
    outside.write_text("precious")
    if kind == "link":
        (target / "data" / "app.db").symlink_to(outside)
    else:
        (target / "data" / "app.db").mkdir()
    backup.settle(target, manifest, None)
    assert (target / "data" / "app.db").read_bytes() == b"database"
    assert outside.read_text() == "precious"


@as_root
def test_owners_are_given_to_links_themselves_once_and_an_app_gets_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, manifest = restored_with(tmp_path, "app.db")
    outside = tmp_path / "outside"
    outside.touch()
    data = target / "data"
    (data / "link").symlink_to(outside)
    (data / "file").touch()
    (data / "same").hardlink_to(data / "file")
    (data / "CACHEDIR.TAG").write_bytes(tree.CACHE_SIGNATURE)
    os.mknod(data / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for path in data.iterdir():
        os.chown(path, 3001, 3001, follow_symlinks=False)
    monkeypatch.setattr(backup, "owners_of_today", lambda *_arguments: ({3001: 3002, 3002: 3003}, {}))
    backup.settle(target, manifest, backup.BackupSet("shop", ("/data",), owner="shop"))
    owners = {path.name: path.lstat().st_uid for path in data.iterdir()}
    assert owners == {"app.db": 0, "link": 3002, "file": 3002, "same": 3002, "CACHEDIR.TAG": 3002}
    assert outside.stat().st_uid == 0


def moved(path: Path, place: Path) -> list[dict[str, str]]:
    """A plan that puts a directory in a place."""
    (path / "new").mkdir()
    (path / "new" / "file").write_text("restored")
    return [{"new": str(path / "new"), "path": str(place), "old": f"{place}.before"}]


def test_a_path_that_leads_through_a_link_by_now_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "d").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="symbolic links|Not a directory"):
        backup.carry_out(moved(tmp_path, tmp_path / "app" / "d" / "uploads"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_in_the_place_of_a_path_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "live").symlink_to(tmp_path / "outside")
    backup.carry_out(moved(tmp_path, tmp_path / "live"))
    assert not (tmp_path / "live").is_symlink()
    assert (tmp_path / "live" / "file").read_text() == "restored"
    assert (tmp_path / "live.before").is_symlink()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(("turns", "ok"), [(3, True), (100, False)])
def test_an_app_that_makes_its_directory_anew_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int, ok: bool
) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "file").write_text("live")
    rename, left = os.rename, [turns]

    def racing(source: str, target: str, **directories: int) -> None:
        if source == "new" and left[0]:
            left[0] -= 1
            (tmp_path / "live").mkdir()
            (tmp_path / "live" / "file").write_text("again")
        rename(source, target, **directories)

    monkeypatch.setattr(backup.os, "rename", racing)
    moves = moved(tmp_path, tmp_path / "live")
    if ok:
        backup.carry_out(moves)
        assert (tmp_path / "live" / "file").read_text() == "restored"
    else:
        with pytest.raises(backup.BackupError, match="is made anew again and again"):
            backup.carry_out(moves)
    assert (tmp_path / "live.before" / "file").read_text() == "live"


@as_root
@pytest.mark.parametrize("exchanged", ["link", "directory of the app's", "filled directory"])
def test_a_copy_to_another_disk_goes_where_only_root_enters(tmp_path: Path, exchanged: str) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "outside").mkdir()
    beside = tmp_path / "beside"
    if exchanged == "link":
        beside.symlink_to(tmp_path / "outside")
    else:
        beside.mkdir(mode=0o700)
        if exchanged == "filled directory":
            (beside / "new").symlink_to(tmp_path / "outside")
        else:
            os.chown(beside, 65534, 65534)
    parent = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises((backup.BackupError, OSError)):
        backup.copy_into(parent, "beside", str(tmp_path / "new"))
    os.close(parent)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_path_on_another_disk_is_copied_beside_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "restored" / str(tmp_path).lstrip("/") / "live").mkdir(parents=True)
    (tmp_path / "restored" / str(tmp_path).lstrip("/") / "live" / "file").write_text("restored")
    status_of, far = tree.status_of, str(tmp_path / "restored")

    def on_another_disk(path: str) -> Any:
        found = status_of(path)
        return SimpleNamespace(st_dev=-1) if found and path.startswith(far) else found

    with monkeypatch.context() as patch:
        patch.setattr(tree, "status_of", on_another_disk)
        moves = backup.plan_moves({"paths": [str(tmp_path / "live")], "target": far, "snapshot": "01234567"}, "now")
    assert moves[0]["new"] == str(tmp_path / ".live.restored-01234567" / "live")
    assert backup.carry_out(moves) == [{"path": str(tmp_path / "live"), "previous": ""}]
    assert (tmp_path / "live" / "file").read_text() == "restored"
    assert not (tmp_path / ".live.restored-01234567").exists()


def test_only_the_set_s_own_paths_are_put_in_place() -> None:
    item = backup.BackupSet("shop", ("/var/lib/shop",), ("/srv/more.db",))
    plan: dict[str, Any] = {"snapshot": "1", "target": "/t"}
    backup.refuse_foreign({**plan, "paths": ["/var/lib/shop", "/var/lib/shop/sub", "/srv/more.db"]}, item)
    plan["paths"] = ["/var/lib/shop", "/etc/systemd/system", "/var/lib/shopping"]
    with pytest.raises(
        backup.BackupError, match="holds /etc/systemd/system, /var/lib/shopping, which is no path of the set"
    ):
        backup.refuse_foreign(plan, item)


def test_a_path_is_put_where_a_link_of_root_s_leads_on_this_host(tmp_path: Path) -> None:
    """An administrator has moved /var to another disk since the backup."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to("disk")
    saved = str(tmp_path / "var" / "data")
    (tmp_path / "restored" / saved.lstrip("/")).mkdir(parents=True)
    restored = {"paths": [saved], "target": str(tmp_path / "restored"), "snapshot": "01234567"}
    backup.refuse_foreign(restored, backup.BackupSet("shop", (saved,)))
    backup.carry_out(backup.plan_moves(restored, "now"))
    assert (tmp_path / "disk" / "data").is_dir()
    assert (tmp_path / "var").is_symlink()


def test_a_snapshot_with_other_paths_is_not_put_in_place(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = backup.BackupSet("shop", (str(scene.data),))
    config = scene.config(item)
    config.state.mkdir()
    other = scene.path / "other"
    other.write_text("live")
    told = {"snapshot": "01234567", "target": str(scene.path / "target"), "paths": [str(scene.data), str(other)]}
    monkeypatch.setattr(backup, "restore_aside", lambda *_arguments: told)
    with pytest.raises(backup.BackupError, match="other, which is no path of the set shop"):
        backup.restore_in_place(config, item, lambda: SimpleNamespace(id="01234567"), "", "latest")
    assert (other.read_text(), (scene.data / "note").read_text()) == ("live", "hello")
    assert not backup.restore_journal(config, "shop").exists()


def test_a_target_in_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(backup.BackupError, match=f"others than root can write to {shared}. Name a directory below"):
        backup.not_shared(shared / "new" / "target")
    (tmp_path / "link").symlink_to("real")
    assert backup.not_shared(tmp_path / "link" / "new") == tmp_path / "real" / "new"


# Copies that restores have made


def test_copies_of_restores_are_listed_and_removed(scene: SimpleNamespace, tmp_path: Path) -> None:
    config = scene.config()
    kept = [
        tmp_path / "data.before-restore-20261129T010203",
        tmp_path / "data.before-restore-20261129T010203.2",
        tmp_path / "restored" / "shop-01234567",
        tmp_path / "restored" / "shop-01234567.in-place",
    ]
    others = [
        tmp_path / "data.before-restore-mine",
        tmp_path / "database.before-restore-20261129T010203",
        tmp_path / "restored" / "shop-eu-01234567",
        tmp_path / "restored" / "notes",
    ]
    for path in (*kept, *others):
        path.mkdir(parents=True)
    deep(kept[0], 25)
    (kept[1] / "link").symlink_to(others[3])
    status = backup.Status(config)
    status.of_set("shop")["copies"] = [str(tmp_path / "elsewhere"), str(tmp_path / "gone")]
    status.of_set("left")["copies"] = [str(tmp_path / "of-a-set-that-left")]
    status.save()
    for name in ("elsewhere", "of-a-set-that-left"):
        (tmp_path / name).mkdir()
    found = backup.Status(config).report()["copies"]
    assert sorted(found["shop"]) == sorted(map(str, (*kept, tmp_path / "elsewhere")))
    assert found["left"] == [str(tmp_path / "of-a-set-that-left")]
    assert sorted(backup.forget_copies(config, "shop")) == sorted(found["shop"])
    assert backup.forget_copies(config, "left") == found["left"]
    assert backup.Status(config).report()["copies"] == {}
    assert all(path.exists() for path in (*others, scene.data))
    assert not any(path.exists() for path in kept)


def test_copies_of_an_interrupted_restore_are_kept(scene: SimpleNamespace) -> None:
    config = scene.config()
    config.state.mkdir()
    backup.restore_journal(config, "shop").touch()
    with pytest.raises(
        backup.BackupError, match="may be all there is of the data. Finish it first: restore shop --in-place"
    ):
        backup.forget_copies(config, "shop")
    assert backup.forget_copies(config, "wiki") == []


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


def test_a_unit_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may ask systemd for ever more time (EXTEND_TIMEOUT_USEC)."""
    asked: list[tuple[str, ...]] = []

    def systemctl(*words: str) -> None:
        asked.append(words)
        if words[0] == "stop" and len(asked) == 1:
            time.sleep(30)

    monkeypatch.setattr(backup, "systemctl", systemctl)
    monkeypatch.setattr(backup, "STOP_SECONDS", 0.1)
    backup.stop("shop@1.service")
    assert asked == [
        ("stop", "shop@1.service"),
        ("kill", "--signal=KILL", "shop@1.service"),
        ("stop", "shop@1.service"),
    ]
