"""Directories and files have the modes that are asked for, whatever umask root has; what another one has left heals."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import files, paths
from ansible_collections.groundwork.flask.plugins.module_utils.common.locks import locked
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import FileSet, Manifest
from ansible_collections.groundwork.flask.plugins.module_utils.placement import Entry, Found, describe
from ansible_collections.groundwork.flask.plugins.module_utils.release import modes
from ansible_collections.groundwork.flask.plugins.module_utils.unit_record import Record
from ansible_collections.groundwork.flask.plugins.modules import file_set, release, unit_set
from ansible_collections.groundwork.flask.tests.unit.module_call import Caller
from ansible_collections.groundwork.flask.tests.unit.release_app import App

each_umask = pytest.mark.parametrize("umask", [0o000, 0o002, 0o027, 0o077, 0o277], ids=oct)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def all_modes(top: Path) -> dict[str, str]:
    """The modes of a tree, but for those of links."""
    found: Iterable[Path] = (top, *top.rglob("*"))
    return {str(path.relative_to(top)): oct(mode(path)) for path in sorted(found) if not path.is_symlink()}


@each_umask
def test_a_directory_and_those_above_it(tmp_path: Path, umask: int) -> None:
    os.umask(umask)
    files.make_directory(tmp_path / "a/b/private", 0o700)
    files.make_parents(tmp_path / "c/d/file")
    with paths.parent_of(str(tmp_path / "e/f/file"), create=True):
        pass
    with locked(tmp_path / "g/h/locks/lock"):
        pass
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/private")] == [0o755, 0o755, 0o700]
    assert [mode(tmp_path / name) for name in ("c", "c/d", "e", "e/f", "g", "g/h")] == [0o755] * 6
    assert [mode(tmp_path / "g/h" / name) for name in ("locks", "locks/lock")] == [0o700, 0o600]
    assert not (tmp_path / "c/d/file").exists()


def test_one_that_is_there_is_put_right_if_it_is_ours(tmp_path: Path) -> None:
    ours, above, theirs = tmp_path / "above/ours", tmp_path / "above", tmp_path / "theirs"
    for path in (ours, theirs):
        path.mkdir(parents=True)
        path.chmod(0o2700)
    above.chmod(0o750)
    os.chown(theirs, 1, 1)
    theirs.chmod(0o2700)
    (tmp_path / "link").symlink_to(ours)
    assert not files.has_mode(ours, 0o711)
    files.make_directory(tmp_path / "link", 0o711)
    files.make_directory(theirs, 0o711)
    assert (mode(ours), mode(above), mode(theirs)) == (0o2711, 0o750, 0o2700)
    assert files.has_mode(ours, 0o711)
    assert files.has_mode(theirs, 0o711)
    assert files.has_mode(tmp_path / "nothing", 0o711)


@each_umask
def test_a_deploy(app: App, umask: int) -> None:
    os.umask(umask)
    app.deploy("red")
    os.umask(0o022)
    at, live = app.at, app.at.current.resolve()
    expected = {
        at.releases: 0o711,
        at.environments: 0o711,
        live: 0o711,
        live / "entry": 0o755,
        live / "public": 0o755,
        live / "public/static": 0o755,
        live / "start": 0o750,
        live / "release.json": 0o644,
        live / "env": 0o600,
        at.build_cache: 0o711,
        at.build_cache.parent: 0o755,
        at.source_cache: 0o700,
        at.package_cache: 0o700,
        at.ledger.parent: 0o755,
        at.secret_key.parent: 0o700,
        at.secret_key.parent.parent: 0o755,
        at.secret_key.parent.parent.parent: 0o755,
        at.command: 0o755,
        at.command.parent: 0o755,
    }
    assert {str(path): oct(mode(path)) for path in expected} == {str(path): oct(one) for path, one in expected.items()}
    assert mode(next(at.environments.iterdir())) == 0o750
    writable = [path for path in app.root.rglob("*") if not path.is_symlink() and mode(path) & 0o002]
    assert [path for path in writable if path not in simulated(app)] == []
    assert modes.are_settled(at)


def simulated(app: App) -> set[Path]:
    """What the host of the tests makes in this process, in place of the units that have a umask of their own."""
    units = app.root / "etc/systemd"
    parts = (app.at.current / "code", next(app.at.environments.iterdir()), units, app.root / "etc")
    return {path for part in parts for path in (part, *part.resolve().rglob("*"))}


@each_umask
def test_a_host_that_a_run_under_another_umask_has_spoilt_heals(app: App, umask: int) -> None:
    app.deploy("red")
    app.deploy("blue")
    uv = app.at.tools / "uv-1/bin/uv"
    python = app.at.tools / "python/cpython-3.13/lib/module.py"
    for path in (uv, python):
        path.parent.mkdir(parents=True)
        path.touch()
    uv.chmod(0o755)
    (uv.parent / "link").symlink_to("/etc/shadow")
    assert app.engine(environment={"WSGI_APP": "shop:app", "COLOUR": "blue"}).cleanup.is_settled()
    before = all_modes(app.root)
    tools = [path for path in app.at.tools.rglob("*") if not path.is_symlink()]
    made = [app.at.tools, *tools, *(path for path, _mode in modes.directories(app.at) if path.exists())]
    for path in made:
        path.chmod((0o777 if path.is_dir() or path == uv else 0o666) & ~umask | 0o600)
    again = app.engine(environment={"WSGI_APP": "shop:app", "COLOUR": "blue"})
    assert again.cleanup.is_settled() is (umask == 0o022)
    assert again.deploy().action == "unchanged"
    assert all_modes(app.root) == before
    assert again.cleanup.is_settled()


class TestFileSet:
    """Directories above the files of a set."""

    @staticmethod
    def entry(path: Path, mode: int = 0o644) -> Entry:
        owner, group = describe_names()
        return Entry(str(path), b"text\n", owner, group, mode)

    @each_umask
    def test_new_ones(self, tmp_path: Path, umask: int) -> None:
        os.umask(umask)
        owner, group = describe_names()
        entries = [
            Entry(str(tmp_path / "shared/own"), None, owner, group, 0o711),
            self.entry(tmp_path / "groundwork/python/a.py"),
            self.entry(tmp_path / "unit.service.d/b.conf", 0o600),
        ]
        FileSet("web", tmp_path / "state/sets").update(entries)
        assert all_modes(tmp_path) == {
            ".": oct(mode(tmp_path)),
            "shared": "0o755",
            "shared/own": "0o711",
            "groundwork": "0o755",
            "groundwork/python": "0o755",
            "groundwork/python/a.py": "0o644",
            "unit.service.d": "0o755",
            "unit.service.d/b.conf": "0o600",
            "state": "0o755",
            "state/sets": "0o700",
            "state/sets/web.json": "0o600",
        }

    @pytest.mark.parametrize("spoilt", [0o700, 0o750, 0o777, 0o775], ids=oct)
    def test_spoilt_ones_are_put_right_and_those_of_others_are_not(self, tmp_path: Path, spoilt: int) -> None:
        tmp_path.chmod(0o700)
        state = FileSet("web", tmp_path / "state")
        entries = [
            self.entry(tmp_path / "groundwork/python/a.py"),
            self.entry(tmp_path / "conf.d/b.conf"),
        ]
        state.update(entries)
        ours = [tmp_path / "groundwork", tmp_path / "groundwork/python"]
        for path in (*ours, tmp_path / "conf.d"):
            path.chmod(spoilt)
        assert [change.path for change in state.update(entries, check_mode=True).changes] == [
            str(path) for path in ours
        ]
        assert mode(ours[0]) == spoilt
        assert state.update(entries).changed
        assert [mode(path) for path in ours] == [0o755, 0o755]
        assert mode(tmp_path / "conf.d") == spoilt
        assert mode(tmp_path) == 0o700
        assert not state.update(entries).changed

    @pytest.mark.parametrize("spoilt", [0o777, 0o775], ids=oct)
    def test_what_others_could_write_below_is_closed_to_them(self, tmp_path: Path, spoilt: int) -> None:
        """Whoever can write to a program's __pycache__ runs as root."""
        below = tmp_path / "groundwork"
        names = ("python/package/__pycache__", "secrets/shop", "theirs/inner")
        for name in names:
            (below / name).mkdir(parents=True)
            (below / name).chmod(spoilt)
        (below / "secrets").chmod(0o700)
        os.chown(below / "theirs", 1, 1)
        (tmp_path / "elsewhere").mkdir(mode=0o755)
        (tmp_path / "elsewhere").chmod(spoilt)
        (below / "link").symlink_to(tmp_path / "elsewhere")
        state = FileSet("web", tmp_path / "state")
        entries = [self.entry(below / "a.py")]
        assert state.update(entries).changed
        closed = {name: oct(mode(below / name)) for name in (*names, "secrets", "link/../elsewhere")}
        assert closed == {
            "python/package/__pycache__": "0o755",
            "secrets/shop": "0o755",
            "secrets": "0o700",
            "theirs/inner": oct(spoilt),
            "link/../elsewhere": oct(spoilt),
        }
        assert not state.update(entries).changed

    def test_what_a_set_declares_and_what_only_root_reads_stays_closed(self, tmp_path: Path) -> None:
        owner, group = describe_names()
        entries = [
            Entry(str(tmp_path / "groundwork/declared"), None, owner, group, 0o711),
            self.entry(tmp_path / "groundwork/declared/page"),
            self.entry(tmp_path / "groundwork/secrets/key", 0o600),
        ]
        state = FileSet("web", tmp_path / "state")
        state.update(entries)
        (tmp_path / "groundwork/secrets").chmod(0o700)
        assert not state.update(entries).changed

    def test_a_test_that_fails_puts_the_mode_back(self, tmp_path: Path) -> None:
        state, first = FileSet("web", tmp_path / "state"), self.entry(tmp_path / "groundwork/a")
        state.update([first])
        (tmp_path / "groundwork").chmod(0o700)
        with pytest.raises(Exception, match="put back as it was"):
            state.update([first, self.entry(tmp_path / "groundwork/b")], validate="false")
        assert mode(tmp_path / "groundwork") == 0o700


