"""The database on the host's server beside SQLite's: saved before a release command, put back whole or not at all."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import path as host_path
from ansible_collections.groundwork.flask.plugins.module_utils.database import server as database_server
from ansible_collections.groundwork.flask.plugins.module_utils.database.errors import DatabaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release import databases, exchange
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import Deployment
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.steps import Step
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed
from ansible_collections.groundwork.flask.tests.unit.test_release_services import POSTGRESQL, WANTED, record

MIGRATE = "flask db upgrade"
Usage = namedtuple("Usage", "total used free")


class FakeServer:
    """A database server, each of whose databases has one table ``orders`` with some rows.

    :ivar broken: methods that fail, with what they say.
    """

    def __init__(self, app: str) -> None:
        self.app = app
        self.rows: dict[str, int] = {app: 0}
        self.broken: dict[str, str] = {}
        self.bytes = 1000

    def dump(self, target: str, database: str = "") -> list[str]:
        return ["fake-dump", target, database or self.app]

    def load(self, dump: str, database: str = "") -> list[str]:
        return ["fake-load", dump, database or self.app]

    def counts(self, database: str = "") -> list[str]:
        return ["fake-counts", database or self.app]

    def exists(self, database: str = "") -> bool:
        self.may("exists")
        return (database or self.app) in self.rows

    def size(self, _database: str = "") -> int:
        return self.bytes

    def create_fresh(self, suffix: str) -> str:
        self.may("create_fresh")
        self.rows[f"{self.app}.{suffix}"] = 0
        return f"{self.app}.{suffix}"

    def swap(self, fresh: str, kept: str) -> None:
        self.may("swap")
        assert kept not in self.rows
        self.rows[kept], self.rows[self.app] = self.rows[self.app], self.rows.pop(fresh)

    def unswap(self, fresh: str, kept: str) -> None:
        if self.exists(kept):
            self.swap(fresh=kept, kept=fresh)
        self.drop(fresh)

    def drop(self, database: str) -> None:
        self.may("drop")
        self.rows.pop(database, None)

    def may(self, method: str) -> None:
        if said := self.broken.get(method):
            raise DatabaseError(said)

    def step(self, step: Step) -> tuple[int, str]:
        """What a command of the app's does."""
        what, *rest = step.argv
        if said := self.broken.get(what):
            return 1, said
        if what == "fake-dump":
            Path(rest[0]).write_text(str(self.rows[rest[1]]))
        if what == "fake-load":
            self.rows[rest[1]] = int(Path(rest[0]).read_text())
        return 0, json.dumps({"tables": {"public.orders": self.rows[rest[-1]]}})


