"""An app whose database is in an attacker's hands: nothing of it runs as a superuser, nor holds anybody up."""

from __future__ import annotations

import json
import shlex

import services
from testinfra.host import Host
from testing import on_host

DATABASE = f"{on_host('programs')}/database"
# What root looks for by its name, as a view that runs a function as whoever fills or reads it.
VIEW = """
CREATE TABLE base (text LONGBLOB)//
CREATE FUNCTION note() RETURNS INT SQL SECURITY INVOKER MODIFIES SQL DATA
BEGIN INSERT INTO stock.who VALUES (CURRENT_USER()); RETURN 1; END//
CREATE SQL SECURITY INVOKER VIEW groundwork_definitions AS SELECT text FROM base WHERE note() WITH CHECK OPTION//
"""
# The app owns its extension, and so can add a function to it; a name that holds the end of a line for some.
SPOIL = r"""
CREATE EXTENSION hstore; CREATE SCHEMA U&"a\2028b"; CREATE EXTENSION citext SCHEMA U&"a\2028b";
CREATE FUNCTION public.sneaky(name) RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER EXTENSION hstore ADD FUNCTION public.sneaky(name);
ALTER DATABASE shop SET role = shop; ALTER DATABASE shop SET default_transaction_read_only = on;
ALTER DATABASE shop SET local_preload_libraries = 'missing'
"""


def on_server(host: Host, app: str, code: str) -> str:
    """What a line of Python prints that has an app's server, as the programs of the host have it."""
    program = (
        f"import sys; sys.path.insert(0, {on_host('packages')!r}); "
        f"from groundwork_database.database import server; s = server.of(server.read({app!r})); {code}"
    )
    return str(host.check_output("python3 -I -c %s", program))


def test_mariadb_runs_no_function_of_an_app_as_root(host: Host) -> None:
    services.mariadb(host, "stock", "CREATE TABLE who (name TEXT)")
    fresh = on_server(host, "stock", "print(s.create_fresh('hostile'))")
    try:
        services.as_user(host, "stock", f"mariadb --delimiter=// --execute={shlex.quote(VIEW)} {fresh}")
        swap = f"import contextlib\nwith contextlib.suppress(Exception): s.swap({fresh!r}, 'stock.kept')"
        on_server(host, "stock", f"exec({swap!r})")
        assert services.mariadb(host, "stock", "SELECT name FROM who") == ""
    finally:
        on_server(host, "stock", "[s.drop(name) for name in s.databases() if name != 'stock']")
        services.mariadb(host, "stock", "DROP TABLE who")


def test_mariadb_keeps_no_table_where_an_app_could_put_a_link(host: Host) -> None:
    services.mariadb(host, "stock", "CREATE TABLE placed (n INT) DATA DIRECTORY='/dev/shm'")
    try:
        assert "DIRECTORY" not in services.mariadb(host, "stock", "SHOW CREATE TABLE placed")
        assert not host.file("/dev/shm/stock").exists
    finally:
        services.mariadb(host, "stock", "DROP TABLE placed")


def test_postgresql_that_an_app_has_spoilt_lets_the_superuser_in_and_runs_nothing_of_it(host: Host) -> None:
    services.postgresql(host, "shop", SPOIL)
    try:
        wanted = json.dumps({"apps": [{"name": "shop", "extensions": ["pg_buffercache"]}]})
        report = json.loads(host.check_output("%s reconcile %s", DATABASE, wanted))
        assert "has functions of the app (sneaky)" in report["problems"][0]
        assert on_server(host, "shop", "print(s.create_fresh('hostile'))") == "shop.hostile"
        services.superuser(host, 'ALTER DATABASE "shop.hostile" IS_TEMPLATE true')  # as its owner may
        on_server(host, "shop", "s.drop('shop.hostile')")
        assert on_server(host, "shop", "print(s.databases())") == "['shop']"
    finally:
        services.superuser(host, "ALTER DATABASE shop RESET ALL")
        services.postgresql(host, "shop", 'DROP EXTENSION hstore, citext CASCADE; DROP SCHEMA U&"a\\2028b"')
