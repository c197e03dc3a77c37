"""A restore in place puts files and databases back together, whole or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import (
    moves,
    restore,
    service_redis,
)
from ansible_collections.groundwork.flask.plugins.module_utils.backup.copies import forget_copies
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.report import report
from ansible_collections.groundwork.flask.plugins.module_utils.backup.restore import restore_in_place, restore_journal
from ansible_collections.groundwork.flask.plugins.module_utils.backup.stage import Stage
from ansible_collections.groundwork.flask.plugins.module_utils.backup.status import Status
from ansible_collections.groundwork.flask.tests.unit.backup_services import USER, FakeSnapshot, with_services


class Killed(BaseException):
    """The program was killed."""


@pytest.fixture
def shop(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An app whose data and database are other than in its snapshot."""
    shop = with_services(scene, monkeypatch)
    shop.paused = []

    @contextlib.contextmanager
    def stopped(_config: Any, name: str) -> Iterator[list[str]]:
        shop.paused.append(name)
        yield []

    monkeypatch.setattr(restore, "stopped", stopped)
    saved(shop)
    (shop.data / "note").write_text("changed")
    shop.server.write(USER, {"orders": 1})
    return shop


def saved(shop: SimpleNamespace) -> None:
    """Make the snapshot."""
    stage = Stage(shop.settings, shop.item)
    stage.fill(60)
    shop.snapshot = FakeSnapshot(shop.settings, shop.data, stage.directory, shop.path / "snapshot")


def restored(shop: SimpleNamespace) -> dict[str, Any]:
    """Restore it in place."""
    return restore_in_place(shop.settings, shop.item, lambda: shop.snapshot, "", "latest")


def state(shop: SimpleNamespace) -> tuple[str, int]:
    """What the app finds: its file, and the rows of its table."""
    return (shop.data / "note").read_text(), shop.server.tables()["orders"]


def nothing_is_left(shop: SimpleNamespace) -> bool:
    """Whether a restore has left neither a record nor what it made ready."""
    beside = list(shop.settings.restored.iterdir()) if shop.settings.restored.exists() else []
    return not beside and not restore_journal(shop.settings, "shop").exists() and shop.server.databases() == [USER]


BEFORE, AFTER = ("changed", 1), ("hello", 3)


def test_files_and_database_come_back_and_what_was_there_is_kept(shop: SimpleNamespace) -> None:
    done = restored(shop)
    assert state(shop) == AFTER
    assert shop.paused == [USER]
    (loaded,) = done["loaded"]
    assert loaded == {"service": "PostgreSQL", "database": USER, "previous": loaded["previous"]}
    assert loaded["previous"].islower()  # MariaDB takes no other name
    assert shop.server.tables(loaded["previous"]) == {"orders": 1}
    assert "not loaded into PostgreSQL: EVENT TRIGGER x" in done["not_restored"]
    assert "Data kept elsewhere, such as on another host or in a cache, was not touched." in done["not_restored"]
    kept = report(Status(shop.settings))["copies"]["shop"]
    assert kept == [done["restored"][0]["previous"], f"the PostgreSQL database {loaded['previous']}"]
    shop.server.write(f"{USER}.drill", {})
    assert set(forget_copies(shop.settings, "shop")) == {*kept, f"the PostgreSQL database {USER}.drill"}
    assert nothing_is_left(shop)
    assert report(Status(shop.settings))["copies"] == {}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda shop: shop.server.fail.add("load"), "pg_restore: unexpected end of file"),
        (lambda shop: spoil_manifest(shop, "tables", {"orders": 4}), "the table orders has 3 rows instead of 4"),
        (
            lambda shop: (shop.snapshot.stage / "services" / "postgresql" / "dump").write_text("{}"),
            "the restored dump is not the file that was saved",
        ),
    ],
)
def test_a_dump_that_is_not_whole_costs_nothing(
    shop: SimpleNamespace, spoil: Callable[[SimpleNamespace], None], message: str
) -> None:
    spoil(shop)
    with pytest.raises(BackupError, match=f"PostgreSQL cannot be restored, and nothing was changed: {message}"):
        restored(shop)
    assert (state(shop), shop.paused) == (BEFORE, [])
    assert not restore_journal(shop.settings, "shop").exists()
    assert shop.server.databases() == [USER]


