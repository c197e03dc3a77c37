"""A manifest is data, and a restored tree gets its databases and owners back without following a link."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.backup import settle as settling
from ansible_collections.groundwork.flask.plugins.module_utils.backup.config import BackupSet
from ansible_collections.groundwork.flask.plugins.module_utils.backup.errors import BackupError
from ansible_collections.groundwork.flask.plugins.module_utils.backup.settle import owners_of_today, settle
from ansible_collections.groundwork.flask.plugins.module_utils.backup.snapshot import SnapshotManifest
from ansible_collections.groundwork.flask.plugins.module_utils.common import trees
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.tests.unit.backup_host import as_root

DATA = on_host("data", "shop")


def test_owners_follow_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    people = {"shop": 996, "mail": 8}

    def by_name(name: str) -> SimpleNamespace:
        return SimpleNamespace(pw_uid=people[name], pw_gid=people[name], gr_gid=people[name])

    monkeypatch.setattr(pwd, "getpwnam", by_name)
    monkeypatch.setattr(grp, "getgrnam", by_name)
    manifest = manifested(users={"999": "shop", "8": "mail", "500": "left"}, groups={"997": "shop", "501": "left"})
    owned, ownerless = BackupSet("s", ("/a",), owner="shop"), BackupSet("s", ("/a",))
    assert owners_of_today(manifest, owned) == ({999: 996, 500: 996}, {997: 996, 501: 996})
    assert owners_of_today(manifest, ownerless) == ({999: 996}, {997: 996})
    with pytest.raises(BackupError, match=r"there is no user gone on this host\. Run the play"):
        owners_of_today(manifest, BackupSet("s", ("/a",), owner="gone"))


def manifested(stage: Path = Path("/stage"), **raw: Any) -> Any:
    """A manifest that says this."""
    return SnapshotManifest.parse({"set": "s", "paths": [], "databases": [], "users": {}, "groups": {}, **raw}, stage)


def test_databases_outside_of_the_paths_are_restored_too() -> None:
    databases = [{"path": path, "copy": "0", "sha256": "0"} for path in (f"{DATA}/a.db", "/var/lib/shopping.db")]
    manifest = manifested(paths=[DATA], databases=databases)
    assert manifest.saved_paths == [DATA, "/var/lib/shopping.db"]


@pytest.mark.parametrize(
    "raw",
    [
        {"paths": [f"{DATA}/../../etc"]},
        {"paths": ["var/lib/shop"]},
        {"paths": ["/"]},
        {"paths": ["//etc"]},
        {"databases": [{"path": f"{DATA}/../a.db", "copy": "0", "sha256": "0"}]},
        {"databases": [{"path": "/a.db", "copy": "../../0", "sha256": "0"}]},
        {"databases": [{"path": "/a.db", "copy": "/etc/passwd", "sha256": "0"}]},
    ],
)
def test_a_manifest_s_paths_are_data(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        manifested(**raw)


def restored_with(tmp_path: Path, place: str) -> tuple[Path, Any]:
    """What restic has restored of /data, and a manifest with a database that was at ``place`` in it."""
    target, content = tmp_path / "target", b"database"
    (target / "data").mkdir(parents=True)
    (target / "stage").mkdir()
    (target / "stage" / "0").write_bytes(content)
    record = {"path": f"/data/{place}", "copy": "0", "sha256": hashlib.sha256(content).hexdigest()}
    return target, manifested(target / "stage", paths=["/data"], databases=[record])


@pytest.mark.parametrize("what", ["a link", "a file"])
def test_a_directory_that_became_a_link_leads_no_restore_away(tmp_path: Path, what: str) -> None:
    """The app sees its database being copied, and exchanges the directory for a link before the files are saved."""
    target, manifest = restored_with(tmp_path, "d/e/app.db")
    outside = tmp_path / "outside"
    outside.mkdir()
    if what == "a link":
        (target / "data" / "d").symlink_to(outside)
    else:
        (target / "data" / "d").write_text("a file")
    settle(target, manifest, None)
    assert list(outside.iterdir()) == []
    assert (target / "data" / "d" / "e" / "app.db").read_bytes() == b"database"
    assert not (target / "data" / "d").is_symlink()
    assert os.path.lexists(target / "data" / "d.was-in-the-way")


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_what_stands_at_a_database_s_place(tmp_path: Path, kind: str) -> None:
    target, manifest = restored_with(tmp_path, "app.db")
    outside = tmp_path / "outside"
    outside.write_text("precious")
    if kind == "link":
        (target / "data" / "app.db").symlink_to(outside)
    else:
        (target / "data" / "app.db").mkdir()
    settle(target, manifest, None)
    assert (target / "data" / "app.db").read_bytes() == b"database"
    assert outside.read_text() == "precious"


@as_root
def test_owners_are_given_to_links_themselves_once_and_an_app_gets_no_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, manifest = restored_with(tmp_path, "app.db")
    outside = tmp_path / "outside"
    outside.touch()
    data = target / "data"
    (data / "link").symlink_to(outside)
    (data / "file").touch()
    (data / "same").hardlink_to(data / "file")
    (data / "CACHEDIR.TAG").write_bytes(trees.CACHE_SIGNATURE)
    os.mknod(data / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for path in data.iterdir():
        os.chown(path, 3001, 3001, follow_symlinks=False)
    monkeypatch.setattr(settling, "owners_of_today", lambda *_arguments: ({3001: 3002, 3002: 3003}, {}))
    settle(target, manifest, BackupSet("shop", ("/data",), owner="shop"))
    owners = {path.name: path.lstat().st_uid for path in data.iterdir()}
    assert owners == {"app.db": 0, "link": 3002, "file": 3002, "same": 3002, "CACHEDIR.TAG": 3002}
    assert outside.stat().st_uid == 0