def describe_names() -> tuple[str, str]:
    """Owner and group of what this process makes."""
    owner, _colon, group = describe(Found(None, os.geteuid(), os.getegid(), 0)).partition(" ")[0].partition(":")
    return owner, group


@each_umask
def test_the_record_of_a_unit(tmp_path: Path, umask: int) -> None:
    os.umask(umask)
    Record("nginx.service", tmp_path / "run/units").save({"web": Manifest()}, ())
    assert all_modes(tmp_path / "run") == {".": "0o755", "units": "0o755", "units/nginx.service.json": "0o644"}


@pytest.mark.parametrize("module", [file_set, unit_set, release], ids=lambda module: module.__name__.rpartition(".")[2])
def test_what_a_module_starts_has_the_usual_umask(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    os.umask(0o077)
    Caller(module, capsys)(check=True, **({"name": "no-such-set"} if module is file_set else {}))
    assert os.umask(0o022) == 0o022


# What makes directories by itself, and why.
MAKERS = {
    "common/files.py": "the two functions that all others call",
    "common/paths.py": "below an open directory, with fchmod",
    "common/locks.py": "with fchmod",
    "common/sqlite.py": "runs as the app",
    "release/unpack.py": "runs as the app, in a step that has a umask of its own",
    "backup/moves.py": "below an open directory, for root alone",
    "backup/settle.py": "below an open directory, for root alone",
}


def test_directories_are_made_in_one_way() -> None:
    top = Path(files.__file__).resolve().parents[1]
    makes = re.compile(r"\.mkdir\(|\bmakedirs\(|\.touch\(")
    found = {str(path.relative_to(top)) for path in top.rglob("*.py") if makes.search(path.read_text())}
    assert found == MAKERS.keys(), "make_directory and make_parents of common/files.py heed no umask"
