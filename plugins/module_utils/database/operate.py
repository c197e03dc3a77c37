# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator does with an app's database: look at it, load a dump, take one, drop it after a last one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ..common.files import make_directory
from ..common.on_host import path
from ..common.paused import PauseError, paused
from ..common.text import line
from . import as_app, server
from .as_app import has_account
from .errors import DatabaseError

LOADED, REPLACED = "load", "replaced"  # what follows the app's name and a dot in the names of databases
SHOWN, SHOWN_TABLES = 5, 20  # tables that a message names, and that are listed


def of_app(app: str) -> tuple[server.Server, Mapping[str, Any]]:
    """The server of an app, and its record.

    :raises DatabaseError: it has no database on this host.
    """
    record = server.read(app)
    if not record:
        raise DatabaseError(
            f"{app} has no database on this host: set `database: {{provider: postgresql}}` for it in flask_apps and "
            "run groundwork.flask.site"
        )
    return server.of(record), record


def show(app: str) -> dict[str, Any]:
    """Size, tables, connections, version and pooler of an app's database, and what is kept beside it."""
    one, record = of_app(app)
    found: dict[str, Any] = {
        "provider": record["provider"],
        "name": record["name"],
        "socket": record["socket"],
        "port": record.get("port"),
        "pooler": record.get("pooler"),
        "size": one.size(),
        "tables": as_app.counted(app, one),
        "kept": {name: one.size(name) for name in one.databases() if name != app},
        **one.describe(),
    }
    return {**found, "lines": list(lines(found))}


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What :func:`show` has found, as a person reads it."""
    pooler, tables = found["pooler"], found["tables"]
    yield f"{found['name']}: {found['provider']} {found['version']} ({found['cluster']}), {size(found['size'])}"
    yield f"locale {found['locale']}; extensions: {', '.join(found['extensions']) or 'none'}"
    number = sum(found["connections"].values())
    states = ", ".join(f"{count} {state}" for state, count in sorted(found["connections"].items()))
    yield f"connections: {number} of {found['max_connections']}{f' ({states})' if states else ''}"
    yield f"pooler: {pooler['socket']}, port {pooler['port']}" if pooler else "pooler: none, the app connects directly"
    yield f"tables: {len(tables)}, with {sum(tables.values())} rows"
    most = sorted(tables.items(), key=lambda table: -table[1])
    yield from (f"  {name}: {rows}" for name, rows in most[:SHOWN_TABLES])
    if len(most) > SHOWN_TABLES:
        yield f"  and {len(most) - SHOWN_TABLES} more"
    yield from (f"kept beside it: {name}, {size(bytes_)}" for name, bytes_ in found["kept"].items())


def size(number: int) -> str:
    """A number of bytes, as a person reads it."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def filled(app: str, one: server.Server) -> dict[str, int]:
    """The tables that have rows, but for that in which Alembic notes how far it came."""
    return {name: rows for name, rows in as_app.counted(app, one).items() if rows and not is_alembics(name)}


def is_alembics(name: str) -> bool:
    """Whether a table is that of Alembic's migration heads."""
    return name.rpartition(".")[2] == "alembic_version"


def load(app: str, file: str, *, replace: bool = False) -> dict[str, Any]:
    """Load a dump in place of the app's database, which must be empty; nothing of the app runs meanwhile.

    It is loaded into a fresh database, which takes the name when that has worked; until then nothing is lost.

    :param replace: keep a database that is not empty as ``<app>.replaced``, in place of the last one kept so.
    :raises DatabaseError: the dump cannot be loaded, or the database has rows; it is as it was.
    """
    one, _record = of_app(app)
    found: dict[str, Any] = {}
    try:
        with open(file, "rb") as dumped:
            refuse_rows(app, filled(app, one), replace=replace)
            with paused(app, by="a load of its database") as notices:
                found = exchange(one, dumped, replace=replace)
            found["notices"] = notices
    except OSError as error:
        raise DatabaseError(f"{file}: {error.strerror}") from None
    except PauseError as error:
        if not found:
            raise DatabaseError(f"{app} could not be stopped: {error}") from None
        found["notices"] = [
            f"{app} does not run with what was loaded: {line(str(error))}. If the dump is of an older schema, deploy: "
            "the release command brings it up to date, and a release is started"
        ]
    return found


