"""Which cluster a database is on, the settings of one of ours, and what is refused before anything is changed."""

from __future__ import annotations

import contextlib
import pwd
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import privileges, programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.paused import PauseError
from ansible_collections.groundwork.flask.plugins.module_utils.database import (
    access,
    as_app,
    cli,
    extensions,
    operate,
    ours,
    postgresql,
    reconcile,
    server,
    settings,
)
from ansible_collections.groundwork.flask.plugins.module_utils.database.clusters import Cluster
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError
from ansible_collections.groundwork.flask.plugins.module_utils.database.server import Server
from ansible_collections.groundwork.flask.plugins.module_utils.database.superuser import Superuser

OLD, NEW = Cluster(15, "main", 5432), Cluster(17, "main", 5433)
DOWN = Cluster(15, "main", 5432, "down")


@pytest.fixture(autouse=True)
def nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "is_ours", lambda _cluster: False)


class TestChoice:
    def test_the_only_one_that_runs(self) -> None:
        assert access.choose([OLD]) == OLD
        assert access.choose([NEW, DOWN]) == NEW

    def test_of_several_that_which_is_named_or_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert access.choose([NEW, OLD], "15/main") == OLD
        monkeypatch.setattr(settings, "is_ours", lambda cluster: cluster == OLD)
        assert access.choose([NEW, OLD]) == OLD

    def test_an_app_stays_where_it_is(self) -> None:
        assert access.choose([NEW, OLD], "17/main", port=5432) == OLD

    @pytest.mark.parametrize(
        ("found", "wanted", "port", "sentence"),
        [
            ([NEW, OLD], "", 0, r"several PostgreSQL clusters: 17/main \(port 5433, online\), 15/main .*: 17/main`"),
            (
                [NEW, OLD],
                "16/main",
                0,
                "database_cluster: '16/main' is no PostgreSQL cluster of this host; there are: 17/",
            ),
            ([DOWN], "", 0, "does not run: start it: systemctl start postgresql@15-main.service"),
            (
                [NEW, DOWN],
                "",
                5432,
                "port 5432, which does not run; .*Start it: systemctl start postgresql@15-main.service",
            ),
            ([NEW], "", 5432, "port 5432, which does not run; there are: 17/main .*answer at that port again"),
            ([], "", 0, "has no PostgreSQL cluster: make one, as root: pg_createcluster"),
        ],
    )
    def test_refusals(self, found: list[Cluster], wanted: str, port: int, sentence: str) -> None:
        with pytest.raises(DatabaseError, match=sentence):
            access.choose(found, wanted, port)


def answering(monkeypatch: pytest.MonkeyPatch, rows: Sequence[dict[str, Any]]) -> Superuser:
    monkeypatch.setattr(Superuser, "rows", lambda _self, _query, _database="": list(rows))
    return Superuser(NEW)


def rule(line: int, database: str, role: str, method: str, options: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "line": line,
        "database": database.split(","),
        "user_name": role.split(","),
        "auth_method": method,
        "options": list(options),
    }


class TestAccess:
    @pytest.mark.parametrize(
        "rules",
        [
            [rule(90, "all", "postgres", "peer"), rule(95, "all", "all", "peer")],
            [rule(1, "other", "all", "trust"), rule(2, "shop", "shop", "peer"), rule(3, "all", "all", "reject")],
        ],
    )
    def test_peer_lets_the_app_in_and_nobody_else(
        self, monkeypatch: pytest.MonkeyPatch, rules: list[dict[str, Any]]
    ) -> None:
        access.refuse_unless_peer(answering(monkeypatch, rules), "shop")

    @pytest.mark.parametrize(
        ("rules", "found"),
        [
            ([rule(95, "all", "all", "trust")], "its line 95 has trust"),
            ([rule(95, "sameuser", "all", "scram-sha-256"), rule(96, "all", "all", "peer")], "its line 95 has scram"),
            ([rule(95, "all", "all", "peer", ["map=apps"])], "its line 95 has peer"),
            ([rule(90, "all", "postgres", "peer")], "no line is about it"),
        ],
    )
    def test_anything_else_is_refused_with_the_line_that_is_missing(
        self, monkeypatch: pytest.MonkeyPatch, rules: list[dict[str, Any]], found: str
    ) -> None:
        with pytest.raises(DatabaseError) as refused:
            access.refuse_unless_peer(answering(monkeypatch, rules), "shop")
        assert found in str(refused.value)
        assert "put `local shop shop peer` before it in /etc/postgresql/17/main/pg_hba.conf" in str(refused.value)