def spoil_manifest(shop: SimpleNamespace, key: str, value: Any) -> None:
    """Change what the manifest says of the database."""
    file = shop.snapshot.stage / "manifest.json"
    raw = json.loads(file.read_text())
    raw["services"]["postgresql"][key] = value
    file.write_text(json.dumps(raw))


def test_where_the_names_cannot_be_exchanged_everything_is_as_it_was(shop: SimpleNamespace) -> None:
    shop.server.fail.add("swap")
    with pytest.raises(BackupError, match=r"the server is shutting down\. Everything is as it was before the restore"):
        restored(shop)
    assert state(shop) == BEFORE
    assert nothing_is_left(shop)


def test_where_files_cannot_be_put_in_place_everything_is_as_it_was(
    shop: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = moves.carry_out

    def carry_out(planned: Any) -> Any:
        real(planned)
        raise BackupError("the disk went away")

    monkeypatch.setattr(restore, "carry_out", carry_out)
    with pytest.raises(BackupError, match=r"the disk went away\. Everything is as it was before the restore"):
        restored(shop)
    assert state(shop) == BEFORE
    assert nothing_is_left(shop)


def test_an_app_that_cannot_be_stopped_is_not_restored_later(
    shop: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_config: Any, _name: str) -> contextlib.AbstractContextManager[list[str]]:
        raise BackupError("shop is being deployed")

    monkeypatch.setattr(restore, "stopped", stopped)
    with pytest.raises(BackupError, match="is being deployed"):
        restored(shop)
    assert state(shop) == BEFORE
    assert nothing_is_left(shop)


@pytest.mark.parametrize("after", ["prepare", "write_private", "exchange", "carry_out", "remember"])
def test_killed_anywhere_the_next_call_finishes_it(
    shop: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    real = getattr(restore, after)

    def killed(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(restore, after, killed)
        patched.setattr(restore, "abandon", lambda *_arguments: None)  # Nothing is done any more.
        with pytest.raises(Killed):
            restored(shop)
    assert restored(shop)["loaded"]
    assert state(shop) == AFTER
    forget_copies(shop.settings, "shop")
    assert nothing_is_left(shop)


class TestCommands:
    """The set's `restore` commands."""

    def test_they_run_once_all_is_in_place(self, shop: SimpleNamespace) -> None:
        shop.item = type(shop.item)(
            "shop", shop.item.paths, before=("dump",), restore=(f"cp {shop.data}/note {shop.data}/seen",)
        )
        done = restored(shop)
        assert (shop.data / "seen").read_text() == "hello"
        assert not [line for line in done["not_restored"] if "load it yourself" in line]

    def test_one_that_fails_fails_the_restore_and_what_was_there_is_kept(self, shop: SimpleNamespace) -> None:
        shop.item = type(shop.item)("shop", shop.item.paths, restore=("echo no such table; exit 3", "touch after"))
        with pytest.raises(BackupError) as told:
            restored(shop)
        (kept,) = report(Status(shop.settings))["copies"]["shop"]
        assert str(told.value) == (
            f"The data of shop is that of snapshot 01234567, and what was there is kept in {kept}; but "
            "`echo no such table; exit 3` (restore) ended with 3: no such table. Correct the command and run it, or "
            "restore again"
        )
        assert (Path(kept) / "note").read_text() == "changed"
        assert not restore_journal(shop.settings, "shop").exists()


def test_an_app_that_does_not_start_again_is_reported_with_what_is_kept(
    shop: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def stopped(_config: Any, _name: str) -> Iterator[list[str]]:
        yield []
        raise BackupError("shop could not be started again")

    monkeypatch.setattr(restore, "stopped", stopped)
    with pytest.raises(
        BackupError, match=rf"kept in .*, the PostgreSQL database {USER}\.before_.*; but shop could not be"
    ):
        restored(shop)
    assert state(shop) == AFTER
    assert not restore_journal(shop.settings, "shop").exists()


class TestOtherSnapshots:
    """Snapshots of before the set had its services, and of a set that had them."""

    def test_one_without_restores_the_files_and_says_so(self, shop: SimpleNamespace) -> None:
        shop.item, services = type(shop.item)("shop", shop.item.paths, user=USER), shop.item
        saved(shop)
        shop.item = services
        (shop.data / "note").write_text("later")
        done = restored(shop)
        assert state(shop) == ("changed", 1)
        assert done["loaded"] == []
        assert "PostgreSQL was not touched: the snapshot was made before the set saved it." in done["not_restored"]

    def test_one_with_says_what_is_left_out(self, shop: SimpleNamespace) -> None:
        shop.item = type(shop.item)("shop", shop.item.paths, user=USER)
        done = restored(shop)
        assert (state(shop), shop.server.made, shop.paused) == (("hello", 1), [], [""])
        (sentence,) = [line for line in done["not_restored"] if "PostgreSQL, which" in line]
        assert sentence.endswith("it was not restored. Restore to a directory (without --in-place) to get at it.")

    def test_beside_the_live_files_the_dump_lies_there_to_be_looked_at(self, shop: SimpleNamespace) -> None:
        done = restore.restore_aside(shop.snapshot, shop.path / "aside", shop.item)
        assert (Path(done["target"]) / ".groundwork-services" / "postgresql" / "dump").is_file()
        assert state(shop) == BEFORE


class TestRedis:
    """The directory of a Redis is exchanged as the set's paths are, while it is stopped."""

    @pytest.fixture
    def queue(self, shop: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        """A set with a queue alone."""
        shop.item = type(shop.item)("shop", shop.item.paths, services=("redis",), user=USER)
        (shop.path / "redis").mkdir()
        (shop.path / "redis" / "queue").write_text("now")
        stage = shop.snapshot.stage / "services" / "redis"
        stage.mkdir(parents=True)
        (stage / "queue").write_text("then")
        entry = {"files": [{"name": "queue", "sha256": ""}], "keys": {"db0": {"keys": 5, "expires": 0}}}
        file = shop.snapshot.stage / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "services": {"redis": entry}}))

        def load(_app: Any, _entry: Any, source: Path, place: Path) -> None:
            place.mkdir(parents=True)
            (source / "queue").rename(place / "queue")

        monkeypatch.setattr(service_redis, "load", load)
        return shop

    def test_it_comes_back(self, queue: SimpleNamespace) -> None:
        done = restored(queue)
        assert (queue.path / "redis" / "queue").read_text() == "then"
        assert queue.stopped == [f"stop {USER}.redis.service", f"start {USER}.redis.service"]
        assert [one.get("service") for one in done["restored"]] == [None, "Redis"]
        previous = {Path(one["path"]).name: one["previous"] for one in done["restored"]}
        assert (Path(previous["redis"]) / "queue").read_text() == "now"

    def test_one_that_cannot_be_loaded_costs_nothing(
        self, queue: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def load(*_arguments: Any) -> None:
            raise BackupError("Redis db0: 4 keys that do not expire instead of 5")

        monkeypatch.setattr(service_redis, "load", load)
        with pytest.raises(BackupError, match="Redis cannot be restored, and nothing was changed: Redis db0: 4 keys"):
            restored(queue)
        assert (queue.path / "redis" / "queue").read_text() == "now"
        assert (queue.stopped, state(queue)) == ([], BEFORE)
