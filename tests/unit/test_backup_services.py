"""What an app has in a database server is in its snapshot with the rows of each table, and a restore drill loads it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import drill, service_database, steps
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import Config
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.service_restore import drill_services
from ansible_collections.groundwork.flask.plugins.module_utils.backup.service_steps import AsTheApp, record
from ansible_collections.groundwork.flask.plugins.module_utils.backup.snapshot import SnapshotManifest
from ansible_collections.groundwork.flask.plugins.module_utils.backup.stage import Stage
from ansible_collections.groundwork.flask.plugins.module_utils.database import server as servers
from ansible_collections.groundwork.flask.tests.unit.backup_host import staged
from ansible_collections.groundwork.flask.tests.unit.backup_services import USER, with_services


@pytest.fixture
def shop(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return with_services(scene, monkeypatch)


def saved(shop: SimpleNamespace) -> SnapshotManifest:
    """What the stage of a backup says that it holds."""
    shop.stage = Stage(shop.settings, shop.item)
    shop.stage.fill(60)
    raw = json.loads((shop.stage.directory / "manifest.json").read_text())
    return SnapshotManifest.parse(raw, shop.stage.directory)


def test_a_dump_is_staged_with_the_rows_of_each_table(shop: SimpleNamespace) -> None:
    manifest = saved(shop)
    dump = shop.stage.directory / "services" / "postgresql" / "dump"
    assert manifest.services["postgresql"]["tables"] == {"orders": 3}
    assert (dump.stat().st_mode & 0o777, dump.stat().st_uid) == (0o600, os.geteuid())
    assert shop.stage.databases == {f"{USER} in PostgreSQL": dump.stat().st_size}
    assert [path.name for path in (shop.settings.state / "stage").iterdir() if path.name.startswith("out-")] == []


def test_a_dump_that_fails_fails_the_set(shop: SimpleNamespace) -> None:
    shop.server.fail.add("dump")
    with pytest.raises(
        BackupError, match=f"the PostgreSQL database {USER} could not be dumped: pg_dump: it ended early"
    ):
        saved(shop)


def test_a_dump_that_does_not_fit_is_refused_with_the_numbers(
    shop: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop.server, "size", lambda: 5 << 40)
    with pytest.raises(
        BackupError, match=rf"the dump of the PostgreSQL database {USER} needs 5.0 TiB on .* has .* left"
    ):
        saved(shop)


def test_a_set_without_services_starts_nothing(scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "in_unit", lambda *_arguments: pytest.fail("a step was started"))
    _stage, manifest = staged(scene)
    assert "services" not in manifest
    assert SnapshotManifest.parse(manifest, scene.path).services == {}


@pytest.mark.parametrize(
    "services",
    [
        {"mysql": {"files": []}},
        {"postgresql": {}},
        {"postgresql": {"files": [{"name": "../dump", "sha256": ""}]}},
        {"postgresql": {"files": [{"name": ".dump", "sha256": ""}]}},
        {"postgresql": {"files": [], "tables": {"a": "many"}}},
        {"redis": {"files": [], "keys": {"db0": 5}}},
    ],
)
def test_a_manifest_is_data(services: dict[str, Any]) -> None:
    raw = {"set": "shop", "paths": [], "databases": [], "users": {}, "groups": {}, "services": services}
    with pytest.raises((ValueError, KeyError, TypeError)):
        SnapshotManifest.parse(raw, Path())


@pytest.mark.parametrize("answer", [{}, {"tables": 5}, {"tables": {"a": "many"}}])
def test_what_a_step_says_of_rows_is_data(answer: Any) -> None:
    with pytest.raises(BackupError, match="did not say how many rows"):
        service_database.counted(answer)


class TestTake:
    """Root moves what a step of the app's has left, and nothing else."""

    @pytest.fixture
    def out(self, shop: SimpleNamespace) -> Path:
        (shop.path / "out").mkdir()
        (shop.path / "target").mkdir()
        return Path(shop.path / "out")

    def take(self, shop: SimpleNamespace) -> list[dict[str, Any]]:
        return AsTheApp(shop.settings, shop.item, 60).take(shop.path / "out", shop.path / "target")

    def test_a_file(self, shop: SimpleNamespace, out: Path) -> None:
        (out / "dump").write_text("rows")
        assert [(file["name"], file["size"]) for file in self.take(shop)] == [("dump", 4)]
        assert (shop.path / "target" / "dump").read_text() == "rows"

    @pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "directory", "hidden", "nothing", "many"])
    def test_anything_else_is_refused(self, shop: SimpleNamespace, out: Path, kind: str) -> None:
        (shop.path / "secret").write_text("secret")
        make: dict[str, Callable[[], object]] = {
            "link": lambda: (out / "dump").symlink_to(shop.path / "secret"),
            "hard link": lambda: (out / "dump").hardlink_to(shop.path / "secret"),
            "fifo": lambda: os.mkfifo(out / "dump"),
            "directory": (out / "dump").mkdir,
            "hidden": (out / ".dump").touch,
            "nothing": lambda: None,
            "many": lambda: [(out / str(number)).write_text("") for number in range(100)],
        }
        make[kind]()
        with pytest.raises(BackupError, match="the step left"):
            self.take(shop)
        assert list((shop.path / "target").iterdir()) == []


