"""Files of Git LFS are fetched where git-lfs is there, and a pointer is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import large_files
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.tests.unit.git_repository import Repository, builder, fetched, git
from ansible_collections.groundwork.flask.tests.unit.release_app import App

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
# Stands for git-lfs: `pull` replaces what is a pointer, and the repository's address has to be known to it.
GIT_LFS = """#!/bin/bash -e
if [ "$1" = install ]; then git config filter.lfs.clean cat; git config filter.lfs.smudge false; exit; fi
git remote get-url origin >/dev/null
git config lfs.storage > "$(git rev-parse --show-toplevel)/.storage" || :
git ls-files -z -- ':(attr:filter=lfs)' | while IFS= read -r -d '' name; do echo content > "$name"; done
"""
ATTRIBUTES = "*.png filter=lfs -text\n"


def test_they_are_fetched(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of submodules too; and git finds the work tree as the commit has it."""
    monkeypatch.undo()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git-lfs").write_text(GIT_LFS)
    (tmp_path / "bin/git-lfs").chmod(0o755)
    repositories = [Repository(tmp_path / name) for name in ("theme", "shop")]
    for repository in repositories:
        repository.commit_files({".gitattributes": ATTRIBUTES, "a b/logo.png": POINTER, "app.py": "1"})
    repositories[1].git("submodule", "--quiet", "add", str(repositories[0].path), "theme")
    repositories[1].commit(more="1")
    build = builder(app, path=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert fetched(build, tmp_path / "code", {"git": str(repositories[1].path)}) == (0, "")
    for name in ("a b/logo.png", "theme/a b/logo.png"):
        assert (tmp_path / "code" / name).read_text() == "content\n"
    assert (tmp_path / "code/.storage").read_text().strip() == str(app.at.source_cache / "large")
    large_files.check(tmp_path / "code", "shop", "git")


@pytest.mark.parametrize(
    ("kind", "there", "remedy"),
    [
        ("git", False, "add git-lfs to flask_apps.shop.packages and run groundwork.flask.site"),
        ("git", True, "see that the repository's server has them (`git lfs push --all`)"),
        ("directory", False, "run `git lfs pull` in the directory"),
        ("archive", False, "pack it again after `git lfs pull`, or name the repository as the source"),
    ],
)
def test_pointers_are_refused(
    tmp_path: Path, kind: str, there: bool, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_files, "GIT_LFS", tmp_path if there else tmp_path / "none")
    tree = tmp_path / "tree"
    (tree / "static").mkdir(parents=True)
    (tree / "static/b.png").write_text(POINTER)
    (tree / "a\n.png").write_text(POINTER.replace("oid", "ext-0-foo sha256:ab\noid"))
    (tree / "link").symlink_to("static/b.png")
    for name, text in (("docs", f"As in:\n{POINTER}"), ("cut", POINTER[:-1]), ("big", POINTER * 9), ("empty", "")):
        (tree / name).write_text(text)
    with pytest.raises(ReleaseError) as refusal:
        large_files.check(tree, "shop", kind)
    assert refusal.value.message == (
        f"2 files are pointers of Git LFS, without the content: a\\n.png, static/b.png; {remedy}. If the app needs "
        "none of them, write `skip_checks: [git_lfs]`"
    )


def test_a_deploy_refuses_them_unless_told_otherwise(app: App) -> None:
    app.system.code |= {f"static/{number}.png": POINTER for number in range(9)}
    with pytest.raises(ReleaseError, match=r"9 files are pointers of Git LFS, .*: static/0\.png, .*, …; run `git lfs"):
        app.deploy()
    assert app.at.live() is None
    app.deploy(skip_checks=["git_lfs"])
    assert app.at.live()


def test_a_repository_without_them_needs_no_git_lfs(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    repository = Repository(tmp_path / "shop")
    repository.commit(app="1")
    assert fetched(builder(app, path="/usr/bin:/bin"), tmp_path / "code", {"git": str(repository.path)}) == (0, "")
    assert git(tmp_path / "code", "status", "--porcelain") == ""
