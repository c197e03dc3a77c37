# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as the app's user: copies the SQLite databases below a directory, or puts such copies back.

The engine passes this file's text to Python: ``save DATA TARGET``, ``restore DATA SAVED STAMP`` or ``undo`` with
the same. A copy is consistent whatever the app is writing meanwhile. A failure ends with exit status 1 and a sentence.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

MAGIC = b"SQLite format 3\0"


def databases(directory: Path) -> Iterator[Path]:
    """The SQLite databases below a directory, which begin with their magic word whatever their names are."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink() and ".before-rollback-" not in path.name:
            with path.open("rb") as file:
                if file.read(len(MAGIC)) == MAGIC:
                    yield path


def save(data: Path, target: Path) -> None:
    """Copy each database to the same place below ``target``."""
    found = list(databases(data))
    need, free = sum(path.stat().st_size for path in found), shutil.disk_usage(target).free
    if need > free:
        raise SystemExit(f"the databases have {need >> 20} MB, and {free >> 20} MB are free: make room")
    for path in found:
        copy = target / path.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=60)) as source, closing(sqlite3.connect(copy)) as to:
            source.backup(to)
        sys.stdout.write(f"saved {path}\n")


def restore(data: Path, saved: Path, stamp: str) -> None:
    """Put the copies back; what is there now stays beside them under a name with the stamp."""
    for copy in databases(saved):
        path = data / copy.relative_to(saved)
        fresh = path.with_name(f".{path.name}.restored")
        shutil.copyfile(copy, fresh)
        for suffix in ("", "-wal", "-shm", "-journal"):
            now = path.with_name(path.name + suffix)
            if now.exists():
                os.rename(now, now.with_name(f"{path.name}.before-rollback-{stamp}{suffix}"))
        os.rename(fresh, path)
        sys.stdout.write(f"restored {path}\n")


def undo(data: Path, saved: Path, stamp: str) -> None:
    """Put back what ``restore`` has put aside under this stamp."""
    for copy in databases(saved):
        path = data / copy.relative_to(saved)
        aside = path.with_name(f"{path.name}.before-rollback-{stamp}")
        if not aside.exists():
            continue
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{aside}{suffix}", f"{path}{suffix}")


if __name__ == "__main__":
    try:
        how, data, copies, *stamp = sys.argv[1:]
        if how == "save":
            save(Path(data), Path(copies))
        else:
            {"restore": restore, "undo": undo}[how](Path(data), Path(copies), stamp[0])
    except (sqlite3.Error, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
