# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies SQLite databases whole while their app writes to them, and puts copies back; run as the app's user.

This file is a program of its own that needs the standard library alone. The backup runs it by its path, the release
engine passes its text to Python, each in a transient unit. Whoever starts it takes what it leaves for data, written by
a process that has read what an app wrote.

``jobs`` reads ``[{"source": PATH, "copy": PATH}, …]`` or ``[{"check": PATH}, …]`` as JSON and prints a line of JSON for
each. ``save DATA TARGET`` copies the databases below a directory, ``restore DATA SAVED STAMP`` puts the copies back and
``undo DATA SAVED STAMP`` takes that back; each prints a line for each database, and a failure is exit status 1 with a
sentence.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

MAGIC = b"SQLite format 3\0"
SIDECARS = ("-wal", "-shm", "-journal")
MESSAGE_LIMIT = 300
BUSY_SECONDS = 60  # to wait for a lock of the app's


def connect(path: Path | str, mode: str) -> sqlite3.Connection:
    """Open a database file, whatever its name; never make one."""
    return sqlite3.connect(
        f"file:{urllib.parse.quote(os.fsencode(path))}?{mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )


def quick_check(path: str) -> str:
    """Return "ok", or what SQLite finds wrong with a database that nobody writes to."""
    try:
        with closing(connect(path, "immutable=1")) as database:
            return str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)


def copy_pages(database: sqlite3.Connection, copy: Path | str) -> None:
    """Copy a database page by page in one consistent state; it is neither understood nor checked."""
    with closing(sqlite3.connect(copy)) as target:
        database.backup(target)


def copy_database(source: str, copy: str) -> dict[str, str]:
    """Copy a database compactly in one consistent state, and check the copy.

    Returns ``{"journal_mode": …}``, which the copy has too, or ``{"error": …}``, with ``"damaged"`` if waiting would
    not help.
    """
    try:
        with closing(connect(source, "mode=rw")) as database:
            journal_mode = str(database.execute("PRAGMA journal_mode").fetchone()[0])
            try:
                database.execute("VACUUM INTO ?", (copy,))
            except sqlite3.OperationalError as error:
                if re.search("locked|busy|full", str(error)):
                    return {"error": str(error)}
                # Its schema needs an extension that is not here.
                Path(copy).unlink(missing_ok=True)
                copy_pages(database, copy)
    except sqlite3.OperationalError as error:
        return {"error": str(error)}
    except sqlite3.Error as error:
        return {"error": str(error), "damaged": "yes"}
    if (problem := quick_check(copy)) != "ok":
        return {"error": problem, "damaged": "yes"}
    if journal_mode == "wal":
        with closing(connect(copy, "mode=rw")) as database:
            database.execute("PRAGMA journal_mode = wal")
    return {"journal_mode": journal_mode}


def do(job: dict[str, str]) -> dict[str, Any]:
    """Do one job; what comes of it, also when it fails."""
    try:
        if "check" in job:
            return {"check": quick_check(job["check"])[:MESSAGE_LIMIT]}
        outcome: dict[str, Any] = copy_database(job["source"], job["copy"])
    except (sqlite3.Error, OSError, MemoryError) as error:
        outcome = {"error": f"{type(error).__name__}: {error}"}
    if "error" in outcome:
        outcome["error"] = outcome["error"][:MESSAGE_LIMIT]
        with contextlib.suppress(OSError):
            Path(job["copy"]).unlink(missing_ok=True)
    return outcome


def jobs() -> None:
    """Do the jobs on standard input, in order."""
    os.umask(0o077)
    for number, job in enumerate(json.load(sys.stdin)):
        sys.stdout.write(json.dumps({"number": number, **do(job)}) + "\n")
        sys.stdout.flush()


def databases(directory: Path) -> Iterator[Path]:
    """The SQLite databases below a directory, which begin with their magic word whatever their names are."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink() and ".before-rollback-" not in path.name:
            with path.open("rb") as stream:
                if stream.read(len(MAGIC)) == MAGIC:
                    yield path


def save(data: Path, target: Path) -> None:
    """Copy each database to the same place below ``target``, page by page: a release that fails gets the very same."""
    found = list(databases(data))
    need, free = sum(path.stat().st_size for path in found), shutil.disk_usage(target).free
    if need > free:
        raise SystemExit(f"the databases have {need >> 20} MB, and {free >> 20} MB are free: make room")
    for path in found:
        copy = target / path.relative_to(data)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with closing(connect(path, "mode=rw")) as source:
            copy_pages(source, copy)
        sys.stdout.write(f"saved {path}\n")


def restore(data: Path, saved: Path, stamp: str) -> None:
    """Put the copies back; what is there now stays beside them under a name with the stamp."""
    for copy in databases(saved):
        path = data / copy.relative_to(saved)
        fresh = path.with_name(f".{path.name}.restored")
        shutil.copyfile(copy, fresh)
        for suffix in ("", *SIDECARS):
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
        for suffix in ("", *SIDECARS):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{aside}{suffix}", f"{path}{suffix}")


def main(command: str, *arguments: str) -> None:
    """Carry out one command; SystemExit when it fails."""
    try:
        if command == "jobs":
            jobs()
        elif command == "save":
            save(*map(Path, arguments))
        else:
            data, saved, stamp = arguments
            {"restore": restore, "undo": undo}[command](Path(data), Path(saved), stamp)
    except (sqlite3.Error, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error


if __name__ == "__main__":
    main(*sys.argv[1:])