@pytest.fixture
def server(app: App, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """The server of an app whose release A is live; the command of B adds a row to each of its two databases."""
    fake, real = FakeServer(app.name), app.system.step
    monkeypatch.setattr(database_server, "of", lambda _record: fake)
    record(app, "database", POSTGRESQL)

    def step(step: Step) -> tuple[int, str]:
        if not step.argv[0].startswith("fake-"):
            return real(step)
        app.system.steps.append(step)
        return fake.step(step)

    monkeypatch.setattr(app.system, "step", step)
    sqlite_file(app).parent.mkdir(parents=True)
    with closing(sqlite3.connect(sqlite_file(app))) as connection:
        connection.execute("CREATE TABLE orders (number)")
    app.system.facts["migration_heads"] = ["rev1"]
    app.deploy("a", **WANTED)

    def migrate() -> None:
        app.system.facts["migration_heads"] = ["rev2"]
        fake.rows[app.name] += 1
        with closing(sqlite3.connect(sqlite_file(app))) as connection:
            connection.execute("INSERT INTO orders VALUES (2)")
            connection.commit()

    app.system.on[f"sh -c {MIGRATE}"] = migrate
    return fake


def sqlite_file(app: App) -> Path:
    return app.root / app.at.data[1:] / "shop.db"


def rows(app: App, server: FakeServer) -> tuple[int, int]:
    """Of PostgreSQL's database, and of SQLite's."""
    with closing(sqlite3.connect(sqlite_file(app))) as connection:
        return server.rows[app.name], int(connection.execute("SELECT count(*) FROM orders").fetchone()[0])


def deploy_b(app: App, **changes: Any) -> str:
    return app.deploy("b", release_command=MIGRATE, **WANTED, **changes).release


class TestSave:
    """Before a release command."""

    def test_the_database_is_dumped_beside_the_files(self, app: App, server: FakeServer) -> None:
        b = deploy_b(app)
        copy = databases.SavedCopy(app.at, b)
        assert (copy.dumps / "dump").read_text() == "0"
        assert (copy.files / "shop.db").exists()
        noted = copy.record()
        assert (noted["provider"], noted["bytes"], noted["tables"]) == ("postgresql", 1000, {"public.orders": 0})
        assert [path.stat().st_mode & 0o777 for path in (copy.files, copy.dumps, copy.file)] == [0o700, 0o700, 0o600]
        assert rows(app, server) == (1, 1)

    def test_it_is_the_app_that_dumps_in_its_sandbox_with_no_secret_of_its_own(
        self, app: App, server: FakeServer
    ) -> None:
        assert server
        deploy_b(app)
        (step,) = (step for step in app.system.steps if step.argv[0] == "fake-dump")
        saved = databases.SavedCopy(app.at, app.at.live() or "").dumps
        assert ("BindPaths", f"-{saved}") in step.sandbox
        assert ("PrivateTmp", "yes") in step.sandbox
        assert dict(step.environment) == {"LANG": "C.UTF-8"}

    @pytest.mark.parametrize("what", ["fake-dump", " save "])
    def test_there_is_a_copy_of_both_or_of_neither(self, app: App, server: FakeServer, what: str) -> None:
        server.broken = app.system.fail = {what: "disk full"}
        a = app.at.live()
        with pytest.raises(ReleaseError, match=rf"could not be saved before `{MIGRATE}`\n  disk full"):
            deploy_b(app)
        assert app.at.live() == a
        assert list(app.at.saved.iterdir()) == []
        assert app.has_run(f"sh -c {MIGRATE}") == 0

    def test_a_dump_that_would_not_fit_is_refused_before_it_begins(
        self, app: App, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.bytes = 300 * 2**20
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, 320 * 2**20))
        monkeypatch.setattr("ansible_collections.groundwork.flask.plugins.module_utils.release.release_directory."
                            "ReleaseDirectory.check_space", lambda *_arguments: None)  # fmt: skip
        with pytest.raises(ReleaseError, match=r"the database has 300 MB, and 320 MB are free at .*saved.* make room"):
            deploy_b(app)
        assert not [step for step in app.system.steps if step.argv[0] == "fake-dump"]
        assert app.has_run(f"sh -c {MIGRATE}") == 0

    def test_a_command_that_failed_keeps_the_copy_from_before_it(self, app: App, server: FakeServer) -> None:
        migrate = app.system.on.pop(f"sh -c {MIGRATE}")
        app.system.fail = {f"sh -c {MIGRATE}": "column exists"}
        with pytest.raises(ReleaseError, match="column exists"):
            deploy_b(app)
        migrate()
        app.system.fail = {}
        b = deploy_b(app)
        assert (databases.SavedCopy(app.at, b).dumps / "dump").read_text() == "0"
        assert server.rows[app.name] == 1

    def test_it_goes_with_its_release(self, app: App, server: FakeServer) -> None:
        assert server
        for colour in "bcd":
            app.deploy(colour, release_command=MIGRATE, settings={"keep": 2}, **WANTED)
        assert len(list(app.at.saved.iterdir())) == 2 * 3


