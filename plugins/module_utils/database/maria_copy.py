# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies a MariaDB database into a file and back, counts its rows, and moves what is no table, as the app's user.

This file is a program of its own that needs the standard library alone, run by its path in the app's sandbox. Whoever
starts it takes what it prints for data. Its one argument beside the verb is a map as JSON: ``socket``, ``database``,
and ``file`` where there is a dump.

``dump``, ``load`` and ``counts`` are those of PostgreSQL's. ``objects`` prints the definitions of triggers,
routines, events and views as ``{"sql": text}``; ``strip`` drops those of the kinds in ``kinds``; ``replace`` drops
all and makes those that stand on standard input; ``store`` keeps these in a table, and ``stored`` prints what that has,
as ``{"sql": text}``. Each prints a line of JSON; a failure is exit status 1 with a sentence
on standard error.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

STREAM = "-"  # standard input or output in place of a file
CLIENT, DUMPER = "/usr/bin/mariadb", "/usr/bin/mariadb-dump"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}
KEPT = 2**16  # characters of what a program says
END, MARGIN = b"-- Dump completed", 4096  # the last line of a dump that is whole, and how far from its end it is
HEAD = 2**16
STORE = "groundwork_definitions"
KINDS = ("trigger", "event", "procedure", "function", "view")
# What a database has of each kind: hexadecimal names, so that no name is taken for anything else.
NAMES = {
    "trigger": "SELECT HEX(trigger_name) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
    "event": "SELECT HEX(event_name) FROM information_schema.events WHERE event_schema = DATABASE()",
    "procedure": "SELECT HEX(routine_name) FROM information_schema.routines "
    "WHERE routine_schema = DATABASE() AND routine_type = 'PROCEDURE'",
    "function": "SELECT HEX(routine_name) FROM information_schema.routines "
    "WHERE routine_schema = DATABASE() AND routine_type = 'FUNCTION'",
    "view": "SELECT HEX(table_name) FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_type = 'VIEW'",
    "table": "SELECT HEX(table_name) FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'",
}
TABLE = re.compile(rb"(CREATE TABLE|INSERT INTO) `((?:[^`]|``)+)`")


class FailureError(Exception):
    """Why it cannot be done, as a sentence."""


class Server:
    """The server, as the app reaches it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.database = str(given["database"])
        self.options = ("--no-defaults", "--protocol=socket", f"--socket={given['socket']}")

    def client(self, *options: str) -> list[str]:
        """The argument vector of a session; what stands in a dump reaches no file and no shell by it."""
        shown = ("--sandbox", "--batch", "--skip-column-names", "--default-character-set=utf8mb4")
        return [CLIENT, *self.options, *shown, *options, self.database]

    def run(self, argv: list[str], stdin: IO[bytes] | bytes | None = None, status: tuple[int, ...] = (0,)) -> str:
        """Run a program, and return what it prints.

        :param status: the exit statuses that are no failure.
        """
        given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
        done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, check=False, **given)
        if done.returncode not in status:
            raise FailureError(says(done.stderr, argv[0], done.returncode))
        return str(done.stdout, errors="replace")

    def sql(self, statements: str) -> list[str]:
        """Run statements; the lines they print."""
        return self.run(self.client(), statements.encode()).splitlines()

    def names(self, kind: str) -> list[str]:
        """The names of all that the database has of a kind."""
        return sorted(bytes.fromhex(found).decode() for found in self.sql(NAMES[kind]))

    def dumper(self, *options: str) -> list[str]:
        """The argument vector of a dump, which is of one moment for the tables of InnoDB."""
        return [
            DUMPER, *self.options, "--single-transaction", "--quick", "--hex-blob", "--default-character-set=utf8mb4",
            *options,
        ]  # fmt: skip


def says(stderr: bytes, program: str, status: int) -> str:
    """What a program says, on one line, without the statement that failed, which may have data of the app's."""
    text = stderr.decode(errors="replace")[-KEPT:]
    return " ".join(text[max(0, text.find("ERROR ")) :].split()) or f"{program}: exit status {status}"


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return "`" + name.replace("`", "``") + "`"


