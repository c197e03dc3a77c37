# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps, loads and counts a PostgreSQL database; run as the app's user.

This file is a program of its own that needs the standard library alone, run by its path in the app's sandbox. Whoever
starts it takes what it prints for data. Its one argument beside the verb is a map as JSON: ``programs`` (the directory
of the server's own version), ``socket``, ``port``, ``user``, ``database``, and ``file`` where there is a dump.

``dump`` writes one in PostgreSQL's custom format, ``load`` loads one, in that format, as tar or as plain SQL, into an
empty database; ``counts`` counts the rows of each table. Each prints a line of JSON; a failure is
exit status 1 with a sentence on standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any, cast

STREAM = "-"  # standard input or output in place of a file
KEPT = 2**16  # characters of what a program says
SETTINGS = "-c search_path=pg_catalog -c role=none -c standard_conforming_strings=on -c statement_timeout=0"
BEGIN, SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;", "SELECT pg_export_snapshot();"
# A snapshot does not keep what TRUNCATE and some forms of ALTER TABLE take away: a lock that was there before it does.
# pg_dump must not wait behind a change that waits for that lock, so it gives up and all is done again.
LOCK_WAIT, ATTEMPTS = "--lock-wait-timeout=5s", 5
LOCK_FAILED = re.compile(r"LOCK TABLE|meanwhile")
# Every table whose rows are the app's.
OF_THE_APP = """
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
AND NOT EXISTS (SELECT FROM pg_depend AS d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e');
"""
TABLES = f"SELECT coalesce(jsonb_agg(format('%I.%I', n.nspname, c.relname)), '[]') {OF_THE_APP}"
# How many rows each has, in one statement and so of one moment.
COUNTS = f"""
SELECT coalesce(jsonb_object_agg(format('%I.%I', n.nspname, c.relname), (xpath('/row/n/text()',
    query_to_xml(format('SELECT count(*) AS n FROM ONLY %I.%I', n.nspname, c.relname), false, true, '')
))[1]::text::bigint), '{{}}') {OF_THE_APP}
"""
# What is there before the load, and what of it is not the app's.
PRESENT = """
SELECT jsonb_build_object(
    'schemas', (SELECT jsonb_agg(nspname) FROM pg_namespace),
    'extensions', (SELECT jsonb_agg(extname) FROM pg_extension),
    'creatable', (SELECT coalesce(jsonb_object_agg(name, found), '{}') FROM (
        SELECT name, bool_or(trusted) AS found FROM pg_available_extension_versions GROUP BY name) AS versions),
    'tables', (SELECT coalesce(jsonb_agg(format('%s %s', n.nspname, c.relname)), '[]')
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        WHERE c.relkind IN ('r', 'S') AND NOT has_table_privilege(c.oid, 'INSERT')));
"""
# Only watch what other statements do: nothing in a dump needs them.
OBSERVERS = ("pg_stat_statements", "pg_stat_kcache", "pg_buffercache", "pgstattuple", "auto_explain")
# What a superuser alone may make, or what is the cluster's and not the database's.
SUPERUSERS = re.compile(
    r"COMMENT - (EXTENSION|EVENT TRIGGER|LANGUAGE|PROCEDURAL LANGUAGE|SCHEMA public) ?"
    r"|EVENT TRIGGER |(PROCEDURAL )?LANGUAGE - plpgsql|PUBLICATION|SUBSCRIPTION|SECURITY LABEL|DATABASE"
)
ENTRY = re.compile(r"(?P<id>\d+); \d+ \d+ (?P<what>.+)")
PRIVILEGES = re.compile(r"(DEFAULT )?ACL ")
# Statements of a plain dump that may fail for the reasons beside them, at no cost to the app, and how they are named.
MAY_FAIL = (
    (
        r"ALTER .* OWNER TO |GRANT |REVOKE |ALTER DEFAULT PRIVILEGES |SET (SESSION AUTHORIZATION|ROLE) ",
        "42704|42501|0LP01",
        "owners and privileges of roles that are not here",
    ),
    (r"COMMENT ON (EXTENSION|EVENT TRIGGER|(PROCEDURAL )?LANGUAGE|SCHEMA) ", "42501|42704", "comments"),
    (r"(CREATE|ALTER) (EVENT TRIGGER|PUBLICATION|SUBSCRIPTION) ", "42501|42704", ""),
    (r"CREATE SCHEMA ", "42P06", ""),
    (rf"(CREATE|DROP) EXTENSION .*\b({'|'.join(OBSERVERS)})\b", "42501|0A000|58P01|22023|55000", ""),
    (r"CREATE (OR REPLACE )?(PROCEDURAL )?LANGUAGE \W*plpgsql", "42710|42501", ""),
)
MESSAGE = re.compile(r"^psql:[^\n]*?:\d+: (?P<kind>[A-Z]+):  ", re.MULTILINE)
STATE = re.compile(r"(?P<state>\w{5}): (?P<text>[^\n]*)")


class FailureError(Exception):
    """Why it cannot be done, as a sentence."""


class Server:
    """The server, as the app reaches it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.programs, self.database = str(given["programs"]), str(given["database"])
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "PGHOST": str(given["socket"]),
            "PGPORT": str(given["port"]),
            "PGUSER": str(given["user"]),
            "PGDATABASE": self.database,
            "PGAPPNAME": "groundwork",
            "PGCLIENTENCODING": "UTF8",
            "PGCONNECT_TIMEOUT": "10",
            "PGPASSFILE": "/nonexistent",
            "PGSERVICEFILE": "/dev/null",
            "PGSYSCONFDIR": "/nonexistent",
            "PGOPTIONS": SETTINGS,
        }

    def argv(self, program: str, *arguments: str) -> list[str]:
        """The argument vector of a program of the server's version; psql reads no file of the account's."""
        psql = ("-X", "-q", "-At", "-v", "ON_ERROR_STOP=1") if program == "psql" else ()
        return [f"{self.programs}/{program}", "-w", *psql, *arguments]

    def call(self, program: str, *arguments: str, prints: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run one, and return its exit status with what it says.

        :param prints: false for one whose output is the caller's.
        """
        return subprocess.run(
            self.argv(program, *arguments), env=self.environment, stderr=subprocess.PIPE,
            stdout=subprocess.PIPE if prints else None, text=True, errors="replace", check=False,
            **{"stdin": subprocess.DEVNULL, **more},
        )  # fmt: skip

    def answer(self, query: str) -> Any:
        """The one value of a query, which is JSON."""
        done = self.call("psql", "-c", query)
        if done.returncode:
            raise FailureError(says(done))
        return json.loads(done.stdout)


def says(done: subprocess.CompletedProcess[str]) -> str:
    """What a program says, on one line."""
    return " ".join((done.stderr or done.stdout)[-KEPT:].split()) or f"{done.args[0]}: exit status {done.returncode}"


def dump(server: Server, file: str) -> dict[str, Any]:
    """Dump the database into a file, and count its rows in the same snapshot; again where tables change meanwhile."""
    for _attempt in range(ATTEMPTS - 1):
        try:
            return dump_once(server, file)
        except FailureError as failure:
            if file == STREAM or not LOCK_FAILED.search(str(failure)):
                raise
    return dump_once(server, file)


def dump_once(server: Server, file: str) -> dict[str, Any]:
    """Dump and count while one session holds the tables and the snapshot."""
    tables = server.answer(TABLES)
    lock = f"LOCK TABLE ONLY {', ONLY '.join(tables)} IN ACCESS SHARE MODE;" if tables else ""
    with subprocess.Popen(
        server.argv("psql"), env=server.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as session:  # fmt: skip
        stdin, stdout, stderr = (cast("IO[str]", stream) for stream in (session.stdin, session.stdout, session.stderr))
        stdin.write(f"{BEGIN}\n{lock}\n{SNAPSHOT}\n")
        stdin.flush()
        snapshot = stdout.readline().strip()
        if not snapshot:
            raise FailureError(f"tables were changed meanwhile: {' '.join(stderr.read(KEPT).split())}")
        target = () if file == STREAM else (f"--file={file}",)
        options = ("--format=custom", LOCK_WAIT, f"--snapshot={snapshot}")
        done = server.call("pg_dump", *options, *target, prints=file != STREAM)
        if done.returncode:
            session.kill()
            raise FailureError(says(done))
        found, complaint = session.communicate(COUNTS if file != STREAM else "")
    if session.returncode:
        raise FailureError(" ".join(complaint[-KEPT:].split()))
    return {"tables": json.loads(found)} if found else {}


# --- load ----------------------------------------


def load(server: Server, file: str) -> dict[str, Any]:
    """Load a dump into an empty database, as the app: owners, and what only a superuser may, are left out."""
    try:
        with open(0 if file == STREAM else file, "rb", closefd=file != STREAM) as dumped:
            begin = dumped.read(512)
            if begin.startswith(b"PGDMP") or begin[257:262] == b"ustar":
                return load_archive(server, dumped)
            if begin[:2] == b"\x1f\x8b":
                raise FailureError("the dump is compressed by gzip: unpack it with gunzip")
            return load_plain(server, dumped)
    except OSError as error:
        raise FailureError(f"{file}: {error.strerror}") from None


def load_archive(server: Server, dumped: IO[bytes]) -> dict[str, Any]:
    """Load a dump of pg_dump's custom format, or its tar."""
    listed = reading(server, dumped, "pg_restore", "--list")
    if listed.returncode:
        newer = "unsupported version" in listed.stderr
        raise FailureError(says(listed) + ("; it was made by a newer pg_dump than this server's" if newer else ""))
    wanted, privileges, skipped = chosen(listed.stdout.splitlines(), server.answer(PRESENT))
    options = ("--no-owner", "--no-publications", "--no-subscriptions", "--no-security-labels", "--no-tablespaces")
    target = (*options, f"--dbname={server.database}")
    strict = ("--exit-on-error", "--no-privileges")
    with listing(wanted) as entries:
        done = reading(server, dumped, "pg_restore", *strict, *by(entries), *target, pass_fds=(entries.fileno(),))
    if done.returncode:
        raise FailureError(says(done))
    if privileges:
        with listing(privileges) as entries:
            done = reading(server, dumped, "pg_restore", *by(entries), *target, pass_fds=(entries.fileno(),))
        skipped += refused_privileges(done.stderr)
    return {"skipped": skipped}


def refused_privileges(stderr: str) -> list[str]:
    """What pg_restore could not grant, each once, as the operator reads it."""
    roles = re.findall(r'ERROR:  role "([^\n]*)" does not exist', stderr)
    denied = re.findall(r"ERROR:  (permission denied[^\n]*)", stderr)
    return [
        *(f"the privileges of the role {role}, which is not here" for role in sorted(set(roles))),
        *sorted(set(denied)),
    ]


def reading(server: Server, dumped: IO[bytes], program: str, *arguments: str, **more: Any) -> Any:
    """Run a program that reads the dump, from its beginning, as its standard input."""
    os.lseek(dumped.fileno(), 0, os.SEEK_SET)
    return server.call(program, *arguments, stdin=dumped, **more)


@contextlib.contextmanager
def listing(entries: list[str]) -> Iterator[IO[str]]:
    """A file without a name that lists what pg_restore is to take."""
    with tempfile.TemporaryFile("w+") as found:
        found.write("".join(f"{entry}\n" for entry in entries))
        found.flush()
        yield found


def by(entries: IO[str]) -> tuple[str, ...]:
    """The option that has pg_restore read a list."""
    return (f"--use-list=/dev/fd/{entries.fileno()}",)


def chosen(lines: list[str], present: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """What of a dump's contents is loaded, its privileges, and what is left out as a message names it.

    :raises FailureError: it needs an extension that the app cannot create here.
    """
    wanted, privileges, skipped = [], [], []
    for row in lines:
        match = ENTRY.match(row)
        if not match:
            continue
        what = match["what"]
        if PRIVILEGES.match(what):
            privileges.append(row)
        elif extension := re.match(r"EXTENSION - (.+?) ?$", what):
            reason = without_extension(extension[1], present)
            wanted += [] if reason else [row]
            skipped += [reason] if reason else []
        elif SUPERUSERS.match(what) or is_there(what, present):
            if not what.startswith("COMMENT ") and not re.match(r"SCHEMA |.*LANGUAGE - plpgsql", what):
                skipped.append(entry_name(what))
        else:
            wanted.append(row)
    return wanted, privileges, skipped


def entry_name(what: str) -> str:
    """How a message names an entry of a dump that is left out."""
    if filled := re.match(r"(TABLE DATA|SEQUENCE SET) (\S+) (\S+)", what):
        return f"what is in {filled[2]}.{filled[3]}, which an extension has filled when it was created"
    return what.strip()


def is_there(what: str, present: dict[str, Any]) -> bool:
    """Whether an entry makes a schema that is there, or fills a table of an extension that is a superuser's."""
    schemas = {f"SCHEMA - {name} " for name in present["schemas"]}
    tables = {f"{kind} {name} " for name in present["tables"] for kind in ("TABLE DATA", "SEQUENCE SET")}
    return any(f"{what} ".startswith(known) for known in (*schemas, *tables))


def without_extension(name: str, present: dict[str, Any]) -> str:
    """Why an extension is left out; "" for one that is there or that the app may create.

    :raises FailureError: the dump may need it, and the app cannot create it.
    """
    trusted = present["creatable"].get(name)
    if name in present["extensions"] or trusted:
        return ""
    if name in OBSERVERS:
        return f"the extension {name}, which only watches"
    if trusted is None:
        raise FailureError(
            f"the dump needs the extension {name}, which is not on this host: name its apt package in `packages`"
        )
    raise FailureError(
        f"the dump needs the extension {name}, which only a superuser may create: name it in `database.extensions`"
    )


def load_plain(server: Server, dumped: IO[bytes]) -> dict[str, Any]:
    """Load plain SQL; a statement may fail only where that costs the app nothing."""
    show = ("-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=verbose", "-v", "ECHO=errors", "-o", "/dev/null")
    server.environment["PGOPTIONS"] = ""  # what is not pg_dump's may leave the schema out
    done = reading(server, dumped, "psql", *show, "-f", "-")
    skipped: dict[str, None] = {}  # in order, each once
    for state, text, statement in failed_statements(done.stderr):
        named = [name for what, states, name in MAY_FAIL if re.match(what, statement) and re.fullmatch(states, state)]
        if not named:
            raise FailureError(f"{text}, in: {statement[:300]}")
        skipped[named[0] or statement[:100]] = None
    if done.returncode:
        raise FailureError(says(done))
    return {"skipped": list(skipped)}


def failed_statements(stderr: str) -> Iterator[tuple[str, str, str]]:
    """The SQLSTATE, the text and the statement of each error that psql shows; a statement on one line."""
    messages = list(MESSAGE.finditer(stderr))
    ends = [one.start() for one in messages[1:]] + [len(stderr)]
    texts = [(one["kind"], stderr[one.end() : end]) for one, end in zip(messages, ends, strict=False)]
    for number, (kind, text) in enumerate(texts):
        if kind in ("ERROR", "FATAL", "PANIC"):
            error = STATE.match(text)
            following, statement = texts[number + 1] if number + 1 < len(texts) else ("", "")
            code = [row for row in statement.splitlines() if not row.startswith("--")]
            yield (
                error["state"] if error else "",
                error["text"] if error else " ".join(text.split()),
                " ".join(" ".join(code).split()) if following == "STATEMENT" else "",
            )


def main(verb: str, argument: str) -> int:
    """Do what a verb says, and print the result as JSON."""
    given = json.loads(argument)
    server = Server(given)
    try:
        if verb == "dump":
            answer = dump(server, given["file"])
        elif verb == "load":
            answer = load(server, given["file"])
        else:
            answer = {"tables": server.answer(COUNTS)}
    except FailureError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    if answer:
        sys.stdout.write(f"{json.dumps(answer)}\n")
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    raise SystemExit(main(*sys.argv[1:]))
