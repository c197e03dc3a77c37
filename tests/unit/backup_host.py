"""A host with data and repositories, and a restic that only pretends: what the tests of the backup share."""

from __future__ import annotations

import json
import os
import pwd
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import steps
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet, Config, Repository
from ansible_collections.groundwork.flask.plugins.module_utils.backup.databases import SQLITE_MAGIC
from ansible_collections.groundwork.flask.plugins.module_utils.backup.stage import Stage

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


def make_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A host: data, a password, two repositories, and a restic that only pretends."""
    (tmp_path / "bin").mkdir()
    restic = tmp_path / "bin" / "restic"
    restic.write_text(FAKE_RESTIC.format(python=sys.executable))
    restic.chmod(0o755)
    monkeypatch.setattr(steps, "in_unit", in_no_unit)
    data = tmp_path / "data"
    data.mkdir()
    (data / "note").write_text("hello")
    (tmp_path / "password").write_text("secret\n")

    def config(*sets: Any, repositories: tuple[str, ...] = ("one", "two"), **more: Any) -> Any:
        return Config(
            host="box",
            sets=sets or (BackupSet("shop", (str(data),)),),
            repositories=tuple(Repository(name, str(tmp_path / name)) for name in repositories),
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
    argv: Sequence[str], sandbox: list[tuple[str, str]], seconds: float, payload: bytes = b"", _limit: int = 0
) -> tuple[int, str]:
    """A step as it is without systemd: of the sandbox, the account."""
    user = dict(sandbox).get("User")
    account = pwd.getpwnam(user) if user else None
    done = subprocess.run(
        argv,
        input=payload.decode(),
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


def staged(scene: SimpleNamespace, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The filled stage of a set of the data, and its manifest."""
    item = BackupSet("shop", (str(scene.data),), **options)
    stage = Stage(scene.config(item), item)
    stage.fill(60)
    return stage, json.loads((stage.directory / "manifest.json").read_text())


def damaged(path: Path) -> None:
    """What calls itself a database, and is none."""
    path.write_bytes(SQLITE_MAGIC + b"\0" * 50)


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


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has others' files to handle")
