# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies or checks SQLite databases: the one program of a backup that opens them, and it is nobody's but their owner's.

It reads jobs as JSON, ``[{"source": PATH, "copy": PATH}, …]`` or ``[{"check": PATH}, …]``, and writes one line of JSON
for each. Whoever started it takes what it leaves for what it is: written by a process that has read what an app wrote.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import sys
import urllib.parse
from pathlib import Path
from typing import Any

LONGEST_MESSAGE = 300


def connect(path: str, mode: str) -> sqlite3.Connection:
    """Open a database file, whatever its name; never make one."""
    return sqlite3.connect(
        f"file:{urllib.parse.quote(os.fsencode(path))}?{mode}", uri=True, timeout=60, isolation_level=None
    )


def quick_check(path: str) -> str:
    """Return "ok", or what SQLite finds wrong with a database that nobody writes to."""
    try:
        with contextlib.closing(connect(path, "immutable=1")) as database:
            return str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)


def copy_database(source: str, copy: str) -> dict[str, str]:
    """Copy a database in one consistent state while others write to it, and check the copy.

    Returns ``{"journal_mode": …}``, which the copy has too, or ``{"error": …}``, with ``"damaged"`` if waiting would
    not help.
    """
    try:
        with contextlib.closing(connect(source, "mode=rw")) as database:
            journal_mode = str(database.execute("PRAGMA journal_mode").fetchone()[0])
            try:
                database.execute("VACUUM INTO ?", (copy,))
            except sqlite3.OperationalError as error:
                if re.search("locked|busy|full", str(error)):
                    return {"error": str(error)}
                # Its schema needs an extension that is not here: copy its pages, which asks for no understanding.
                Path(copy).unlink(missing_ok=True)
                with contextlib.closing(sqlite3.connect(copy)) as target:
                    database.backup(target)
    except sqlite3.OperationalError as error:
        return {"error": str(error)}
    except sqlite3.Error as error:
        return {"error": str(error), "damaged": "yes"}
    if (problem := quick_check(copy)) != "ok":
        return {"error": problem, "damaged": "yes"}
    if journal_mode == "wal":
        with contextlib.closing(connect(copy, "mode=rw")) as database:
            database.execute("PRAGMA journal_mode = wal")
    return {"journal_mode": journal_mode}


def do(job: dict[str, str]) -> dict[str, Any]:
    """Do one job; what comes of it, also when it fails."""
    try:
        if "check" in job:
            return {"check": quick_check(job["check"])[:LONGEST_MESSAGE]}
        outcome: dict[str, Any] = copy_database(job["source"], job["copy"])
    except (sqlite3.Error, OSError, MemoryError) as error:
        outcome = {"error": f"{type(error).__name__}: {error}"}
    if "error" in outcome:
        outcome["error"] = outcome["error"][:LONGEST_MESSAGE]
        with contextlib.suppress(OSError):
            Path(job["copy"]).unlink(missing_ok=True)
    return outcome


if __name__ == "__main__":
    os.umask(0o077)
    for number, job in enumerate(json.load(sys.stdin)):
        sys.stdout.write(json.dumps({"number": number, **do(job)}) + "\n")
        sys.stdout.flush()
