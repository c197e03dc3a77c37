"""An app's database on MariaDB: what is the app's, what a dump is, and a swap that is whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.database import maria_copy, server
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError
from ansible_collections.groundwork.flask.plugins.module_utils.database.maria_root import (
    Found,
    Root,
    account,
    identifier,
    in_grant,
)
from ansible_collections.groundwork.flask.plugins.module_utils.database.mariadb import MariaDB, directory_of, rename

DUMP = b"""/*M!999999\\- enable the sandbox mode */
CREATE TABLE `a` (
  `id` int(11) NOT NULL
) ENGINE=InnoDB;
INSERT INTO `a` VALUES
(1,'x\\n(2,3),\\n'),
(2,';');
DELIMITER ;;
CREATE TRIGGER trg AFTER INSERT ON a FOR EACH ROW INSERT INTO `a` VALUES
(9,9);;
DELIMITER ;
CREATE TABLE `we ``ird` (
  `x` int(11)
);
INSERT INTO `we ``ird` VALUES
(1);
INSERT INTO `we ``ird` VALUES
(2);
CREATE TABLE `empty` (
  `x` int(11)
);
/*!50001 CREATE VIEW `v` AS SELECT
 1 AS `x` */;
-- Dump completed on 2026-01-01
"""


def found(**changed: Any) -> Found:
    values = {"is_there": True, "plugin": "unix_socket", "is_plain": True, "granted": (r"my\_shop",), **changed}
    return Found("my_shop", **{"has_database": True, **values})


class TestNames:
    """A name stays a name, whatever the app calls its tables and whatever the app is called."""

    def test_a_grant_is_for_one_database_alone(self) -> None:
        assert in_grant("my_shop.fresh") == r"`my\_shop.fresh`"
        assert account("my_shop") == "`my_shop`@`localhost`"

    @pytest.mark.parametrize("name", ["a`b", "a\\", "a;b", "a'b", 'a"b', "a\nb", ""])
    def test_what_could_be_more_than_a_name_is_refused(self, name: str) -> None:
        with pytest.raises(DatabaseError, match="rename it"):
            identifier(name)

    def test_directory(self) -> None:
        assert directory_of("my_sh-op.fresh") == "my_sh@002dop@002efresh"

    @pytest.mark.parametrize("name", ["blog", "shopx", "shop.a.b", "shop.`", "mysql", "shop." + "x" * 60])
    def test_another_database_is_not_touched(self, name: str) -> None:
        with pytest.raises(DatabaseError, match="is no database of shop"):
            MariaDB({"name": "shop"}).drop(name)


class TestOwnership:
    """An account or a database that was there before is not taken."""

    def test_ours(self) -> None:
        assert found().is_ours
        assert found(granted=(r"my\_shop", r"my\_shop.fresh")).is_ours
        found().refuse_if_foreign()
        found(is_there=False, granted=(), has_database=False).refuse_if_foreign()

    @pytest.mark.parametrize(
        "changed",
        [{"plugin": "mysql_native_password"}, {"is_plain": False}, {"granted": ("other",)}, {"granted": ("my_shop",)}],
    )
    def test_an_account_with_other_rights_or_another_way_in_is_foreign(self, changed: dict[str, Any]) -> None:
        with pytest.raises(DatabaseError, match="has an account my_shop@localhost that was not made for this app"):
            found(**changed).refuse_if_foreign()

    @pytest.mark.parametrize("changed", [{"granted": ()}, {"granted": (), "is_there": False}])
    def test_a_database_without_rights_of_the_app_is_foreign(self, changed: dict[str, Any]) -> None:
        with pytest.raises(DatabaseError, match=r"has a database my_shop that was not made for this app.*GRANT ALL"):
            found(**changed).refuse_if_foreign()


class TestDump:
    """A dump that is read back is whole, and of one database."""

    def test_rows_are_counted_as_they_are_written(self) -> None:
        counted: dict[str, int] = {}
        for table, number in maria_copy.rows(io.BytesIO(DUMP)):
            counted[table] = counted.get(table, 0) + number
        assert counted == {"a": 2, "we `ird": 2, "empty": 0}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"-- x\nUSE `foo`;\n-- Dump completed\n", "make it without --databases"),
            (b"CREATE DATABASE foo;\n-- Dump completed\n", "make it without --databases"),
            (b"INSERT INTO `a` VALUES\n(1),", "is not whole"),
            (b"\x1f\x8b00", "unpack it with gunzip"),
        ],
    )
    def test_what_is_none_is_refused(self, content: bytes, message: str) -> None:
        with pytest.raises(maria_copy.FailureError, match=message):
            maria_copy.refuse("x.sql", content, content)
        maria_copy.refuse("x.sql", DUMP, DUMP)

    def test_an_error_shows_no_statement(self) -> None:
        said = maria_copy.says(
            b"-----\ninsert into a values ('secret')\n----\n\nERROR 1064 (42000) at line 1: bad", "x", 1
        )
        assert said == "ERROR 1064 (42000) at line 1: bad"

    def test_it_is_the_app_that_runs_it(self) -> None:
        argv = server.of({"provider": "mariadb", "name": "shop"}).dump("/x.sql")
        assert argv[:2] == ["/usr/bin/python3", "-I"]
        assert argv[3] == "dump"
        assert json.loads(argv[4]) == {"socket": "/run/mysqld/mysqld.sock", "database": "shop", "file": "/x.sql"}


class Fake(Root):
    """A server that knows which tables are in which database, and moves them as RENAME TABLE does."""

    def __init__(self, tables: dict[str, list[str]]) -> None:
        super().__init__("/nowhere")
        self.has, self.ended = tables, list[str]()

    def databases(self) -> list[str]:
        return list(self.has)

    def tables(self, database: str) -> list[str]:
        return list(self.has.get(database, ()))

    def end_sessions(self, app: str) -> None:
        self.ended.append(app)

    def look(self, app: str) -> Found:
        return Found(app, is_there=True, plugin="unix_socket", is_plain=True, granted=(), has_database=True)

    def sql(self, *statements: str, seconds: float = 1) -> list[str]:
        del seconds
        for statement in statements:
            words = statement.replace("`", "").split()
            if statement.startswith("CREATE DATABASE"):
                self.has[words[2]] = []
            elif statement.startswith("DROP DATABASE"):
                self.has.pop(words[4], None)
            elif statement.startswith("RENAME TABLE"):
                for move in statement.removeprefix("RENAME TABLE ").replace("`", "").split(", "):
                    here, there = (name.rpartition(".") for name in move.split(" TO "))
                    self.has[here[0]].remove(here[2])
                    self.has[there[0]].append(there[2])
            elif statement.startswith("SELECT default_character_set_name"):
                return ["utf8mb4\tutf8mb4_general_ci"]
        return []


class Steps:
    """What the app's account is asked to do, and the definitions that each database has."""

    def __init__(self, fail: int = 0) -> None:
        self.definitions = {"shop": "old", "shop.fresh": "new", "shop.kept": ""}
        self.fail, self.asked = fail, 0

    def __call__(self, app: str, argv: Sequence[str], payload: str) -> str:
        assert app == "shop"
        self.asked += 1
        if self.asked == self.fail:
            raise DatabaseError("MariaDB: no")
        verb, database = argv[3], json.loads(argv[4])["database"]
        if verb == "objects":
            return json.dumps({"sql": self.definitions[database]})
        if verb == "replace":
            self.definitions[database] = payload
        return json.dumps({})