class TestDrill:
    """A restore drill loads the dump into a database of its own."""

    def drilled(self, shop: SimpleNamespace, manifest: SnapshotManifest) -> list[str]:
        return drill_services(shop.settings, shop.item, manifest, 60)

    def test_as_it_was_saved(self, shop: SimpleNamespace) -> None:
        manifest = saved(shop)
        shop.server.write(USER, {"orders": 8})
        assert self.drilled(shop, manifest) == []
        assert (shop.server.made, shop.server.databases()) == ([f"{USER}.drill"], [USER])
        assert drill.compared(shop.item, manifest) == ["3 rows in 1 tables of PostgreSQL"]

    def test_a_table_with_a_row_missing_is_named_with_both_numbers(self, shop: SimpleNamespace) -> None:
        manifest = saved(shop)
        manifest.services["postgresql"]["tables"].update(orders=4, gone=2)
        assert self.drilled(shop, manifest) == [
            "PostgreSQL: the table gone is missing; it had 2 rows; the table orders has 3 rows instead of 4"
        ]
        assert shop.server.databases() == [USER]

    def test_a_dump_cut_short(self, shop: SimpleNamespace) -> None:
        manifest = saved(shop)
        dump = shop.stage.directory / "services" / "postgresql" / "dump"
        dump.write_bytes(dump.read_bytes()[:-1])
        assert self.drilled(shop, manifest) == ["PostgreSQL: the restored dump is not the file that was saved"]
        assert shop.server.made == []

    def test_a_dump_that_is_not_there(self, shop: SimpleNamespace) -> None:
        manifest = saved(shop)
        (shop.stage.directory / "services" / "postgresql" / "dump").unlink()
        assert "PostgreSQL: the snapshot does not hold the file dump" in self.drilled(shop, manifest)[0]

    def test_one_that_cannot_be_loaded(self, shop: SimpleNamespace) -> None:
        manifest = saved(shop)
        shop.server.fail.add("load")
        assert self.drilled(shop, manifest) == ["PostgreSQL: pg_restore: unexpected end of file"]
        assert shop.server.databases() == [USER]

    def test_room_is_made_sure_of_first(self, shop: SimpleNamespace) -> None:
        manifest = saved(shop)
        manifest.services["postgresql"]["size"] = 1 << 50  # type: ignore[index]  # it is a dict
        (problem,) = self.drilled(shop, manifest)
        assert problem.startswith("PostgreSQL: loading 1024.0 TiB needs 1228.8 TiB on the disk of")
        assert shop.server.made == []

    def test_what_the_set_has_no_more_is_left_out(self, shop: SimpleNamespace) -> None:
        manifest = saved(shop)
        shop.item = with_services_of(shop, "redis")
        assert self.drilled(shop, manifest) == []
        assert drill.compared(shop.item, manifest) == []


def with_services_of(shop: SimpleNamespace, *services: str) -> Any:
    """The set with other services."""
    return type(shop.item)(shop.item.name, shop.item.paths, services=services, user=USER)


def test_an_app_without_a_database_on_the_host_is_told_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.groundwork.flask.plugins.module_utils.common import on_host

    monkeypatch.setattr(on_host, "path", lambda name, app: tmp_path / name / app)
    with pytest.raises(
        BackupError, match=r"this host has no redis for shop: .* Run the playbook groundwork.flask.site"
    ):
        record("shop", "redis")
    (tmp_path / "services" / "shop").mkdir(parents=True)
    (tmp_path / "services" / "shop" / "redis.json").write_text('{"queue": "/run/x"}')
    assert record("shop", "redis") == {"queue": "/run/x"}
    (tmp_path / "services" / "shop" / "database.json").write_text('{"provider": "mariadb"}')
    with pytest.raises(BackupError, match="the database of shop is on MariaDB and not on PostgreSQL"):
        service_database.server_of("shop", "postgresql")


def test_room_of_a_step_is_bounded(shop: SimpleNamespace) -> None:
    config: Config = shop.settings
    sandbox = dict(AsTheApp(config, shop.item, 60).sandbox(config.state / "x"))
    assert int(sandbox["LimitFSIZE"]) <= shutil.disk_usage(config.state).free
    assert sandbox["PrivateNetwork"] == "yes"
    assert sandbox["TemporaryFileSystem"] == f"{config.state}:ro"


@pytest.mark.parametrize(
    ("record", "asked"),
    [
        ({"provider": "postgresql", "port": 5432}, [5432]),
        (None, [5433, 5434]),  # the app has been removed; its databases are kept until it is purged
        ({"provider": "mariadb"}, [5433, 5434]),  # it has moved to another server
    ],
)
def test_a_kept_database_is_found_on_a_server_that_the_app_has_left(
    record: dict[str, Any] | None, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[tuple[int, str]] = []
    left = [{"provider": "mariadb"}, *({"provider": "postgresql", "port": port} for port in (5433, 5434))]

    def server(one: dict[str, Any]) -> Any:
        return SimpleNamespace(drop=lambda name: dropped.append((one["port"], name)))

    monkeypatch.setattr(service_database, "record", lambda _app, _kind: record)
    monkeypatch.setattr(servers, "read", lambda _app: record)
    monkeypatch.setattr(servers, "left_over", lambda _app: left)
    monkeypatch.setattr(servers, "of", server)
    service_database.drop("shop", "postgresql", "shop.before_1")
    assert dropped == [(port, "shop.before_1") for port in asked]
