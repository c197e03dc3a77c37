"""The way back, and the databases on it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import STEPS_BACK, Deployment
from ansible_collections.groundwork.flask.plugins.module_utils.release.environment import read_env_file
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.tests.unit.release_app import App, Killed

MIGRATE = "flask db upgrade"


class TestRollBack:
    """An earlier release is live again within seconds, if the database lets it."""

    def test_the_way_back(self, app: App) -> None:
        a, b, c = (app.deploy(colour).release for colour in "abc")
        done = app.on_host().roll_back()
        assert (done.action, done.release, done.previous) == ("rolled_back", b, c)
        assert list(done.steps) == list(STEPS_BACK)
        assert done.changes == ["environment.COLOUR"]
        assert read_env_file(app.at.current / "env")["COLOUR"] == "b"
        assert app.on_host().roll_back().release == a
        with pytest.raises(ReleaseError, match=f"there is no earlier good release of {app.name} to go back to"):
            app.on_host().roll_back()
        d = app.deploy("d").release
        assert app.on_host().roll_back().release == a
        assert app.on_host().roll_back(d[:6]).release == d
        assert app.system.active == app.live_units()
        assert app.left_over() == []

    def test_a_dry_run(self, app: App) -> None:
        a, b = (app.deploy(colour).release for colour in "ab")
        lines = app.ledger.events()
        assert app.on_host().roll_back(dry_run=True).release == a
        assert (app.at.live(), app.ledger.events()) == (b, lines)

    def test_what_cannot_be_chosen(self, app: App) -> None:
        a, b = (app.deploy(colour).release for colour in "ab")
        app.system.facts["debug"] = True
        with pytest.raises(ReleaseError):
            app.deploy("c")
        bad = app.ledger.events()[-1]["release"]
        for to, message in [
            ("nonsense", f"'nonsense' is no release of {app.name} that is kept; these are: .*{a}"),
            (b, f"{b} is live already"),
            (bad, rf"{bad} is a bad release \(the app is in debug mode"),
        ]:
            with pytest.raises(ReleaseError, match=message):
                app.on_host().roll_back(to)
        assert app.on_host().roll_back().release == a

    def test_one_that_does_not_start_leaves_the_live_one(self, app: App) -> None:
        a, b = (app.deploy(colour).release for colour in "ab")
        app.system.fail = {f"enable --now {app.name}@{a}.": "failed"}
        with pytest.raises(ReleaseError):
            app.on_host().roll_back()
        assert app.at.live() == b
        assert app.live_units() <= app.system.active
        assert app.ledger.way_back() == [], "what did not start is bad now"

    def test_the_one_a_rollback_needs_is_kept(self, app: App) -> None:
        a, b = (app.deploy(colour, settings={"keep": 2}).release for colour in "ab")
        app.system.facts["debug"] = True
        for colour in "cdefg":
            with pytest.raises(ReleaseError):
                app.deploy(colour, settings={"keep": 2})
        assert app.on_host().roll_back().release == a
        assert app.at.is_good(b)


class TestMigration:
    """A release whose command has migrated a real SQLite database."""

    @pytest.fixture
    def database(self, app: App) -> Path:
        """A database at revision 1 under release A; B's command takes it to revision 2 and adds to it."""
        path = app.root / app.at.data[1:] / "shop.db"
        path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE orders (number)")
        app.system.facts["migration_heads"] = ["rev1"]
        app.deploy("a")
        app.system.on[f"sh -c {MIGRATE}"] = lambda: self.migrate(app, path)
        return path

    def migrate(self, app: App, path: Path) -> None:
        app.system.facts["migration_heads"] = ["rev2"]
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("INSERT INTO orders VALUES (2)")
            connection.commit()

    def orders(self, path: Path) -> int:
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute("SELECT count(*) FROM orders").fetchone()[0])

    @pytest.mark.usefixtures("database")
    def test_the_command_runs_once_and_the_heads_are_noted(self, app: App) -> None:
        done = app.deploy("b", release_command=MIGRATE)
        assert (app.at.release(done.release) / "released").exists()
        assert app.ledger.events()[-1]["migration_heads"] == {"before": ["rev1"], "after": ["rev2"]}
        app.deploy("c", release_command=MIGRATE)
        assert app.on_host().roll_back().release == done.release
        app.deploy("c", release_command=MIGRATE)
        assert app.has_run(f"sh -c {MIGRATE}") == 2, "once for each release"

    @pytest.mark.usefixtures("database")
    def test_saved_before_the_command(self, app: App) -> None:
        order = []
        app.system.on.update({"dump-it": lambda: order.append("dump"), " save ": lambda: order.append("save")})
        app.system.on[f"sh -c {MIGRATE}"] = lambda: order.append("command")
        done = app.deploy("b", release_command=MIGRATE, save_commands=["dump-it"])
        assert order == ["dump", "save", "command"]
        assert self.orders(app.at.saved / done.release / "shop.db") == 0

    @pytest.mark.usefixtures("database")
    def test_a_host_that_does_not_run_the_command_saves_nothing(self, app: App) -> None:
        app.deploy("b", release_command=MIGRATE, run_release_command=False, save_commands=["dump-it"])
        assert (app.has_run(f"sh -c {MIGRATE}"), app.has_run("dump-it"), app.has_run(" save ")) == (0, 0, 0)
        assert app.engine(release_command=MIGRATE, run_release_command=False).predict().commands == []

    @pytest.mark.usefixtures("database")
    def test_a_rollback_across_it_is_refused_with_both_heads_and_both_ways_out(self, app: App) -> None:
        a, b = app.at.live(), app.deploy("b", release_command=MIGRATE).release
        with pytest.raises(ReleaseError) as error:
            app.on_host().roll_back()
        said = str(error.value)
        assert f"the database is at rev2, and release {a} was made for rev1" in said
        assert f"`-e data=saved` puts back the copy from before it ({app.at.saved / b}, made at 20" in said
        assert "`-e data=keep` goes back with the database as it is" in said
        assert (app.at.live(), app.events()[-1]) == (b, "live")

    @pytest.mark.parametrize("rerun", [False, True])
    @pytest.mark.usefixtures("database")
    def test_it_is_refused_after_a_kill_behind_the_switch_too(
        self, app: App, monkeypatch: pytest.MonkeyPatch, rerun: bool
    ) -> None:
        def killed(_self: Deployment) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Deployment, "step_drain", killed)
            with pytest.raises(Killed):
                app.deploy("b", release_command=MIGRATE)
        if rerun:
            app.deploy("b", release_command=MIGRATE)
        with pytest.raises(ReleaseError, match=r"the database is at rev2, and release .* was made for rev1"):
            app.on_host().roll_back()

    def test_with_the_database_as_it_is(self, app: App, database: Path) -> None:
        a = app.at.live()
        app.deploy("b", release_command=MIGRATE)
        assert app.on_host().roll_back(data="keep").release == a
        assert self.orders(database) == 1

    def test_with_the_saved_copy(self, app: App, database: Path) -> None:
        a, b = app.at.live(), app.deploy("b", release_command=MIGRATE).release
        stopped = []
        app.system.on[" restore "] = lambda: stopped.append(f"{app.name}@{b}.service" not in app.system.active)
        assert app.on_host().roll_back(data="saved").release == a
        assert stopped == [True]
        assert self.orders(database) == 0
        assert [self.orders(path) for path in database.parent.glob("shop.db.before-rollback-*")] == [1]
        assert app.system.active == app.live_units()

    @pytest.mark.usefixtures("database")
    def test_without_a_saved_copy(self, app: App) -> None:
        b = app.deploy("b", release_command=MIGRATE).release
        shutil.rmtree(app.at.saved / b)
        for data in ("", "saved"):
            with pytest.raises(
                ReleaseError, match=r"no copy from before that migration is kept .* groundwork\.flask\.restore"
            ):
                app.on_host().roll_back(data=data)

    @pytest.mark.usefixtures("database")
    def test_a_copy_that_cannot_be_put_back(self, app: App) -> None:
        b = app.deploy("b", release_command=MIGRATE).release
        app.system.fail = {" restore ": "disk full"}
        with pytest.raises(ReleaseError, match=r"the saved databases could not be put back \(restore\)\n  disk full"):
            app.on_host().roll_back(data="saved")
        assert app.at.live() == b
        assert app.system.active == app.live_units()

    @pytest.mark.usefixtures("database")
    def test_a_release_that_does_not_start_on_the_saved_copy_leaves_the_live_one_running(self, app: App) -> None:
        a, b = app.at.live(), app.deploy("b", release_command=MIGRATE).release
        app.system.fail = {f"enable --now {app.name}@{a}.": "failed"}
        with pytest.raises(ReleaseError):
            app.on_host().roll_back(data="saved")
        assert app.at.live() == b
        assert app.live_units() <= app.system.active

    def test_migrated_again_after_the_saved_copy_was_put_back(self, app: App, database: Path) -> None:
        app.deploy("b", release_command=MIGRATE)
        app.on_host().roll_back(data="saved")
        app.system.facts["migration_heads"] = ["rev1"]
        app.deploy("b", release_command=MIGRATE)
        assert self.orders(database) == 1

    @pytest.mark.usefixtures("database")
    def test_saved_copies_go_with_their_releases(self, app: App) -> None:
        for colour in "bcd":
            app.deploy(colour, release_command=MIGRATE, settings={"keep": 2})
        assert len(list(app.at.saved.iterdir())) == 2
        assert app.left_over() == []