class KilledError(BaseException):
    """Stands for kill -9."""


class TestSwap:
    """A swap is whole or not at all."""

    @staticmethod
    def make() -> Fake:
        return Fake({"shop": ["a", "b"], "shop.fresh": ["a", "c"], "blog": []})

    def test_tables_and_definitions_change_places(self) -> None:
        root, steps = self.make(), Steps()
        MariaDB({"name": "shop"}, root, steps).swap("shop.fresh", "shop.kept")
        assert root.has == {"shop": ["a", "c"], "shop.kept": ["a", "b"], "blog": []}
        assert steps.definitions["shop"] == "new"
        assert steps.definitions["shop.kept"] == "old"
        assert root.ended == ["shop"]

    @pytest.mark.parametrize("fail", range(1, 7))
    def test_a_failure_at_any_step_leaves_what_was(self, fail: int) -> None:
        root, steps = self.make(), Steps(fail)
        with pytest.raises(DatabaseError, match="MariaDB: no"):
            MariaDB({"name": "shop"}, root, steps).swap("shop.fresh", "shop.kept")
        assert {name: sorted(tables) for name, tables in root.has.items()} == self.make().has
        assert steps.definitions["shop"] == "old"

    def test_without_definitions_there_is_one_statement(self) -> None:
        root, steps = self.make(), Steps()
        steps.definitions = {"shop": "", "shop.fresh": ""}
        MariaDB({"name": "shop"}, root, steps).swap("shop.fresh", "shop.kept")
        assert steps.asked == 2
        assert root.has["shop"] == ["a", "c"]

    @pytest.mark.parametrize("killed_after", ["CREATE DATABASE", "RENAME TABLE", "DROP DATABASE", ""])
    @pytest.mark.parametrize("loaded", [["a", "c"], []])
    def test_what_a_killed_swap_has_left_is_taken_back(self, killed_after: str, loaded: list[str]) -> None:
        root, steps = self.make(), Steps()
        root.has["shop.fresh"], steps.definitions = list(loaded), dict.fromkeys(steps.definitions, "")
        real = root.sql

        def sql(*statements: str, seconds: float = 1) -> list[str]:
            done = real(*statements, seconds=seconds)
            if killed_after and statements and statements[0].startswith(killed_after):
                raise KilledError
            return done

        server = MariaDB({"name": "shop"}, root, steps)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(root, "sql", sql)
            patch.setattr(server, "_put_back", lambda *_arguments: None)
            with contextlib.suppress(KilledError):
                server.swap("shop.fresh", "shop.kept")
        for _again in range(2):
            server.unswap("shop.fresh", "shop.kept")
            assert {name: sorted(tables) for name, tables in root.has.items()} == {"shop": ["a", "b"], "blog": []}

    def test_no_tables_are_lost_where_it_cannot_be_told_what_was_done(self) -> None:
        root = self.make()
        root.has["shop.kept"] = ["precious"]
        with pytest.raises(DatabaseError, match="drop the one that is not needed"):
            MariaDB({"name": "shop"}, root, Steps()).unswap("shop.fresh", "shop.kept")
        assert root.has["shop.kept"] == ["precious"]

    def test_kept_is_never_overwritten(self) -> None:
        root = self.make()
        root.has["shop.kept"] = ["precious"]
        with pytest.raises(DatabaseError, match=r"has a database shop\.kept already"):
            MariaDB({"name": "shop"}, root, Steps()).swap("shop.fresh", "shop.kept")

    def test_a_table_with_a_name_that_is_none_is_refused_before_anything_is_done(self) -> None:
        root = self.make()
        root.has["shop"].append("a`; DROP DATABASE blog")
        with pytest.raises(DatabaseError, match="rename it"):
            MariaDB({"name": "shop"}, root, Steps()).swap("shop.fresh", "shop.kept")
        assert root.ended == []

    def test_no_tables_are_no_statement(self) -> None:
        assert rename([]) == []


def test_extensions_are_refused() -> None:
    with pytest.raises(DatabaseError, match=r"flask_apps.shop.database.extensions: MariaDB has no extensions"):
        MariaDB({"name": "shop"}).create(["citext"])