class TestSettings:
    @pytest.mark.parametrize(
        ("memory", "buffers", "connections"), [(512, "128MB", "50"), (4096, "1024MB", "100"), (65536, "8192MB", "200")]
    )
    def test_they_follow_from_the_memory(self, memory: int, buffers: str, connections: str) -> None:
        found = settings.settings_for(memory)
        assert (found["shared_buffers"], found["max_connections"]) == (buffers, connections)
        assert found["listen_addresses"] == ""

    def test_values_are_quoted(self) -> None:
        text = settings.text_of({"log_line_prefix": "it's %m", "ssl": False, "work_mem": "8MB", "port": 1})
        assert text.splitlines()[1:] == [
            "log_line_prefix = 'it''s %m'",
            "ssl = 'off'",
            "work_mem = '8MB'",
            "port = '1'",
        ]

    @pytest.mark.parametrize("name", ["work mem", "Work_mem", "include '/etc/passwd'", "a\nb"])
    def test_what_cannot_be_a_setting_is_refused(self, name: str) -> None:
        with pytest.raises(DatabaseError, match="cannot be a setting"):
            settings.text_of({name: "1"})


class TestReconcile:
    @pytest.fixture
    def host(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """A host with one cluster, on which ``found`` has the apps' names."""
        state: dict[str, Any] = {"found": {}, "made": []}
        monkeypatch.setattr(reconcile, "clusters", lambda: [NEW])
        monkeypatch.setattr(server, "read", lambda _app: None)
        monkeypatch.setattr(pwd, "getpwnam", lambda _name: None)
        monkeypatch.setattr(access, "refuse_unless_peer", lambda _server, _app: None)
        monkeypatch.setattr(extensions, "refuse_missing", lambda _server, _app, _wanted: None)
        monkeypatch.setattr(
            programs,
            "run",
            lambda argv, **_more: subprocess.CompletedProcess(argv, 0, "C\nC.utf8\nPOSIX\nde_DE.utf8\n", ""),
        )
        monkeypatch.setattr(settings, "is_untouched", lambda _server: False)
        monkeypatch.setattr(ours, "look", lambda _server, app: state["found"].get(app, ours.Found(app)))
        answering(monkeypatch, [{"most": 100}])

        def create(self: Any, *_given: Any, **_more: Any) -> list[str]:
            state["made"].append(self.app)
            return [f"created the database {self.app}"]

        monkeypatch.setattr(postgresql.PostgreSQL, "create", create)
        return state

    def test_each_app_gets_its_database(self, host: dict[str, Any]) -> None:
        report = reconcile.reconcile(reconcile.Wanted([{"name": "shop"}, {"name": "blog"}]))
        assert host["made"] == ["shop", "blog"]
        assert report.problems == report.warnings == []
        assert report.servers["blog"] == {
            "socket": "/run/postgresql",
            "port": 5433,
            "version": 17,
            "cluster": "main",
            "is_ours": False,
            "max_connections": 100,
        }

    def test_an_app_without_an_account_is_refused_but_for_a_dry_run_which_comes_before_it(
        self, host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nobody(name: str) -> None:
            raise KeyError(name)

        monkeypatch.setattr(pwd, "getpwnam", nobody)
        wanted = reconcile.Wanted([{"name": "shop"}])
        assert "there is no account shop on this host" in reconcile.reconcile(wanted).problems[0]
        assert host["made"] == []
        foreseen = reconcile.reconcile(wanted, dry_run=True)
        assert (foreseen.problems, foreseen.changed) == ([], ["created the database shop"])

    def test_a_database_that_its_app_has_spoilt_keeps_no_other_app_from_having_one(
        self, host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def create(self: Any, *_given: Any, **_more: Any) -> list[str]:
            if self.app == "shop":
                raise DatabaseError('database "shop" is not currently accepting connections')
            return [f"created the database {self.app}"]

        monkeypatch.setattr(postgresql.PostgreSQL, "create", create)
        report = reconcile.reconcile(reconcile.Wanted([{"name": "shop"}, {"name": "blog"}]))
        assert host["made"] == []
        assert report.problems == ['database "shop" is not currently accepting connections']
        assert report.changed == ["created the database blog"]

    @pytest.mark.parametrize(
        ("found", "sentence"),
        [
            (ours.Found("blog", role=True), "has a role blog that was not made for this app: choose another name"),
            (ours.Found("blog", owner="crm"), "has a database blog that belongs to crm: choose another name"),
        ],
    )
    def test_what_is_somebody_elses_is_refused_before_anything_is_made(
        self, host: dict[str, Any], found: ours.Found, sentence: str
    ) -> None:
        host["found"]["blog"] = found
        report = reconcile.reconcile(reconcile.Wanted([{"name": "shop"}, {"name": "blog"}]))
        assert sentence in report.problems[0]
        assert host["made"] == []

    def test_another_locale_is_a_warning(self, host: dict[str, Any]) -> None:
        host["found"]["shop"] = ours.Found("shop", role=True, is_ours=True, owner="shop", locale="C.UTF-8")
        for locale, number in (("C.utf8", 0), ("de_DE.UTF-8", 1)):
            report = reconcile.reconcile(reconcile.Wanted([{"name": "shop", "locale": locale}]))
            assert len(report.warnings) == number

    @pytest.mark.parametrize(
        ("locale", "is_there"), [("", True), ("C", True), ("de_DE.UTF-8", True), ("fr_FR.UTF-8", False)]
    )
    def test_a_locale_that_the_host_lacks_is_refused_before_anything_is_made(
        self, host: dict[str, Any], locale: str, is_there: bool
    ) -> None:
        report = reconcile.reconcile(reconcile.Wanted([{"name": "shop", "locale": locale}, {"name": "blog"}]))
        assert host["made"] == (["shop", "blog"] if is_there else [])
        assert [one.partition(":")[0] for one in report.problems] == (
            [] if is_there else ["flask_apps.shop.database.locale"]
        )

    def test_an_app_that_changes_its_provider_is_told_that_nothing_is_copied(
        self, host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "read", lambda app: {"provider": "mariadb"} if app == "shop" else None)
        report = reconcile.reconcile(reconcile.Wanted([{"name": "shop"}, {"name": "blog"}]))
        assert host["made"] == ["shop", "blog"]
        assert len(report.warnings) == 1
        assert (
            "flask_apps.shop.database.provider was mariadb and is postgresql now: nothing is copied"
            in report.warnings[0]
        )

    def test_a_cluster_that_does_not_run_is_named_with_the_app(
        self, host: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "read", lambda _app: {"provider": "postgresql", "port": 5432})
        report = reconcile.reconcile(reconcile.Wanted([{"name": "shop"}]))
        assert report.problems[0].startswith("flask_apps.shop.database: the app's database is on the PostgreSQL")
        assert host["made"] == []

    def test_settings_for_a_server_that_was_there_are_a_warning(self, host: dict[str, Any]) -> None:
        report = reconcile.reconcile(reconcile.Wanted([{"name": "shop"}], settings={"work_mem": "8MB"}))
        assert "was there before, so database_settings are not applied to it" in report.warnings[0]
        assert host["made"] == ["shop"]


@pytest.mark.parametrize(
    ("looks_on", "found", "printed"),
    [
        (
            False,
            {"changed": ["dropped the database shop.replaced"]},
            '{"changed": ["dropped the database shop.replaced"]}',
        ),
        (True, {"changed": ["dropped the database shop.replaced"]}, "dropped the database shop.replaced"),
        (True, {"changed": []}, "there was nothing to do"),
        (True, {"name": "shop", "lines": ["shop: postgresql 15", "tables: 0"]}, "shop: postgresql 15\ntables: 0"),
    ],
)
def test_who_looks_on_is_shown_sentences(
    looks_on: bool,
    found: dict[str, Any],
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "OF_AN_APP", {"forget": lambda _app: found})
    monkeypatch.setattr(cli, "make_directory", lambda _path: None)
    monkeypatch.setattr(privileges, "is_root", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: looks_on)
    assert cli.main(["forget", "shop"]) == 0
    assert capsys.readouterr().out == f"{printed}\n"


def test_a_database_that_is_not_empty_is_not_loaded_over() -> None:
    operate.refuse_rows("shop", {}, replace=False)
    operate.refuse_rows("shop", {"public.orders": 3}, replace=True)
    with pytest.raises(DatabaseError) as refused:
        operate.refuse_rows("shop", {f"public.t{number}": number for number in range(1, 8)}, replace=False)
    assert "not empty, it has rows in public.t1 (1), public.t2 (2)" in str(refused.value)
    assert "and 2 more. Nothing was loaded. To have the dump in its place" in str(refused.value)


class TestLastDump:
    """A removal is not held up by an app, and drops nothing of which there is no dump."""

    @pytest.fixture
    def seen(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        seen: list[str] = []

        class One:
            def exists(self) -> bool:
                return True

            def end_sessions(self) -> None:
                seen.append("sessions ended")

        @contextlib.contextmanager
        def paused(app: str, by: str) -> Iterator[list[str]]:
            if "stuck" in seen:
                raise PauseError(f"{app} could not be stopped")
            seen.append(f"{app} stopped")
            yield []
            raise PauseError(f"{app} could not be started again for {by}")

        def write_dump(_one: object, file: Path) -> Path:
            if "full" in seen:
                raise DatabaseError("no space left")
            seen.append(file.name.partition("-")[0])
            return file

        monkeypatch.setattr(operate, "everywhere", lambda _app: [One()])
        monkeypatch.setattr(operate, "has_account", lambda _app: True)
        monkeypatch.setattr(operate, "paused", paused)
        monkeypatch.setattr(operate, "write_dump", write_dump)
        return seen

    def test_it_is_taken_while_nothing_of_the_app_runs(self, seen: list[str], tmp_path: Path) -> None:
        assert len(operate.last_dump("shop", tmp_path)["files"]) == 1
        assert seen == ["shop stopped", "sessions ended", "shop"]

    @pytest.mark.parametrize(("state", "why"), [("stuck", "could not be stopped"), ("full", "no space left")])
    def test_without_one_it_is_an_error_that_says_how_to_go_on(
        self, seen: list[str], state: str, why: str, tmp_path: Path
    ) -> None:
        seen.append(state)
        with pytest.raises(DatabaseError, match=rf"{why}.* drop them without a dump: .*/database drop shop"):
            operate.last_dump("shop", tmp_path)


class TestDump:
    """A dump in a file that an operator names."""

    @pytest.fixture
    def one(self, monkeypatch: pytest.MonkeyPatch) -> Server:
        monkeypatch.setattr(as_app, "run", lambda *_arguments, stdout, **_more: stdout.write(b"dump"))
        return cast(Server, SimpleNamespace(app="shop", dump=lambda target: ["dump", target]))

    def test_the_directory_stays_as_it_is(self, one: Server, tmp_path: Path) -> None:
        tmp_path.chmod(0o1777)  # as /tmp, which all others need too
        file = operate.write_dump(one, tmp_path / "shop.dump")
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"dump", 0o600)
        assert tmp_path.stat().st_mode & 0o7777 == 0o1777
        assert [entry.name for entry in tmp_path.iterdir()] == ["shop.dump"]

    def test_one_that_is_not_there_is_named(self, one: Server, tmp_path: Path) -> None:
        with pytest.raises(DatabaseError, match=r"nowhere/shop\.dump cannot be written: No such file or directory"):
            operate.write_dump(one, tmp_path / "nowhere" / "shop.dump")


def test_what_a_person_reads_of_a_database() -> None:
    found = {
        "name": "shop",
        "provider": "postgresql",
        "version": "17.5",
        "cluster": "17/main",
        "size": 8_200_000,
        "locale": "C.UTF-8",
        "extensions": ["citext"],
        "connections": {"idle": 3, "active": 1},
        "max_connections": 100,
        "pooler": {"socket": "/run/shop.pooler", "port": 6432},
        "tables": {"public.orders": 3, "public.products": 20},
        "kept": {"shop.replaced": 2_000_000_000},
    }
    assert list(operate.lines(found)) == [
        "shop: postgresql 17.5 (17/main), 8.2 MB",
        "locale C.UTF-8; extensions: citext",
        "connections: 4 of 100 (1 active, 3 idle)",
        "pooler: /run/shop.pooler, port 6432",
        "tables: 2, with 23 rows",
        "  public.products: 20",
        "  public.orders: 3",
        "kept beside it: shop.replaced, 2.0 GB",
    ]


class TestLoad:
    """What becomes of a load when the app cannot be stopped, or not be started again with what was loaded."""

    @pytest.fixture
    def call(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], dict[str, Any]]:
        monkeypatch.setattr(operate, "of_app", lambda app: (postgresql.PostgreSQL({"name": app}, NEW), {}))
        monkeypatch.setattr(operate, "filled", lambda _app, _one: {})
        monkeypatch.setattr(operate, "exchange", lambda *_given, **_more: {"rows": 3, "notices": []})
        (tmp_path / "dump").write_bytes(b"PGDMP")
        return lambda: operate.load("shop", str(tmp_path / "dump"))

    def test_an_app_that_does_not_start_again_is_a_notice_for_the_dump_is_loaded(
        self, monkeypatch: pytest.MonkeyPatch, call: Callable[[], dict[str, Any]]
    ) -> None:
        @contextlib.contextmanager
        def paused(_app: str, by: str) -> Iterator[list[str]]:
            yield []
            raise PauseError(f"release 1a was stopped for {by}, and could not be started again")

        monkeypatch.setattr(operate, "paused", paused)
        found = call()
        assert found["rows"] == 3
        assert "shop does not run with what was loaded: release 1a was stopped" in found["notices"][0]
        assert "If the dump is of an older schema, deploy" in found["notices"][0]

    def test_an_app_that_cannot_be_stopped_is_left_alone(
        self, monkeypatch: pytest.MonkeyPatch, call: Callable[[], dict[str, Any]]
    ) -> None:
        def paused(_app: str, by: str) -> contextlib.AbstractContextManager[list[str]]:
            raise PauseError(f"the engine is not there for {by}")

        monkeypatch.setattr(operate, "paused", paused)
        with pytest.raises(DatabaseError, match="shop could not be stopped: the engine is not there"):
            call()