def dump(server: Server, file: str) -> dict[str, Any]:
    """Dump the database into a file, and count the rows that are written. To standard output it is printed alone."""
    argv = server.dumper("--routines", "--triggers", "--events", "--", server.database)
    if file == STREAM:
        return stream(argv)
    tables: dict[str, int] = {}
    with (
        open(file, "wb") as target,
        subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        stdout, stderr = cast("IO[bytes]", process.stdout), cast("IO[bytes]", process.stderr)
        try:
            for table in rows(written(stdout, target)):
                tables[table[0]] = tables.get(table[0], 0) + table[1]
        except OSError as error:
            process.kill()
            raise FailureError(f"{file}: {error.strerror}") from None
        complaint = stderr.read()
    if process.returncode:
        raise FailureError(says(complaint, DUMPER, process.returncode))
    return {"tables": tables}


def stream(argv: list[str]) -> dict[str, Any]:
    """Run a dump whose output is the caller's."""
    done = subprocess.run(argv, env=ENVIRONMENT, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise FailureError(says(done.stderr, DUMPER, done.returncode))
    return {}


def written(source: IO[bytes], target: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream, each once it is written to another."""
    for row in source:
        target.write(row)
        yield row


def rows(lines: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    """Each table of a dump with 0, and with 1 for each of its rows, which mariadb-dump writes on lines of their own."""
    table, in_body = "", False
    for row in lines:
        if row.startswith(b"DELIMITER "):
            in_body = row.strip() != b"DELIMITER ;"
        elif in_body:
            continue
        elif row[:1] == b"(" and table:
            yield table, 1
        elif match := TABLE.match(row):
            table = match[2].replace(b"``", b"`").decode(errors="replace")
            yield table, 0
            table = table if match[1] == b"INSERT INTO" else ""
        else:
            table = ""


def load(server: Server, file: str) -> dict[str, Any]:
    """Load a whole dump of one database into an empty one."""
    name = "the dump" if file == STREAM else file
    try:
        with open(0 if file == STREAM else file, "rb", closefd=file != STREAM) as dumped:
            begin = dumped.read(HEAD)
            dumped.seek(0, os.SEEK_END)
            dumped.seek(max(0, dumped.tell() - MARGIN))
            end = dumped.read()
            refuse(name, begin, end)
            os.lseek(dumped.fileno(), 0, os.SEEK_SET)
            server.run(server.client(), dumped)
    except OSError as error:
        raise FailureError(f"{name}: {error.strerror}") from None
    except FailureError as failure:
        if "SET USER" in str(failure):
            raise FailureError(
                f"{failure}; the dump has a trigger, routine, event or view of another account: "
                "take the words DEFINER=… out of it"
            ) from None
        raise
    return {"skipped": []}


def refuse(file: str, begin: bytes, end: bytes) -> None:
    """Refuse what is no whole dump of one database.

    :param begin: the first bytes of the file.
    :param end: its last ones.
    """
    if begin[:2] == b"\x1f\x8b":
        raise FailureError(f"{file} is compressed by gzip: unpack it with gunzip")
    if re.search(rb"^(USE|CREATE DATABASE)\b", begin, re.MULTILINE):
        raise FailureError(f"{file} names its database: make it without --databases and --all-databases")
    if END not in end:
        raise FailureError(f"{file} is not whole: its last line is not `{END.decode()} …`, as mariadb-dump writes it")


def counts(server: Server) -> dict[str, Any]:
    """Count the rows of every table, in one snapshot."""
    names = server.names("table")
    queries = [f"SELECT {number}, COUNT(*) FROM {identifier(name)};" for number, name in enumerate(names)]
    if not queries:
        return {"tables": {}}
    found = server.sql("\n".join(("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;", *queries)))
    return {"tables": {names[int(number)]: int(count) for number, count in (row.split("\t") for row in found)}}


# --- what is no table ----------------------------------------


def objects(server: Server, force: bool) -> dict[str, Any]:
    """The definitions of all that is no table, each with a statement before it that drops the one of its name.

    :param force: leave out views that are broken.
    """
    sql = ""
    status: tuple[int, ...] = (0, 2) if force else (0,)
    more = ("--force",) if force else ()
    found = {kind: server.names(kind) for kind in KINDS}
    if any(found[kind] for kind in KINDS if kind != "view"):
        only = ("--no-data", "--no-create-info", "--add-drop-trigger", "--routines", "--triggers", "--events")
        sql += server.run(server.dumper(*more, *only, "--", server.database), status=status)
    if found["view"]:
        views = ("--no-data", "--skip-triggers", "--", server.database, *found["view"])
        sql += server.run(server.dumper(*more, *views), status=status)
    return {"sql": sql}


def strip(server: Server, kinds: Iterable[str]) -> dict[str, Any]:
    """Drop all of these kinds."""
    found = [(kind, name) for kind in kinds for name in server.names(kind)]
    if found:
        server.sql("\n".join(f"DROP {kind.upper()} IF EXISTS {identifier(name)};" for kind, name in found))
    return {"dropped": len(found)}


def replace(server: Server, sql: bytes) -> dict[str, Any]:
    """Drop all that is no table, and make what ``objects`` has printed."""
    dropped = strip(server, KINDS)
    if sql:
        server.run(server.client(), sql)
    return dropped


def store(server: Server, sql: bytes) -> dict[str, Any]:
    """Keep definitions as data; :func:`objects` leaves the table out."""
    server.sql(f"CREATE OR REPLACE TABLE {STORE} (text LONGBLOB); INSERT INTO {STORE} VALUES (x'{sql.hex()}');")
    return {"stored": len(sql)}


def stored(server: Server) -> dict[str, Any]:
    """The definitions that are kept, or null."""
    rows = server.sql(f"SELECT HEX(text) FROM {STORE}") if STORE in server.names("table") else []
    return {"sql": bytes.fromhex(rows[0]).decode() if rows else None}


def main(verb: str, argument: str) -> int:
    """Do what a verb says, and print the result as JSON."""
    given = json.loads(argument)
    server = Server(given)
    try:
        if verb in ("dump", "load"):
            answer = {"dump": dump, "load": load}[verb](server, given["file"])
        elif verb == "strip":
            answer = strip(server, [kind for kind in KINDS if kind in given["kinds"]])
        elif verb == "replace":
            answer = replace(server, sys.stdin.buffer.read())
        elif verb == "store":
            answer = store(server, sys.stdin.buffer.read())
        elif verb == "objects":
            answer = objects(server, bool(given["force"]))
        else:
            answer = {"counts": counts, "stored": stored}[verb](server)
    except FailureError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    if answer:
        sys.stdout.write(f"{json.dumps(answer)}\n")
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    raise SystemExit(main(*sys.argv[1:]))
