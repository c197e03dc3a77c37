"""PostgreSQL of an app: who gets in, what an app cannot have others run, and how dumps go in and out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import services
from testinfra.host import Host
from testing import on_host
from visitor import Site

DATABASE = f"{on_host('programs')}/database"
# Of another host: an owner, a grantee and an extension that are not here, a name to be quoted, a large object.
SOURCE = r"""
CREATE EXTENSION hstore; CREATE EXTENSION pg_stat_statements;
CREATE TABLE "Odd ""table; x" (id serial PRIMARY KEY, note text);
INSERT INTO "Odd ""table; x" (note) SELECT repeat('x', n) FROM generate_series(1, 41) AS n;
GRANT SELECT ON "Odd ""table; x" TO elsewhere_reader;
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION watch();
SELECT lo_from_bytea(4242, 'large');
"""
LOADED = """
SELECT max(id), nextval('"Odd ""table; x_id_seq"'), convert_from(lo_get(4242), 'UTF8') FROM "Odd ""table; x"
"""
TAKEN_BACK = """
DROP TABLE "Odd ""table; x"; DROP FUNCTION watch; DROP EXTENSION hstore; SELECT lo_unlink(4242)
"""
OWNERS = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
MIGHT = """
SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = 'shop'
"""


def program(host: Host, *arguments: str) -> dict[str, Any]:
    """What the program of the host answers."""
    found: dict[str, Any] = json.loads(host.check_output(" ".join(["%s"] * (len(arguments) + 1)), DATABASE, *arguments))
    return found


def test_an_app_enters_its_own_database_and_no_other(host: Host) -> None:
    assert services.postgresql(host, "shop", "SELECT current_user, current_database()") == "shop|shop"
    for database in ("postgres", "template1"):
        assert "permission denied" in services.refused(
            host, "shop", f"{services.PSQL} --dbname={database} -c 'SELECT 1'"
        )
    services.superuser(host, "CREATE ROLE plain LOGIN")  # an app with a role of its own
    try:
        answer = services.refused(host, "plain", f"{services.PSQL} --dbname=shop --command='SELECT 1'")
        assert 'permission denied for database "shop"' in answer
    finally:
        services.superuser(host, "DROP ROLE plain")


def test_no_network_and_no_password_leads_in(host: Host) -> None:
    for user in ("www-data", "plain"):
        answer = services.refused(host, user, f"{services.PSQL} --username=shop --dbname=shop --command='SELECT 1'")
        assert 'Peer authentication failed for user "shop"' in answer
    assert host.check_output("ss --listening --tcp --numeric --no-header | grep -c :5432 || true") == "0"
    assert services.superuser(host, "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == "0"
    assert services.superuser(host, MIGHT) == "f"


def test_what_an_app_defines_runs_as_no_superuser(host: Host) -> None:
    """Functions and settings by which a superuser's session would serve the app, had it the app's search path."""
    grab = "BEGIN ALTER ROLE shop SUPERUSER; RETURN 1; END"
    services.postgresql(
        host,
        "shop",
        "ALTER DATABASE shop SET search_path = public, pg_catalog; "
        "ALTER DATABASE shop SET standard_conforming_strings = off; ALTER DATABASE shop SET role = shop; "
        f"CREATE FUNCTION public.to_jsonb(record) RETURNS int LANGUAGE plpgsql AS $f$ {grab} $f$; "
        f"CREATE FUNCTION public.pg_database_size(oid) RETURNS int LANGUAGE plpgsql AS $f$ {grab} $f$; "
        f"CREATE FUNCTION public.format(text, name, name) RETURNS int LANGUAGE plpgsql AS $f$ {grab} $f$",
    )
    try:
        assert program(host, "show", "shop")["name"] == "shop"
        wanted = json.dumps({"apps": [{"name": "shop", "extensions": ["pg_buffercache"]}]})
        report = program(host, "reconcile", wanted)
        assert "has functions of the app (" in report["problems"][0]
        assert services.superuser(host, "SELECT rolsuper FROM pg_roles WHERE rolname = 'shop'") == "f"
    finally:
        services.postgresql(
            host,
            "shop",
            "DROP FUNCTION public.to_jsonb(record), public.pg_database_size(oid), public.format(text, name, name)",
        )
        services.postgresql(host, "shop", "ALTER DATABASE shop RESET ALL")


@pytest.fixture
def elsewhere(host: Host) -> Iterator[str]:
    """Two dumps of the shop's database as it would be elsewhere, with roles that are gone when they are loaded."""
    home = host.check_output("getent passwd postgres | cut -d: -f6")
    for sql in ("CREATE ROLE elsewhere SUPERUSER LOGIN", "CREATE ROLE elsewhere_reader", "CREATE DATABASE elsewhere"):
        services.superuser(host, sql)
    as_elsewhere = "PGOPTIONS='-c role=elsewhere' psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --output=/dev/null"
    services.as_user(host, "postgres", f"pg_dump --no-owner shop | {as_elsewhere} elsewhere")
    services.superuser(host, f"SET ROLE elsewhere; {SOURCE}", database="elsewhere")
    services.as_user(host, "postgres", f"pg_dump --format=custom elsewhere >{home}/elsewhere.dump")
    services.as_user(host, "postgres", f"pg_dump elsewhere >{home}/elsewhere.sql")
    for sql in ("DROP DATABASE elsewhere", "DROP ROLE elsewhere", "DROP ROLE elsewhere_reader"):
        services.superuser(host, sql)
    yield f"{home}/elsewhere"
    host.check_output("rm %s %s", f"{home}/elsewhere.dump", f"{home}/elsewhere.sql")


def test_a_dump_of_another_host_is_loaded_and_what_was_there_is_kept(host: Host, shop: Site, elsewhere: str) -> None:
    before = program(host, "show", "shop")["tables"]
    assert before["public.product"]
    refused = host.run("%s load shop %s", DATABASE, f"{elsewhere}.dump")
    assert "the database of shop is not empty, it has rows in public." in refused.stderr
    for kind in ("sql", "dump"):
        loaded = program(host, "load", "shop", f"{elsewhere}.{kind}", "--replace")
        assert (loaded["rows"], loaded["kept"]) == (sum(before.values()) + 41, "shop.replaced")
        assert loaded["notices"] == []
        assert any("pg_stat_statements" in what for what in loaded["skipped"])
        assert services.postgresql(host, "shop", LOADED) == "41|42|large"
        assert services.postgresql(host, "shop", OWNERS) == "shop"
        services.postgresql(host, "shop", TAKEN_BACK)
    assert program(host, "show", "shop")["tables"] == before
    assert shop.get("/healthz").status == 200
    assert program(host, "forget", "shop")["changed"] == ["dropped the database shop.replaced"]


def test_a_dump_that_is_cut_off_costs_nothing(host: Host, shop: Site) -> None:
    before = program(host, "show", "shop")
    host.check_output("%s dump shop /tmp/whole.dump && head -c 4000 /tmp/whole.dump >/tmp/cut.dump", DATABASE)
    refused = host.run("%s load shop /tmp/cut.dump --replace", DATABASE)
    assert refused.rc == 1, refused.stdout
    after = program(host, "show", "shop")
    assert (after["tables"], after["kept"]) == (before["tables"], {})
    assert shop.get("/healthz").status == 200
    host.check_output("rm /tmp/whole.dump /tmp/cut.dump")
