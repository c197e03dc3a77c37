"""Which files of a directory are deployed, and that their hash depends on nothing else."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import Source, SourceError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("app = 1\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "secret.txt").write_text("local only\n")
    (tmp_path / ".gitignore").write_text("secret.txt\n")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").touch()
    return tmp_path


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(("git", *identity, *arguments), cwd=directory, check=True, capture_output=True)


def test_git_says_what_belongs_to_it(directory: Path) -> None:
    git(directory, "init")
    git(directory, "add", "shop", ".gitignore")
    git(directory, "commit", "-m", "first")
    (directory / ".gitignore").write_text("secret.txt\nvenv/\n")
    assert Source.read(str(directory)).files == (".gitignore", "run.sh", "shop/__init__.py")
    assert Source.read(str(directory)).description.endswith("with uncommitted work)")


def test_a_deleted_file_is_not_missed(directory: Path) -> None:
    git(directory, "init")
    git(directory, "add", "shop")
    (directory / "shop/__init__.py").unlink()
    assert "shop/__init__.py" not in Source.read(str(directory)).files


def test_without_git_environments_and_caches_stay_out(directory: Path) -> None:
    assert Source.read(str(directory)).files == (".gitignore", "run.sh", "secret.txt", "shop/__init__.py")


def test_the_hash_depends_on_names_contents_and_executable_bits(directory: Path) -> None:
    trees = [Source.read(str(directory)).tree]
    os.utime(directory / "run.sh", (1, 1))
    assert Source.read(str(directory)).tree == trees[0]
    for change in (
        lambda: (directory / "run.sh").chmod(0o644),
        lambda: (directory / "run.sh").write_text("other\n"),
        lambda: (directory / "run.sh").rename(directory / "go.sh"),
    ):
        change()
        trees.append(Source.read(str(directory)).tree)
    assert len(set(trees)) == len(trees)


def test_the_archive_is_the_same_every_time(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (directory / "link").symlink_to("run.sh")
    source, out = Source.read(str(directory)), tmp_path_factory.mktemp("out")
    source.pack(str(out / "a"))
    os.utime(directory / "run.sh", (1, 1))
    source.pack(str(out / "b"))
    assert (out / "a").read_bytes() == (out / "b").read_bytes()
    with tarfile.open(out / "a") as archive:
        assert tuple(archive.getnames()) == source.files
        assert archive.getmember("run.sh").mode == 0o755
        assert archive.getmember("link").issym()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a directory on the controller"):
        Source.read(str(tmp_path / "none"))
