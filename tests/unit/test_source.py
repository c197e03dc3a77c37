"""Which files of a directory are deployed, and that their hash depends on nothing else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import Archive, Source, SourceError, needed_by


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
    options = ("user.name=a", "user.email=a@example.org", "commit.gpgsign=false", "protocol.file.allow=always")
    given = [word for option in options for word in ("-c", option)]
    subprocess.run(("git", *given, *arguments), cwd=directory, check=True, capture_output=True)


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


def test_a_link_to_a_directory_belongs_to_it(directory: Path) -> None:
    (directory / "assets").symlink_to("shop")
    assert "assets" in Source.read(str(directory)).files
    git(directory, "init")
    git(directory, "add", "assets")
    assert "assets" in Source.read(str(directory)).files


@pytest.fixture
def nested(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a submodule ``theme``, which has one itself, ``theme/icons``."""
    repositories = {name: tmp_path_factory.mktemp(name) for name in ("icons", "theme")}
    for name, repository in repositories.items():
        (repository / f"{name}.css").write_text(name)
        git(repository, "init")
        git(repository, "add", ".")
        git(repository, "commit", "-m", name)
    git(repositories["theme"], "submodule", "add", str(repositories["icons"]), "icons")
    git(repositories["theme"], "commit", "-m", "icons")
    git(directory, "init")
    git(directory, "add", "shop", ".gitignore")
    git(directory, "submodule", "add", str(repositories["theme"]), "theme")
    git(directory, "commit", "-m", "first")
    return directory


def test_submodules_belong_to_it(nested: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    git(nested, "submodule", "update", "--init", "--recursive")
    (nested / "theme/new.css").write_text("untracked")
    source, packed = Source.read(str(nested)), tmp_path_factory.mktemp("out") / "a"
    assert [name for name in source.files if name.startswith("theme/")] == [
        "theme/.gitmodules",
        "theme/icons/icons.css",
        "theme/new.css",
        "theme/theme.css",
    ]
    source.pack(str(packed))
    with tarfile.open(packed) as archive:
        assert archive.extractfile("theme/icons/icons.css").read() == b"icons"  # type: ignore[union-attr]
    before = source.tree
    (nested / "theme/icons/icons.css").write_text("changed")
    assert Source.read(str(nested)).tree != before


def test_a_submodule_that_is_not_checked_out(nested: Path) -> None:
    with pytest.raises(SourceError) as refusal:
        Source.read(str(nested))
    assert str(refusal.value) == (
        f"the git submodule 'icons' in '{nested}/theme' is not checked out: "
        "run `git submodule update --init --recursive` there"
    )


def test_a_repository_that_is_no_submodule_stays_out(directory: Path) -> None:
    git(directory, "init")
    (directory / "other").mkdir()
    git(directory / "other", "init")
    (directory / "other/file").touch()
    assert not [name for name in Source.read(str(directory)).files if name.startswith("other")]


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


def test_the_wheels_of_a_directory(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in ("shop-1-py3-none-any.whl", "flask-3-py3-none-any.whl", "README.md"):
        (tmp_path / name).write_text(name)
    wheels, packed = Source.wheels(str(tmp_path)), tmp_path_factory.mktemp("out") / "a"
    assert wheels.files == ("flask-3-py3-none-any.whl", "shop-1-py3-none-any.whl")
    wheels.pack(str(packed))
    with tarfile.open(packed) as archive:
        assert tuple(archive.getnames()) == wheels.files
    (tmp_path / "README.md").write_text("other")
    assert Source.wheels(str(tmp_path)).tree == wheels.tree
    (tmp_path / "flask-3-py3-none-any.whl").write_text("other")
    assert Source.wheels(str(tmp_path)).tree != wheels.tree


def test_a_directory_without_wheels(directory: Path) -> None:
    with pytest.raises(SourceError, match="has no wheels"):
        Source.wheels(str(directory))


def test_an_archive_is_known_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "shop.zip").write_bytes(b"content")
    sum_ = hashlib.sha256(b"content").hexdigest()
    for checksum in ("", f"sha256:{sum_}"):
        archive = Archive.read(str(tmp_path / "shop.zip"), checksum)
        assert (archive.tree, archive.description) == (sum_, "shop.zip")


def test_an_archive_with_another_checksum(tmp_path: Path) -> None:
    (tmp_path / "shop.zip").write_bytes(b"content")
    with pytest.raises(SourceError) as refusal:
        Archive.read(str(tmp_path / "shop.zip"), "sha256:" + "0" * 64)
    assert str(refusal.value) == (
        f"'{tmp_path}/shop.zip' has the checksum sha256:{hashlib.sha256(b'content').hexdigest()}, not "
        f"sha256:{'0' * 64}: put the right file there, or correct source.checksum"
    )
    with pytest.raises(SourceError, match="is not a file on the controller"):
        Archive.read(str(tmp_path / "none.zip"))


@pytest.mark.parametrize(
    ("files", "packages"),
    [
        ({"requirements.txt": "flask\n"}, set()),
        ({"requirements.txt": "lib @ git+https://example.org/lib.git\n"}, {"git"}),
        ({"sub/requirements-dev.txt": "git+ssh://git@example.org/lib.git\n"}, {"git", "openssh-client"}),
        ({"uv.lock": 'source = { git = "ssh://git@example.org/lib.git?rev=v1#01" }'}, {"git", "openssh-client"}),
        ({"pyproject.toml": 'lib = {git = "https://example.org/lib.git"}'}, {"git"}),
        ({"pyproject.toml": "[tool.setuptools_scm]"}, {"git"}),
        ({"notes.md": "git+ssh://git@example.org/lib.git"}, set()),
    ],
)
def test_what_a_host_needs_for_the_files_of_a_directory(
    tmp_path: Path, files: dict[str, str], packages: set[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    assert needed_by(str(tmp_path)) == packages
    assert needed_by(str(tmp_path / "none")) == set()


def test_names_that_are_no_text(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """They are kept to the byte, with git and without it."""
    name = os.fsdecode(b"caf\xe9\n")
    (tmp_path / name).write_text("1")
    (tmp_path / "link").symlink_to(name)
    for step in ((), ("init",), ("add", ".")):
        if step:
            git(tmp_path, *step)
        source, packed = Source.read(str(tmp_path)), tmp_path_factory.mktemp("out") / "a"
        assert source.files == (name, "link")
        assert source.tree
        source.pack(str(packed))
        with tarfile.open(packed, encoding="utf-8", errors="surrogateescape") as archive:
            assert archive.getnames() == [name, "link"]