class TestWayBack:
    """A rollback with the saved copy."""

    def test_both_are_as_they_were_and_the_database_that_was_live_is_kept(self, app: App, server: FakeServer) -> None:
        a, _b = app.at.live(), deploy_b(app)
        stopped = []
        app.system.on[" restore "] = lambda: stopped.append(not app.system.active)
        done = app.on_host().roll_back(data="saved")
        assert (done.release, stopped, rows(app, server)) == (a, [True], (0, 0))
        (kept,) = server.rows.keys() - {app.name}
        assert kept.startswith(f"{app.name}.before_")
        assert server.rows[kept] == 1
        (notice,) = (one for one in done.warnings if "is kept as" in one)
        assert kept in notice
        assert app.system.active == app.live_units()
        assert not app.at.paused.exists()

    def test_a_later_release_drops_what_was_kept(
        self, app: App, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deploy_b(app)
        app.on_host().roll_back(data="saved")
        app.deploy("c", **WANTED)
        assert len(server.rows) == 2, "not before its time is up"
        monkeypatch.setattr(exchange, "KEPT_DAYS", -1)
        record = json.loads(app.at.exchange.read_text())
        record["kept"][0]["until"] = 0
        app.at.exchange.write_text(json.dumps(record))
        app.deploy("d", **WANTED)
        assert server.rows.keys() == {app.name}
        assert not app.at.exchange.exists()

    @pytest.mark.parametrize(
        ("broken", "message"),
        [
            ({"create_fresh": "out of disk"}, "out of disk"),
            ({"fake-load": "out of disk"}, "could not be loaded, and nothing was exchanged\n  out of disk"),
            ({"fake-counts": "gone"}, "could not be loaded, and nothing was exchanged\n  gone"),
            ({"swap": "in use"}, "could not be put in place: in use"),
            ({" restore ": "disk full"}, "could not be put back"),
        ],
    )
    def test_one_that_fails_costs_nothing(
        self, app: App, server: FakeServer, broken: dict[str, str], message: str
    ) -> None:
        b = deploy_b(app)
        server.broken = app.system.fail = broken
        with pytest.raises(ReleaseError, match=message):
            app.on_host().roll_back(data="saved")
        assert (app.at.live(), rows(app, server)) == (b, (1, 1))
        assert server.rows.keys() == {app.name}
        assert app.system.active == app.live_units()
        assert not app.at.exchange.exists()

    def test_a_load_that_lacks_rows_is_not_put_in_place(
        self, app: App, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deploy_b(app)
        monkeypatch.setattr(server, "load", lambda _dump, _database="": ["fake-counts", app.name])
        server.rows[app.name] = 5
        dumped = databases.SavedCopy(app.at, app.at.live() or "")
        dumped.file.write_text(json.dumps({**dumped.record(), "tables": {"public.orders": 7}}))
        with pytest.raises(ReleaseError, match=r"these tables have other rows than were saved: \['public.orders'\]"):
            app.on_host().roll_back(data="saved")
        assert rows(app, server) == (5, 1)

    def test_a_release_that_does_not_start_on_the_old_data_brings_both_back(self, app: App, server: FakeServer) -> None:
        a, b = app.at.live(), deploy_b(app)
        app.system.fail = {f"enable --now {app.name}@{a}.": "failed"}
        with pytest.raises(ReleaseError):
            app.on_host().roll_back(data="saved")
        assert (app.at.live(), rows(app, server)) == (b, (1, 1))
        assert server.rows.keys() == {app.name}
        assert app.live_units() <= app.system.active

    def test_a_stop_that_fails_half_way_is_taken_back(
        self, app: App, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        b = deploy_b(app)

        def hold(_sock: Path) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(app.system, "hold", hold)
        with pytest.raises(OSError, match="Too many open files"):
            app.on_host().roll_back(data="saved")
        assert (app.at.live(), rows(app, server)) == (b, (1, 1))
        assert app.live_units() <= app.system.active
        assert not app.at.paused.exists()

    def test_nothing_starts_on_the_wrong_data(self, app: App, server: FakeServer) -> None:
        """The server goes down between the exchange and the failure that takes it back."""
        a, b = app.at.live(), deploy_b(app)
        app.system.fail = {f"enable --now {app.name}@{a}.": "failed"}
        app.system.on[f"enable --now {app.name}@{a}."] = lambda: server.broken.update(exists="server is down")
        with pytest.raises(ReleaseError, match=rf"could not be put back .*server is down.*`{app.name} unlock`"):
            app.on_host().roll_back(data="saved")
        assert not app.system.active
        with pytest.raises(ReleaseError, match="server is down"):
            app.on_host().heal()
        assert not app.system.active
        server.broken = app.system.fail = {}
        app.system.on.clear()
        app.on_host().heal()
        assert (app.at.live(), rows(app, server)) == (b, (1, 1))
        assert app.system.active == app.live_units()

    def test_the_copy_of_a_server_that_is_not_there_any_more(self, app: App, server: FakeServer) -> None:
        assert server
        b = deploy_b(app)
        (host_path("services", app.name, app.root) / "database.json").unlink()
        active = set(app.system.active)
        with pytest.raises(ReleaseError, match="has a database of PostgreSQL, and this host has none for"):
            app.on_host().roll_back(data="saved")
        assert (app.at.live(), app.system.active) == (b, active)

    def test_a_load_that_would_not_fit_stops_nothing(
        self, app: App, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.bytes = 300 * 2**20
        deploy_b(app)
        (app.root / "var/lib/postgresql").mkdir(parents=True)
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(0, 0, 320 * 2**20))
        stops = app.has_run("systemctl stop")
        with pytest.raises(ReleaseError, match="it had 300 MB, and 320 MB are free at /var/lib/postgresql"):
            app.on_host().roll_back(data="saved")
        assert app.has_run("systemctl stop") == stops

    def test_a_kept_database_that_cannot_be_dropped_is_no_reason_to_fail(self, app: App, server: FakeServer) -> None:
        deploy_b(app)
        app.on_host().roll_back(data="saved")
        noted = json.loads(app.at.exchange.read_text())
        noted["kept"][0]["until"] = 0
        app.at.exchange.write_text(json.dumps(noted))
        server.broken = {"drop": "server is down"}
        (warning,) = (one for one in app.deploy("c", **WANTED).warnings if "could not be dropped" in one)
        assert "server is down" in warning
        server.broken = {}
        app.deploy("d", **WANTED)
        assert server.rows.keys() == {app.name}

    @pytest.mark.parametrize("fails", [False, True])
    def test_of_an_app_that_runs_alone_visitors_wait_once_and_one_release_runs(
        self, app: App, server: FakeServer, fails: bool
    ) -> None:
        a = str(app.deploy("a", deploy="exclusive", **WANTED).release)
        b = deploy_b(app, deploy="exclusive")
        together: list[set[str]] = []
        app.system.on[f"start {app.name}@{a}."] = lambda: together.append(set(app.system.active))
        if fails:
            app.system.fail = {f"--now {app.name}@{a}.": "failed", f"start {app.name}@{a}.": "failed"}
        holds = app.has_run("hold ")
        try:
            app.on_host().roll_back(data="saved")
        except ReleaseError:
            assert fails
        assert app.at.live() == (b if fails else a)
        assert rows(app, server) == ((1, 1) if fails else (0, 0))
        assert together
        assert not any(f"{app.name}@{b}.service" in active for active in together)
        held = [line for line in app.system.commands if line.startswith(("hold ", "hand over", "end of the hold"))]
        assert held[-3:] == ["hold on", f"hand over to {b if fails else a}", "end of the hold"]
        assert app.has_run("hold ") >= holds + 2
        assert app.live_units() <= app.system.active
        assert not app.at.paused.exists()

    def test_migrated_again_afterwards(self, app: App, server: FakeServer) -> None:
        deploy_b(app)
        app.on_host().roll_back(data="saved")
        app.system.facts["migration_heads"] = ["rev1"]
        deploy_b(app)
        assert rows(app, server) == (1, 1)


def killed_in(owner: Any, name: str, when: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Kill the engine before or after a function of it."""
    real = getattr(owner, name)

    def killed(*arguments: Any, **options: Any) -> Any:
        if when == "after":
            real(*arguments, **options)
        raise Killed

    return lambda patch: patch.setattr(owner, name, killed)


POINTS: list[tuple[Any, str]] = [
    (FakeServer, "create_fresh"),
    (databases.SavedDatabases, "load"),
    (databases.SavedDatabases, "exchange"),
    (FakeServer, "swap"),
    (Deployment, "step_start"),
    (Deployment, "step_switch"),
]


class TestKilled:
    """kill -9 at each point of a way back with the saved copy."""

    @pytest.fixture(params=[(point, when) for point in POINTS for when in ("before", "after")])
    def killed(self, app: App, server: FakeServer, request: pytest.FixtureRequest) -> tuple[str, str, bool]:
        """The releases A and B after a kill, and whether A is live."""
        a, b = str(app.at.live()), deploy_b(app)
        (owner, name), when = request.param
        with pytest.MonkeyPatch.context() as patch:
            killed_in(owner, name, when)(patch)
            with pytest.raises(Killed):
                app.on_host().roll_back(data="saved")
        assert server
        return a, b, (name, when) == ("step_switch", "after")

    @pytest.mark.parametrize("reboot", [False, True])
    def test_the_next_run_ends_it_one_way_or_the_other(
        self, app: App, server: FakeServer, killed: tuple[str, str, bool], reboot: bool
    ) -> None:
        a, b, went_back = killed
        if reboot:
            app.at.paused.unlink(missing_ok=True)
            app.system.active = app.live_units()
        assert not app.on_host().cleanup.is_settled()
        app.on_host().heal()
        assert (app.at.live(), rows(app, server)) == ((a, (0, 0)) if went_back else (b, (1, 1)))
        assert {name.partition("_")[0] for name in server.rows} == (
            {app.name, f"{app.name}.before"} if went_back else {app.name}
        )
        assert app.system.active == app.live_units()
        assert app.on_host().cleanup.is_settled()

    def test_a_kill_while_it_heals_is_healed(self, app: App, server: FakeServer, killed: tuple[str, str, bool]) -> None:
        a, b, went_back = killed
        for owner, name, when in (
            (FakeServer, "swap", "after"),
            (databases.SavedDatabases, "exchange", "before"),
            (databases.SavedDatabases, "exchange", "after"),
        ):
            with pytest.MonkeyPatch.context() as patch:
                killed_in(owner, name, when)(patch)
                try:
                    app.on_host().heal()
                except Killed:
                    continue
        app.on_host().heal()
        assert (app.at.live(), rows(app, server)) == ((a, (0, 0)) if went_back else (b, (1, 1)))
        assert app.system.active == app.live_units()
