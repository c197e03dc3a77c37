# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app's database on the host's server: dumped, loaded beside the live one and compared, put in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..common import on_host
from ..common.text import escaped
from ..database import server as servers
from ..database.errors import DatabaseError
from ..database.server import Server
from .errors import BackupError
from .private import private_directory
from .service_steps import AsTheApp, record
from .space import MEBIBYTE, need_space, shown_size

TITLES = {"postgresql": "PostgreSQL", "mariadb": "MariaDB"}
# Where Debian's servers keep their data, as far as room for another database is concerned.
DISKS = {
    provider: on_host.path("datas") / name for provider, name in (("postgresql", "postgresql"), ("mariadb", "mysql"))
}
DUMP = "dump"
MOST_TABLES = 100_000
DRILL, FRESH = "drill", "restored"


@contextmanager
def backup_errors() -> Iterator[None]:
    """What a database server refuses is the error of a backup."""
    try:
        yield
    except DatabaseError as error:
        raise BackupError(str(error)) from error


def server_of(app: str, provider: str) -> Server:
    """The server of an app's database; raises BackupError unless it is on this host, and of this kind."""
    found = record(app, "database")
    if found.get("provider") != provider:
        raise BackupError(
            f"the database of {app} is on {TITLES.get(str(found.get('provider')), 'another server')} and not on "
            f"{TITLES[provider]}. Run the playbook groundwork.flask.site first."
        )
    with backup_errors():
        return servers.of(found)


def save(app: AsTheApp, provider: str, target: Path) -> dict[str, Any]:
    """Dump the database into a directory of root's; what the manifest says of it, with the rows of each table."""
    name = app.item.user
    server = server_of(name, provider)
    title = f"the {TITLES[provider]} database {name}"
    with backup_errors():
        size = server.size()
    need_space(target, size + 64 * MEBIBYTE, f"the dump of {title}")
    with app.outbox(provider) as out:
        try:
            done = app.as_owner(server.dump(str(out / DUMP)), app.sandbox(out))
        except BackupError as error:
            raise BackupError(f"{title} could not be dumped: {error}") from error
        files = app.take(out, private_directory(target))
    if [file["name"] for file in files] != [DUMP]:
        raise BackupError(f"{title} could not be dumped: the step left something other than a dump")
    return {"files": files, "tables": counted(done), "size": size}


def counted(answer: Mapping[str, Any]) -> dict[str, int]:
    """The rows of each table, as a step that an app could act in has told it; else BackupError."""
    try:
        found = {str(name): int(rows) for name, rows in answer["tables"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BackupError("the step did not say how many rows the tables have") from error
    if len(found) > MOST_TABLES:
        raise BackupError(f"the database has more than {MOST_TABLES} tables")
    return found


def load(app: AsTheApp, provider: str, entry: Mapping[str, Any], source: Path, place: Path, suffix: str) -> str:
    """Load a dump into a database of its own and compare it; BackupError, and the database gone, unless it is whole.

    :param source: the directory of the saved dump.
    :param place: a directory to make, from which the app reads the dump.
    :param suffix: what stands behind the app's name in that of the database.
    :returns: the database's name.
    """
    name = app.item.user
    server = server_of(name, provider)
    size = int(entry["size"])
    # What is loaded also passes through the server's log, as far as that grows before it is used again.
    need_space(DISKS[provider], 1.2 * size + min(size, 1024 * MEBIBYTE) + 64 * MEBIBYTE, f"loading {shown_size(size)}")
    app.give(source, entry["files"], place)
    with backup_errors():
        fresh = server.create_fresh(suffix)
    try:
        done = app.as_owner(server.load(str(place / DUMP), fresh), app.sandbox(place))
        found = counted(app.as_owner(server.counts(fresh), app.sandbox()))
        if problems := differences(entry["tables"], found):
            raise BackupError("; ".join(problems[:5]))
    except BaseException:
        with backup_errors():
            server.drop(fresh)
        raise
    skipped = [escaped(str(one))[:200] for one in done.get("skipped") or []][:20]
    for one in skipped:
        app.notes.append(f"not loaded into {TITLES[provider]}: {one}")
    return fresh


def differences(saved: Mapping[str, int], found: Mapping[str, int]) -> list[str]:
    """The tables whose number of rows is not what was saved, each with both numbers."""
    problems = []
    for name in sorted({*saved, *found}):
        if name not in found:
            problems.append(f"the table {escaped(name)} is missing; it had {saved[name]} rows")
        elif name not in saved:
            problems.append(f"the table {escaped(name)} was not there when the dump was made")
        elif saved[name] != found[name]:
            problems.append(f"the table {escaped(name)} has {found[name]} rows instead of {saved[name]}")
    return problems


def left_over(app: str, provider: str) -> list[str]:
    """The databases that a restore or a drill which was killed has left beside the live one."""
    with backup_errors():
        found = server_of(app, provider).databases()
    return [name for name in found if name in (f"{app}.{DRILL}", f"{app}.{FRESH}")]


def drop(app: str, provider: str, database: str) -> None:
    """Drop a database beside the live one, if it is there."""
    with backup_errors():
        for server in servers_with(app, provider):
            server.drop(database)


def servers_with(app: str, provider: str) -> list[Server]:
    """The servers of this kind on which an app has databases: also one that it has left, as by its removal."""
    found = servers.read(app) or {}
    if found.get("provider") == provider:
        return [server_of(app, provider)]
    return [servers.of(one) for one in servers.left_over(app) if one["provider"] == provider]


def databases(app: str, provider: str) -> list[str]:
    """The databases of an app, its own and those beside it."""
    with backup_errors():
        return server_of(app, provider).databases()


def swap(app: str, provider: str, fresh: str, kept: str) -> None:
    """Put ``fresh`` in the place of the app's database, which is ``kept`` from then on; nothing if that is done."""
    server = server_of(app, provider)
    with backup_errors():
        if server.exists(fresh):
            server.swap(fresh, kept)
