"""Paths that others than root can change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import paths, trees
from ansible_collections.groundwork.flask.tests.unit.backup_host import as_root


def test_walk_leaves_out_caches_and_what_it_is_told_and_follows_no_link(tmp_path: Path) -> None:
    for name in ("kept", "cache", "out", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "cache" / "CACHEDIR.TAG").write_bytes(trees.CACHE_SIGNATURE + b"\n")
    (tmp_path / "kept" / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "kept" / "pipe")
    walk = trees.Walk([str(tmp_path / "kept"), str(tmp_path / "cache")])
    found = {item.path for item in walk}
    assert found == {str(tmp_path / name) for name in ("kept", "kept/file", "kept/link", "kept/pipe", "cache")}
    assert walk.caches == [str(tmp_path / "cache")]
    assert not list(trees.Walk([str(tmp_path / "out")], [str(tmp_path / "out")]))


@as_root
def test_the_topmost_directory_that_others_can_change_is_guarded(tmp_path: Path) -> None:
    (tmp_path / "app" / "data" / "sub").mkdir(parents=True)
    os.chown(tmp_path / "app", 65534, 65534)
    assert paths.changeable(str(tmp_path / "app" / "data" / "sub")) == str(tmp_path / "app")
    assert paths.changeable(str(tmp_path / "other")) == str(tmp_path / "other")
    assert paths.accounts_on(str(tmp_path / "app" / "data" / "file")) == ((65534, 65534), False)
    assert paths.accounts_on(str(tmp_path / "app")) == (None, True)


def test_links_of_root_s_lead_on_and_those_of_others_do_not(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert paths.resolved(str(tmp_path / "link" / "sub")) == str(tmp_path / "real" / "sub")
    assert paths.resolved(str(tmp_path / "link" / "new" / "er")) == str(tmp_path / "real" / "new" / "er")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "link").symlink_to("/etc")
    with pytest.raises(OSError, match="others than root can change this link"):
        paths.resolved(str(shared / "link" / "passwd"))
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match="link"):
        paths.resolved(str(tmp_path / "round"))
