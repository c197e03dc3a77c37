"""What a build needs of the disk, and what of it root trusts."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.tests.unit.release_app import App

MB = 2**20


class TestSpace:
    """A build that would not fit is refused before anything is written."""

    def free(self, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=size))

    @pytest.mark.parametrize(
        ("change", "need"),
        [
            ({"environment": {"A": "b"}}, int(1.2 * 100 * MB) + 64 * MB + 40 * MB),
            ({"requirements": ["x"]}, int(1.2 * 400 * MB) + 64 * MB + 40 * MB),
            (
                {"requirements": ["x"], "source": {"package": "shop==2"}, "archive": "", "static": {}},
                int(1.2 * 400 * MB) + 64 * MB,
            ),
        ],
        ids=["code", "environment", "nothing sent"],
    )
    def test_by_what_the_last_build_needed(
        self, app: App, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], need: int
    ) -> None:
        Path(app.spec["archive"]).write_bytes(bytes(10 * MB))
        live = app.engine().deploy().release
        note = app.at.release(live) / "release.json"
        note.write_text(json.dumps({**app.at.facts(live), "bytes": {"code": 100 * MB, "environment": 300 * MB}}))
        before = sorted(app.at.home.rglob("*"))
        self.free(monkeypatch, need - 1)
        numbers = (
            rf"need {need / MB:.0f} MB below {app.at.home}, and {(need - 1) / MB:.0f} MB are free.*release_keep: 5"
        )
        with pytest.raises(ReleaseError, match=numbers):
            app.engine(**change).deploy()
        assert sorted(app.at.home.rglob("*")) == before
        self.free(monkeypatch, need)
        assert app.engine(**change).deploy().action == "deployed"

    def test_of_a_commit_and_its_objects(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        """While it is built, git's own copy of the files is beside them."""
        live = app.engine().deploy().release
        note = app.at.release(live) / "release.json"
        note.write_text(json.dumps({**app.at.facts(live), "bytes": {"code": 100 * MB, "environment": 300 * MB}}))
        self.free(monkeypatch, int(1.2 * 200 * MB) + 64 * MB - 1)
        git = {"git": "https://example.org/shop.git", "version": "a" * 40}
        with pytest.raises(ReleaseError, match="need 304 MB below"):
            app.engine(source=git, archive="").deploy()

    def test_of_code_that_is_installed(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other code needs another environment, though all requirements are the same."""
        app.system.code["pyproject.toml"] = "[project]\n"
        live = app.engine().deploy().release
        note = app.at.release(live) / "release.json"
        note.write_text(json.dumps({**app.at.facts(live), "bytes": {"code": 0, "environment": 300 * MB}}))
        self.free(monkeypatch, int(1.2 * 300 * MB))
        with pytest.raises(ReleaseError, match="the disk is too full"):
            app.engine(source={**app.spec["source"], "tree": "b" * 64}).deploy()

    def test_of_a_first_build(self, app: App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free(monkeypatch, 303 * MB)
        with pytest.raises(ReleaseError, match=r"need 304 MB below .*, and 303 MB are free"):
            app.engine().deploy()
        assert not app.at.home.exists()


class TestTrust:
    """Root follows no link of an app's, and takes nobody's word for what is whole."""

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        """A file of the host's that a build would like to have changed or read."""
        path = tmp_path / "important.js"
        path.write_text("root's")
        path.chmod(0o666)
        os.chown(path, 1, 1)
        return path

    def plant(self, app: App, outside: Path) -> None:
        (release,) = (path for path in app.at.releases.iterdir() if not app.at.is_complete(path.name))
        for name in ("code", "public"):
            (release / name / "file.3f9c01d2.js").symlink_to(outside)
            (release / name / "directory").symlink_to(outside.parent)
            os.mkfifo(release / name / "fifo.3f9c01d2.js")

    def test_links_of_a_build_are_not_followed(self, app: App, outside: Path) -> None:
        app.system.on["cp -RL"] = lambda: self.plant(app, outside)
        first = app.engine().deploy().release
        found = outside.stat()
        assert (found.st_uid, found.st_mode & 0o7777, outside.read_text()) == (1, 0o666, "root's")
        assert sorted(path.name for path in (app.at.current / "public").iterdir()) == ["static"]
        assert (app.at.current / "code/file.3f9c01d2.js").is_symlink()
        assert not (app.at.current / "code/fifo.3f9c01d2.js").exists()
        assert app.at.facts(first)["static"] == []

    def test_a_link_in_a_release_of_before_is_not_inherited(self, app: App, outside: Path) -> None:
        first = app.deploy("red").release
        note, public = app.at.release(first) / "release.json", app.at.release(first) / "public"
        (public / "file.3f9c01d2.js").symlink_to(outside)
        (public / "directory").symlink_to(outside.parent)
        names = ["file.3f9c01d2.js", f"directory/{outside.name}", f"../../../../../{outside.name}"]
        note.write_text(json.dumps({**app.at.facts(first), "static": names}))
        app.deploy("blue")
        assert sorted(path.name for path in (app.at.current / "public").iterdir()) == ["static"]

    @pytest.mark.parametrize("name", ["code", "public"])
    def test_nobody_keeps_the_right_to_write(self, app: App, name: str) -> None:
        def widen() -> None:
            for path in app.at.releases.iterdir():
                (path / name).chmod(0o2777)
                (path / name / "wide").touch()
                (path / name / "wide").chmod(0o6777)

        app.system.on["cp -RL"] = widen
        app.engine().deploy()
        for path in (app.at.current / name, app.at.current / name / "wide"):
            assert oct(path.stat().st_mode & 0o7022) == "0o0"

    def test_a_marker_that_the_app_made_does_not_count(self, app: App) -> None:
        app.engine().deploy()
        (venv,) = app.at.environments.iterdir()
        (venv / "planted").touch()
        for path in (venv, venv / "complete"):
            os.chown(path, 1, 1)
        app.deploy("blue")
        assert app.has_run("pip install") == 2
        assert not (venv / "planted").exists()

    def test_a_link_to_an_environment_does_not_count(self, app: App, tmp_path: Path) -> None:
        app.engine().deploy()
        (venv,) = app.at.environments.iterdir()
        venv.rename(tmp_path / "elsewhere")
        venv.symlink_to(tmp_path / "elsewhere")
        app.deploy("blue")
        assert app.has_run("pip install") == 2
        assert not venv.is_symlink()

    def test_a_build_cache_that_belongs_to_the_app_is_thrown_away(self, app: App) -> None:
        """As it did before fetching and installing had caches of their own."""
        (app.at.build_cache / "packages").mkdir(parents=True)
        (app.at.build_cache / "packages/uv.toml").touch()
        (app.at.build_cache / "source").symlink_to(app.root)
        os.chown(app.at.build_cache, 1, 1)
        app.engine().deploy()
        assert app.at.build_cache.stat().st_uid == os.geteuid()
        assert not app.at.source_cache.is_symlink()
        assert list(app.at.package_cache.iterdir()) == []

    def test_a_link_in_place_of_the_build_cache_is_not_followed(self, app: App, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        app.at.build_cache.parent.mkdir(parents=True)
        app.at.build_cache.symlink_to(tmp_path / "elsewhere")
        app.engine().deploy()
        assert not app.at.build_cache.is_symlink()
        assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_static_file_whose_name_is_no_text(app: App) -> None:
    """It is published, inherited by the next release and named in its facts, to the byte."""
    name = os.fsdecode(b"caf\xe9\n.0123456789abcdef.css")
    app.system.code |= {f"static/{name}": "x"}
    app.deploy()
    del app.system.code[f"static/{name}"]
    app.deploy(colour="blue")
    public = app.at.release(app.at.live() or "") / "public/static"
    assert os.fsencode(name) in os.listdir(os.fsencode(public))
