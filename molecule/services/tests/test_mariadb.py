"""The app `stock` on MariaDB: who can enter its database, what it cannot do there, a swap with triggers and views."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import services
from testinfra.host import Host
from testing import on_host

DEFINITIONS = """
CREATE TABLE swap_a (id INT AUTO_INCREMENT PRIMARY KEY, n INT);
CREATE TABLE swap_b (a INT, FOREIGN KEY (a) REFERENCES swap_a (id));
CREATE TABLE swap_log (n INT);
CREATE VIEW swap_view AS SELECT n FROM swap_a;
CREATE TRIGGER swap_trigger AFTER INSERT ON swap_a FOR EACH ROW INSERT INTO swap_log VALUES (NEW.n);
CREATE FUNCTION swap_function() RETURNS INT DETERMINISTIC RETURN 7;
INSERT INTO swap_a (n) VALUES (1), (2);
INSERT INTO swap_b VALUES (1);
"""
REMOVED = (
    "SET foreign_key_checks = 0; DROP TABLE swap_a, swap_b, swap_log; DROP VIEW swap_view; DROP FUNCTION swap_function"
)


@pytest.mark.parametrize("user", ["www-data", "shop", "daemon"])
def test_another_account_is_refused(host: Host, user: str) -> None:
    assert "Access denied" in services.refused(host, user, "mariadb --user=stock --execute='SELECT 1' stock")
    assert "Access denied" in services.refused(host, user, "mariadb --user=root --execute='SELECT 1'")


def test_there_is_no_password_and_no_network(host: Host) -> None:
    found = services.mariadb(host, "root", "SHOW CREATE USER stock@localhost", "mysql")
    assert found == "CREATE USER `stock`@`localhost` IDENTIFIED VIA unix_socket"
    assert "mariadbd" not in host.check_output("ss --listening --tcp --processes --no-header")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE DATABASE stockx",
        "CREATE DEFINER=root@localhost PROCEDURE evil() SELECT 1",
        "CREATE DEFINER=root@localhost EVENT evil ON SCHEDULE EVERY 1 SECOND DO SELECT 1",
        "CREATE DEFINER=root@localhost SQL SECURITY DEFINER VIEW evil AS SELECT * FROM mysql.global_priv",
        "SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/evil'",
        "SELECT * FROM mysql.global_priv",
        "SET GLOBAL general_log = 1",
        "GRANT ALL ON stock.* TO shop@localhost",
        "SET PASSWORD = PASSWORD('x')",
    ],
)
def test_what_the_app_cannot_do(host: Host, statement: str) -> None:
    said = services.refused(host, "stock", f"mariadb --batch --execute={shlex.quote(statement)} stock")
    assert "denied" in said or "not applicable" in said, said


def ask(host: Host, code: str) -> str:
    """What a line of Python prints that has the app's server, as the programs of the host have it."""
    program = (
        f"import sys; sys.path.insert(0, {on_host('packages')!r}); "
        "from groundwork_database.database import server; s = server.of(server.read('stock')); " + code
    )
    return str(host.check_output("python3 -I -c %s", program))


def as_app(host: Host, verb: str, *arguments: str) -> dict[str, Any]:
    """What the app's account answers to a verb."""
    argv = json.loads(ask(host, f"import json; print(json.dumps(s.{verb}{arguments}))"))
    answer: dict[str, Any] = json.loads(services.as_user(host, "stock", shlex.join(argv)))
    return answer


def test_a_dump_is_loaded_beside_and_swapped_in_with_all_that_is_no_table(host: Host) -> None:
    services.mariadb(host, "stock", DEFINITIONS)
    host.check_output("install -d -o stock -m 0700 /var/tmp/swap")
    try:
        dumped = as_app(host, "dump", "/var/tmp/swap/dump")["tables"]
        assert {name: rows for name, rows in dumped.items() if name.startswith("swap")} == {
            "swap_a": 2,
            "swap_b": 1,
            "swap_log": 2,
        }
        assert ask(host, "print(s.create_fresh('fresh'))") == "stock.fresh"
        as_app(host, "load", "/var/tmp/swap/dump", "stock.fresh")
        assert as_app(host, "counts", "stock.fresh")["tables"] == dumped
        services.mariadb(host, "stock", "INSERT INTO swap_a (n) VALUES (3); DROP VIEW swap_view")
        ask(host, "s.swap('stock.fresh', 'stock.kept')")
        assert as_app(host, "counts")["tables"] == dumped
        found = services.mariadb(
            host,
            "stock",
            "INSERT INTO swap_a (n) VALUES (9); SELECT COUNT(*) FROM swap_log; SELECT COUNT(*) FROM swap_view",
        )
        assert found.split() == ["3", "3"], "the trigger and the view are there again"
        assert services.mariadb(host, "root", "SELECT COUNT(*) FROM swap_a", "stock.kept") == "3"
        assert "denied" in services.refused(host, "stock", "mariadb --execute='SELECT 1' stock.kept")
    finally:
        ask(host, "[s.drop(name) for name in s.databases() if name != 'stock']")
        services.mariadb(host, "stock", REMOVED)
        host.check_output("rm -r /var/tmp/swap")


def test_a_dump_reaches_no_shell_and_no_other_account(host: Host) -> None:
    host.check_output("install -d -o stock -m 0700 /var/tmp/evil")
    try:
        ask(host, "s.create_fresh('fresh')")
        for text in ("\\! touch /tmp/evil", "\\. /etc/passwd", "CREATE DEFINER=root@localhost PROCEDURE p() SELECT 1;"):
            content = f"{text}\n-- Dump completed\n"
            host.check_output("printf %%s %s > /var/tmp/evil/dump && chown stock /var/tmp/evil/dump", content)
            argv = json.loads(ask(host, "import json; print(json.dumps(s.load('/var/tmp/evil/dump', 'stock.fresh')))"))
            said = services.refused(host, "stock", shlex.join(argv))
            assert "sandbox" in said or "SET USER" in said, said
        assert not host.file("/tmp/evil").exists
    finally:
        ask(host, "s.drop('stock.fresh')")
        host.check_output("rm -r /var/tmp/evil")
