"""An app's database on MariaDB: what is the app's, what a dump is, and a swap that is whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.database import (
    as_app,
    maria_copy,
    maria_setup,
    mariadb,
    postgresql,
    server,
)
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError
from ansible_collections.groundwork.flask.plugins.module_utils.database.maria_root import (
    Found,
    Root,
    account,
    identifier,
    in_grant,
)
from ansible_collections.groundwork.flask.plugins.module_utils.database.maria_swap import COMMENT
from ansible_collections.groundwork.flask.plugins.module_utils.database.mariadb import MariaDB, directory_of

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


class TestLeftOver:
    """A purge after a removal finds what is the app's by its account, for its record is gone."""

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            ({}, ["my_shop"]),
            ({"granted": ()}, []),
            ({"plugin": "mysql_native_password"}, []),
            ({"is_there": False}, []),
        ],
    )
    def test_an_account_that_was_made_for_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], expected: list[str]
    ) -> None:
        monkeypatch.setattr(mariadb, "SOCKET", str(tmp_path))
        monkeypatch.setattr(Root, "look", lambda _root, _app: found(**changed))
        monkeypatch.setattr(postgresql, "clusters", list)
        assert [record["name"] for record in server.left_over("my_shop")] == expected

    def test_a_server_that_does_not_answer_or_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_root: Root, _app: str) -> Found:
            raise DatabaseError("access denied")

        monkeypatch.setattr(Root, "look", refuse)
        for socket in ("/nonexistent", "/"):
            monkeypatch.setattr(mariadb, "SOCKET", socket)
            assert mariadb.left_over("my_shop") == []


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

    def test_it_passes_through_standard_input_and_output(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        dump, loaded, program = (tmp_path / name for name in ("dump.sql", "loaded.sql", "program"))
        dump.write_bytes(DUMP)
        program.write_text(f"#!/bin/sh\ncase $* in *--routines*) cat {dump};; *) cat > {loaded};; esac\n")
        program.chmod(0o755)
        monkeypatch.setattr(maria_copy, "CLIENT", str(program))
        monkeypatch.setattr(maria_copy, "DUMPER", str(program))
        given = json.dumps({"socket": "/run/x", "database": "shop", "file": "-"})
        assert maria_copy.main("dump", given) == 0
        assert capfd.readouterr().out == DUMP.decode()
        stdin = os.dup(0)
        try:
            with dump.open("rb") as dumped:
                os.dup2(dumped.fileno(), 0)
            assert maria_copy.main("load", given) == 0
        finally:
            os.dup2(stdin, 0)
            os.close(stdin)
        assert loaded.read_bytes() == DUMP

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


class CutOffError(Exception):
    """Nothing more is done: the machine is off."""


STORE = "groundwork_definitions"


class Fake(Root):
    """A server that knows databases, comments and tables, moves these as RENAME TABLE does, and may go off."""

    def __init__(self, tables: dict[str, list[str]], cut_off: int = 0) -> None:
        super().__init__("/nowhere")
        self.has, self.comments = tables, dict[str, str]()
        self.texts = dict[str, list[str]]()
        self.definitions = {"shop": "old", "shop.fresh": "new"}
        self.ended: list[str] = []
        self.cut_off, self.done = cut_off, 0

    def act(self) -> None:
        """Count one more thing that changes something."""
        self.done += 1
        if self.cut_off and self.done >= self.cut_off:
            raise CutOffError

    def databases(self) -> list[str]:
        return list(self.has)

    def tables(self, database: str) -> list[str]:
        return list(self.has.get(database, ()))

    def comment(self, database: str) -> str:
        return self.comments.get(database, "") if database in self.has else ""

    def end_sessions(self, app: str) -> None:
        self.ended.append(app)

    def look(self, app: str) -> Found:
        return Found(app, is_there=True, plugin="unix_socket", is_plain=True, granted=(), has_database=True)

    def sql(self, *statements: str, seconds: float = 1) -> list[str]:
        del seconds
        answer: list[str] = []
        for statement in statements:
            answer += self.one(statement.replace("`", "").replace(" IF NOT EXISTS", "").replace(" IF EXISTS", ""))
        return answer

    def one(self, statement: str) -> list[str]:
        if statement.startswith("SELECT default_character_set_name"):
            return ["utf8mb4\tutf8mb4_general_ci"]
        assert not statement.startswith(("SELECT", "INSERT")), "root reads or fills what may be a view of the app's"
        self.act()
        match statement.split():
            case ["CREATE", "DATABASE", name, *_]:
                self.has[name], self.comments[name] = [], statement.split("'")[1]
            case ["ALTER", "DATABASE", name, *_]:
                self.comments[name] = statement.split("'")[1]
            case ["DROP", "DATABASE", name]:
                self.has.pop(name, None)
            case ["CREATE", "TABLE", name, *_]:
                database, _dot, table = name.rpartition(".")
                self.has[database] = [*(one for one in self.has[database] if one != table), table]
            case ["DROP", "TABLE", name]:
                database, _dot, table = name.rpartition(".")
                self.has[database] = [one for one in self.has[database] if one != table]
            case ["RENAME", "TABLE", *_]:
                for move in statement.removeprefix("RENAME TABLE ").split(", "):
                    here, there = (name.rpartition(".") for name in move.split(" TO "))
                    self.has[here[0]].remove(here[2])
                    self.has[there[0]].append(there[2])
        return []


class Steps:
    """What the app's account does; it fails at one of them."""

    def __init__(self, root: Fake, fail: int = 0) -> None:
        self.root, self.fail, self.asked = root, fail, 0

    def __call__(self, app: str, argv: Sequence[str], payload: str) -> str:
        assert app == "shop"
        self.asked += 1
        if self.asked == self.fail:
            raise DatabaseError("MariaDB: no")
        verb, database = argv[3], json.loads(argv[4])["database"]
        definitions = self.root.definitions
        if verb == "objects":
            return json.dumps({"sql": definitions.get(database, "")})
        texts = self.root.texts
        if verb == "stored":
            return json.dumps({"sql": texts[database][0] if texts[database] else None})
        self.root.act()
        if verb == "store":
            self.root.has[database] = [one for one in self.root.has[database] if one != STORE] + [STORE]
            texts[database] = []
            self.root.act()
            texts[database] = [payload]
            return json.dumps({})
        if verb == "replace":
            definitions[database] = payload
        elif definitions.get(database):
            definitions[database] = f"{definitions[database]} without triggers"
        return json.dumps({})


LIVE, FRESH, KEPT = ["a", "b"], ["a", "c"], "shop.before_1"


def make(fail: int = 0, cut_off: int = 0) -> tuple[MariaDB, Fake]:
    """An app with a database and one that it is to be swapped for."""
    root = Fake({"shop": [*LIVE], "shop.fresh": [*FRESH], "blog": []}, cut_off)
    return MariaDB({"name": "shop"}, root, Steps(root, fail)), root


class TestSwap:
    """A swap is whole or not at all."""

    def test_tables_and_definitions_change_places(self) -> None:
        database, root = make()
        database.swap("shop.fresh", KEPT)
        assert root.has == {"shop": FRESH, KEPT: LIVE, "blog": []}
        assert (root.definitions["shop"], root.definitions[KEPT]) == ("new", "old")
        assert root.comments[KEPT] == ""
        assert root.ended == ["shop"]
        database.swap(KEPT, "shop.fresh")
        assert root.has == {"shop": LIVE, "shop.fresh": FRESH, "blog": []}
        assert root.definitions["shop"] == "old"

    @pytest.mark.parametrize("fail", range(1, 9))
    def test_a_failure_at_any_step_leaves_what_was(self, fail: int) -> None:
        database, root = make(fail)
        with pytest.raises(DatabaseError, match="MariaDB: no"):
            database.swap("shop.fresh", KEPT)
        assert sorted(root.has["shop"]) == LIVE
        assert sorted(set(root.has["shop.fresh"]) - {"groundwork_mark", "groundwork_definitions"}) == FRESH
        assert not database.exists(KEPT)
        assert root.definitions["shop"] == "old"
        database.drop("shop.fresh")
        assert list(root.has) == ["shop", "blog"]

    @pytest.mark.parametrize("again", range(12))
    @pytest.mark.parametrize("cut_off", range(1, 20))
    def test_what_is_cut_off_anywhere_is_taken_back_also_when_that_is_cut_off(self, cut_off: int, again: int) -> None:
        """As the engine takes back a way back that was killed."""
        database, root = make(cut_off=cut_off)
        with contextlib.suppress(CutOffError):
            database.swap("shop.fresh", KEPT)
        for limit in (again, 0):
            root.done, root.cut_off = 0, limit
            with contextlib.suppress(CutOffError):
                database.unswap("shop.fresh", KEPT)
        assert {name: sorted(tables) for name, tables in root.has.items()} == {"shop": LIVE, "blog": []}
        assert root.definitions["shop"] == "old"

    def test_without_definitions_the_app_is_asked_for_them_and_for_nothing_else(self) -> None:
        database, root = make()
        root.definitions = {}
        database.swap("shop.fresh", KEPT)
        assert isinstance(database.step, Steps)
        assert database.step.asked == 2
        assert root.has["shop"] == FRESH

    def test_what_an_app_leaves_behind_keeps_no_database_from_being_dropped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It can have a scratch database look like one of an exchange that was cut off, with definitions that fail."""
        monkeypatch.setattr(as_app, "has_account", lambda app: app == "shop")
        for is_gone in (False, True):
            database, root = make(fail=1)
            root.has["shop.fresh"].append(STORE)
            root.has[KEPT] = []
            root.comments["shop.fresh"] = COMMENT
            database.drop(KEPT)
            assert list(root.has) == ["shop", "shop.fresh", "blog"]
            assert isinstance(database.step, Steps)
            database.step.fail = 2
            if is_gone:
                monkeypatch.setattr(as_app, "has_account", lambda _app: False)
                database.drop("shop.fresh")
            else:
                with pytest.raises(DatabaseError):
                    database.drop("shop.fresh")
                for name in database.databases():
                    database.drop(name)
        assert "shop.fresh" not in root.has

    def test_kept_is_never_overwritten(self) -> None:
        database, root = make()
        root.has[KEPT] = ["precious"]
        with pytest.raises(DatabaseError, match=rf"has a database {KEPT} already"):
            database.swap("shop.fresh", KEPT)

    def test_a_table_with_a_name_that_is_none_is_refused_before_anything_is_done(self) -> None:
        database, root = make()
        root.has["shop"].append("a`; DROP DATABASE blog")
        with pytest.raises(DatabaseError, match="rename it"):
            database.swap("shop.fresh", KEPT)
        assert root.done == 0
        assert root.ended == []


def test_a_lock_that_outlives_its_session_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "ERROR 1205 (HY000) at line 1: Lock wait timeout exceeded; try restarting transaction"
    monkeypatch.setattr(programs, "run", lambda *_a, **_k: subprocess.CompletedProcess((), 1, "", error))
    with pytest.raises(DatabaseError, match=r"Lock wait timeout .* `mariadb -e 'XA RECOVER'`, end it by XA ROLLBACK"):
        Root("/nowhere").sql("DROP DATABASE shop")


def test_extensions_are_refused() -> None:
    with pytest.raises(DatabaseError, match=r"flask_apps.shop.database.extensions: MariaDB has no extensions"):
        MariaDB({"name": "shop"}).create(["citext"])


class TestSetUp:
    """A server that was there before is left as it is."""

    @staticmethod
    def server(databases: Sequence[str] = (), accounts: Sequence[str] = ()) -> Root:
        class Other(Root):
            def databases(self) -> list[str]:
                return ["mysql", "sys", "information_schema", "performance_schema", *databases]

            def names(self, query: str) -> list[str]:
                del query
                return ["root@localhost", "mysql@localhost", "mariadb.sys@localhost", *accounts]

        return Other("/nowhere")

    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(maria_setup, "restart", lambda: None)
        file = tmp_path / maria_setup.FILE
        file.parent.mkdir(parents=True)
        return file

    def test_a_new_one_listens_on_its_socket_alone(self, file: Path, tmp_path: Path) -> None:
        assert maria_setup.set_up(self.server(), tmp_path, dry_run=True) == [
            "have MariaDB listen on its unix socket alone"
        ]
        assert not file.exists()
        assert maria_setup.set_up(self.server(), tmp_path)
        assert {"skip-networking", "symbolic-links = 0"} <= set(file.read_text().splitlines())
        assert maria_setup.set_up(self.server(), tmp_path) == []

    @pytest.mark.parametrize("used", [{"databases": ["wiki"]}, {"accounts": ["wiki@%"]}])
    def test_one_that_others_use_is_left(self, file: Path, tmp_path: Path, used: dict[str, list[str]]) -> None:
        assert maria_setup.set_up(self.server(**used), tmp_path) == []
        assert not file.exists()

    @pytest.mark.parametrize(("links", "number"), [("YES", 1), ("DISABLED", 0)])
    def test_one_that_puts_tables_where_an_app_says_is_a_warning(self, links: str, number: int) -> None:
        class Other(Root):
            def sql(self, *_statements: str, seconds: float = 1) -> list[str]:
                del seconds
                return [links]

        assert len(maria_setup.warnings(Other("/nowhere"))) == number

    def test_one_that_does_not_start_with_it_runs_as_before(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def restart() -> None:
            if file.exists():
                raise DatabaseError("mariadb.service does not start")

        monkeypatch.setattr(maria_setup, "restart", restart)
        with pytest.raises(DatabaseError, match="does not start"):
            maria_setup.set_up(self.server(), tmp_path)
        assert not file.exists()