def exchange(one: server.Server, dumped: IO[bytes], *, replace: bool) -> dict[str, Any]:
    """Load into a fresh database, and give it the name of the app's own."""
    app, kept = one.app, f"{one.app}.{REPLACED}"
    rows = filled(app, one)
    refuse_rows(app, rows, replace=replace)
    fresh = one.create_fresh(LOADED)
    try:
        skipped = as_app.run(app, "load", one.load("-", fresh), stdin=dumped).get("skipped")
        tables = as_app.counted(app, one, fresh)
        one.drop(kept)
        one.swap(fresh, kept)
    except BaseException:
        one.drop(fresh)
        raise
    if not rows:
        one.drop(kept)
    number = sum(tables.values())
    return {
        "changed": [f"loaded {len(tables)} tables with {number} rows"],
        "tables": len(tables),
        "rows": number,
        "skipped": [line(str(what)) for what in skipped] if isinstance(skipped, list) else [],
        "kept": kept if rows else "",
        "notices": [],
    }


def refuse_rows(app: str, rows: Mapping[str, int], *, replace: bool) -> None:
    """Refuse to load over rows, unless that is asked for."""
    if rows and not replace:
        shown = ", ".join(f"{name} ({count})" for name, count in list(rows.items())[:SHOWN])
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        raise DatabaseError(
            f"the database of {app} is not empty, it has rows in {shown}{more}. Nothing was loaded. To have the dump "
            f"in its place, add `-e replace=true`: the database is kept as {app}.{REPLACED}, in place of what has that "
            "name"
        )


def dump(app: str, file: Path) -> dict[str, Any]:
    """Take a dump of an app's database into a file of root's."""
    one, _record = of_app(app)
    write_dump(one, file)
    return {"changed": [f"wrote {file}"], "file": str(file), "size": file.stat().st_size}


def write_dump(one: server.Server, file: Path) -> Path:
    """Write a dump into a file of root's, in a directory that is there and stays as it is, be it /tmp.

    :raises DatabaseError: it failed; there is no file then.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stdout:
            as_app.run(one.app, "dump", one.dump("-"), stdout=stdout)
            os.fsync(stdout.fileno())
        part.rename(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DatabaseError(f"{file} cannot be written: {error.strerror}") from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return file


def forget(app: str) -> dict[str, Any]:
    """Drop what a load has kept of an app's database."""
    one, _record = of_app(app)
    kept = f"{app}.{REPLACED}"
    found = one.exists(kept)
    one.drop(kept)
    return {"changed": [f"dropped the database {kept}"] if found else []}


def everywhere(app: str) -> list[server.Server]:
    """The servers on which an app has a database: by its record, and by its role where it was before."""
    record = server.read(app)
    if not record:
        return [server.of(one) for one in server.left_over(app)]
    found = [record]
    with contextlib.suppress(DatabaseError):  # a server that root cannot ask is not ours, and has nothing of the app's
        found += [one for one in server.left_over(app) if not server.is_same(one, record)]
    return [server.of(one) for one in found]


def last_dump(app: str, root: Path = Path("/")) -> dict[str, Any]:
    """Keep a last dump of an app's database, if it has one; nothing of the app runs meanwhile.

    :raises DatabaseError: it failed, as where the disk is full.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    files: list[Path] = []
    there = [one for one in everywhere(app) if one.exists()] if has_account(app) else []
    directory = path("state", root=root) / "database"
    if there:
        make_directory(directory, 0o700)
    try:
        with paused(app, by="its removal") if there else contextlib.nullcontext():
            for number, one in enumerate(there):
                one.end_sessions()  # and the locks that would keep a dump waiting
                name = f"{app}-{stamp}{f'.{number}' if number else ''}.dump"
                files.append(write_dump(one, directory / name))
    except (DatabaseError, PauseError) as error:
        if len(files) < len(there):
            raise DatabaseError(
                f"no last dump of the database of {app} could be taken: {error}. Run again when the reason is gone; "
                f"or, if nobody needs the data, drop them without a dump: {path('programs')}/database drop {app}"
            ) from None  # else it has been dumped, and was not started again, which no longer matters
    return {"changed": [f"wrote {file}" for file in files], "files": list(map(str, files))}


def drop(app: str) -> dict[str, Any]:
    """Drop an app's databases and its role; nothing where it has none. :func:`last_dump` comes before."""
    dropped = []
    for one in everywhere(app):
        for name in one.databases():
            one.drop(name)
            dropped.append(name)
        one.drop_role()
    return {"changed": [f"dropped the database {name}" for name in dropped]}
