"""What is loaded of a dump, and which statements of a plain one may fail."""

from __future__ import annotations

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.database import pg_copy
from ansible_collections.groundwork.flask.plugins.module_utils.database.pg_copy import FailureError

FILLED = "what is in public.spatial_ref_sys, which an extension has filled when it was created"
PRESENT = {
    "schemas": ["public", "pg_catalog", "tiger"],
    "extensions": ["plpgsql", "postgis"],
    "creatable": {"plpgsql": True, "citext": True, "postgis": False, "pg_stat_statements": False, "dblink": False},
    "tables": ["public spatial_ref_sys"],
}


def chosen(what: str) -> tuple[int, int, list[str]]:
    wanted, privileges, skipped = pg_copy.chosen([f"12; 1259 16401 {what}"], PRESENT)
    return len(wanted), len(privileges), skipped


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("TABLE public users u123", (1, 0, [])),
        ("TABLE DATA public users u123", (1, 0, [])),
        ("TABLE DATA public spatial_ref_sys_2 u123", (1, 0, [])),
        ("COMMENT public TABLE users u123", (1, 0, [])),
        ("FUNCTION public EXTENSION - dblink() u123", (1, 0, [])),
        ("BLOB - 4242 u123", (1, 0, [])),
        ("SCHEMA - shop u123", (1, 0, [])),
        ("SCHEMA - tigers u123", (1, 0, [])),
        ("EXTENSION - citext ", (1, 0, [])),
        ("EXTENSION - postgis ", (1, 0, [])),
        ("ACL public TABLE users u123", (0, 1, [])),
        ("DEFAULT ACL public DEFAULT PRIVILEGES FOR TABLES u123", (0, 1, [])),
        ("SCHEMA - tiger postgres", (0, 0, [])),
        ("SCHEMA - public u123", (0, 0, [])),
        ("COMMENT - EXTENSION citext ", (0, 0, [])),
        ("COMMENT - SCHEMA public u123", (0, 0, [])),
        ("PROCEDURAL LANGUAGE - plpgsql ", (0, 0, [])),
        ("TABLE DATA public spatial_ref_sys postgres", (0, 0, [FILLED])),
        ("EVENT TRIGGER - et u123", (0, 0, ["EVENT TRIGGER - et u123"])),
        ("PUBLICATION - pub u123", (0, 0, ["PUBLICATION - pub u123"])),
        ("EXTENSION - pg_stat_statements ", (0, 0, ["the extension pg_stat_statements, which only watches"])),
    ],
)
def test_of_a_dump_is_loaded_what_the_app_may_make(what: str, expected: tuple[int, int, list[str]]) -> None:
    assert chosen(what) == expected


def test_lines_that_are_no_entries_are_not_loaded() -> None:
    assert pg_copy.chosen(["; Archive created at 2026", "", ";     Format: CUSTOM"], PRESENT) == ([], [], [])


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("dblink", "name it in `database.extensions`"), ("vector", "name its apt package in `packages`")],
)
def test_a_dump_that_needs_an_extension_is_refused_with_the_remedy(name: str, remedy: str) -> None:
    with pytest.raises(FailureError, match=f"needs the extension {name}, .*{remedy}"):
        chosen(f"EXTENSION - {name} ")


STDERR = """\
psql:/d.sql:9: NOTICE:  00000: table "x" does not exist, skipping
LOCATION:  DropErrorMsgNonExistent, tablecmds.c:1319
psql:/d.sql:20: ERROR:  42704: role "u123" does not exist
LOCATION:  get_role_oid, acl.c:5187
psql:/d.sql:20: STATEMENT:  --
-- Name: users
--
ALTER TABLE public.users
    OWNER TO u123;
psql:/d.sql:31: ERROR:  42P01: relation "nosuch" does not exist
LINE 1: INSERT INTO nosuch
LOCATION:  parserOpenTable, parse_relation.c:1449
psql:/d.sql:31: STATEMENT:  INSERT INTO nosuch VALUES (1);
psql:/d.sql:32: FATAL:  57P01: terminating connection
"""


def test_each_error_of_psql_is_read_with_its_statement() -> None:
    assert list(pg_copy.failed_statements(STDERR)) == [
        ("42704", 'role "u123" does not exist', "ALTER TABLE public.users OWNER TO u123;"),
        ("42P01", 'relation "nosuch" does not exist', "INSERT INTO nosuch VALUES (1);"),
        ("57P01", "terminating connection", ""),
    ]


def test_privileges_that_could_not_be_granted_are_told_once() -> None:
    stderr = (
        'pg_restore: error: could not execute query: ERROR:  role "u4f" does not exist\n'
        "Command was: GRANT USAGE ON SCHEMA heroku_ext TO u4f;\n"
        'pg_restore: error: could not execute query: ERROR:  role "u4f" does not exist\n'
        "pg_restore: error: could not execute query: ERROR:  permission denied for schema cron\n"
    )
    assert pg_copy.refused_privileges(stderr) == [
        "the privileges of the role u4f, which is not here",
        "permission denied for schema cron",
    ]
