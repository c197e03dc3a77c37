"""What a build may ask git for, and what of a commit a release has: the same of a git source and of a directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import history
from ansible_collections.groundwork.flask.plugins.module_utils.release.build import Builder
from ansible_collections.groundwork.flask.plugins.plugin_utils.history import asks_git
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import Source
from ansible_collections.groundwork.flask.tests.unit.git_repository import Repository, builder, fetched, git, sent
from ansible_collections.groundwork.flask.tests.unit.release_app import App

DESCRIBE = ("describe", "--tags", "--long", "--dirty", "--always")
SCM = '[build-system]\nrequires = ["setuptools-scm"]\n'
FILES = {
    "pyproject.toml": SCM,
    "backend/pyproject.toml": SCM,
    "backend/app.py": "1",
    "backend/templates/page.html": "hidden from archives",
    "version.txt": "$Format:%H$",
    "windows.txt": "a line\n",
    ".gitattributes": "*.html export-ignore\nversion.txt export-subst\nwindows.txt text eol=crlf\n",
}
Get = Callable[[Repository, Path], Builder]


@pytest.fixture(autouse=True)
def _no_fakes(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands really run."""
    del app
    monkeypatch.undo()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(tmp_path / "shop.git")
    found.commit_files(FILES)
    return found


@pytest.fixture(params=["git", "directory"])
def get(request: pytest.FixtureRequest, app: App, tmp_path: Path) -> Get:
    """Puts the code of a repository where a release has it, by either way."""

    def from_git(repository: Repository, code: Path) -> Builder:
        build = builder(app)
        assert fetched(build, code, {"git": str(repository.path)}) == (0, "")
        return build

    def from_directory(repository: Repository, code: Path) -> Builder:
        checked_out(repository)
        return sent(app, repository.path, code, tmp_path / f"{code.name}.tar.gz")

    return from_git if request.param == "git" else from_directory


def checked_out(repository: Repository) -> None:
    """Write the files as a clone would have them: the tests have not heeded their attributes."""
    repository.git("rm", "-rq", "--cached", ".")
    repository.git("reset", "--quiet", "--hard")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Where the code is to be."""
    return tmp_path / "the code"


def test_the_build_knows_tags_and_commits(repository: Repository, get: Get, code: Path) -> None:
    tagged = repository.git("rev-parse", "HEAD")
    repository.git("tag", "--annotate", "--message=1.2", "v1.2")
    repository.git("tag", "light", tagged)
    repository.git("tag", "a-tree", "HEAD^{tree}")
    repository.commit(more="1")
    commit = repository.commit(more="2")
    repository.git("checkout", "--quiet", "-b", "other")
    repository.commit(other="3")
    repository.git("tag", "v9")
    repository.git("checkout", "--quiet", "main")
    get(repository, code)
    assert git(code, *DESCRIBE) == f"v1.2-2-g{commit[:7]}"
    assert set(git(code, "tag").split()) == {"v1.2", "light"}
    assert git(code, "rev-list", "--count", "HEAD") == "3"
    assert git(code, "status", "--porcelain") == ""
    assert set(git(code, "ls-files").splitlines()) == {*FILES, "more.py"}
    assert git(code, "log", "--format=%s%d", "-1") == "change (HEAD)"


def test_a_tag_that_a_commit_gets_later(repository: Repository, app: App, tmp_path: Path) -> None:
    """As where a branch is tried first, and the commit is tagged when it has proved itself."""
    build, codes = builder(app), [tmp_path / "before", tmp_path / "after"]
    for code, tag in zip(codes, ("v1.2", "v1.3"), strict=True):
        repository.git("tag", tag)
        assert fetched(build, code, {"git": str(repository.path), "version": tag}) == (0, "")
    assert [set(git(code, "tag").split()) for code in codes] == [{"v1.2"}, {"v1.2", "v1.3"}]


def test_a_repository_without_tags(repository: Repository, get: Get, code: Path) -> None:
    get(repository, code)
    assert git(code, *DESCRIBE) == repository.git("rev-parse", "HEAD")[:7]


def test_a_release_has_all_files_and_no_history(repository: Repository, get: Get, code: Path) -> None:
    """No file is left out, lines end as in a checkout, and what asks for its commit is told."""
    history.finish(get(repository, code), code)
    found = {str(path.relative_to(code)) for path in code.rglob("*") if path.is_file()}
    assert found == set(FILES)
    assert (code / "version.txt").read_text() == repository.git("rev-parse", "HEAD")
    assert (code / "windows.txt").read_bytes() == b"a line\r\n"


def test_both_ways_agree(repository: Repository, app: App, tmp_path: Path) -> None:
    """To the byte and the mode, names that are no UTF-8 and links included."""
    repository.path.joinpath("run.sh").write_text("#!/bin/sh\n")
    repository.path.joinpath("run.sh").chmod(0o755)
    repository.path.joinpath("link").symlink_to("backend/app.py")
    for name in ("new\nline", 'quo"te', "back\\slash", os.fsdecode(b"caf\xe9.txt"), "-dash", "sp ace", "\u00fc"):
        (repository.path / name).write_text(name, errors="surrogateescape")
    repository.commit(more="1")
    found = []
    for way in ("git", "directory"):
        code = tmp_path / way
        if way == "git":
            build = builder(app)
            assert fetched(build, code, {"git": str(repository.path)}) == (0, "")
        else:
            checked_out(repository)
            build = sent(app, repository.path, code, tmp_path / "packed.tar.gz")
        history.finish(build, code)
        found.append(contents(code))
    assert found[0] == found[1]
    assert found[0][b"caf\xe9.txt"] == (0o644, b"caf\xe9.txt")
    assert found[0][b"run.sh"][0] == 0o755
    assert found[0][b"new\nline"] == (0o644, b"new\nline")


def contents(directory: Path) -> dict[bytes, tuple[int, bytes]]:
    """Modes and contents of all files below a directory; of a link its target."""
    top = os.fsencode(directory)
    return {
        os.path.relpath(path, top): (0, os.readlink(path))
        if os.path.islink(path)
        else (os.stat(path).st_mode & 0o777, Path(os.fsdecode(path)).read_bytes())
        for above, _directories, names in os.walk(top)
        for name in names
        for path in [os.path.join(above, name)]
    }


def test_a_directory_below_the_top_of_its_repository(repository: Repository, app: App, tmp_path: Path) -> None:
    repository.git("tag", "v1")
    commit = repository.commit_files({"elsewhere": "x"})
    build = sent(app, repository.path / "backend", tmp_path / "code", tmp_path / "packed")
    assert git(tmp_path / "code", *DESCRIBE) == f"v1-1-g{commit[:7]}"
    assert git(tmp_path / "code", "ls-files") == "app.py\npyproject.toml\ntemplates/page.html"
    history.finish(build, tmp_path / "code")
    assert not (tmp_path / "code/.git").exists()


def test_uncommitted_work_is_known_as_such(repository: Repository, app: App, tmp_path: Path) -> None:
    repository.git("tag", "v1")
    (repository.path / "backend/app.py").write_text("2")
    (repository.path / "version.txt").write_text("my own $Format:%H$")
    build = sent(app, repository.path, tmp_path / "code", tmp_path / "packed")
    assert git(tmp_path / "code", *DESCRIBE).endswith("-dirty")
    history.finish(build, tmp_path / "code")
    assert (tmp_path / "code/backend/app.py").read_text() == "2"
    assert (tmp_path / "code/version.txt").read_text() == "my own $Format:%H$"


def test_a_shallow_clone(repository: Repository, app: App, tmp_path: Path) -> None:
    repository.commit(more="1")
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.path.as_uri(), "shallow")
    sent(app, tmp_path / "shallow", tmp_path / "code", tmp_path / "packed")
    assert git(tmp_path / "code", "rev-list", "--count", "HEAD") == "1"
    assert git(tmp_path / "code", "rev-parse", "--is-shallow-repository") == "true"


def test_another_tag_is_another_release_where_the_version_is_made_of_it(repository: Repository) -> None:
    before = Source.read(str(repository.path)).tree
    repository.git("tag", "v1")
    assert Source.read(str(repository.path)).tree != before
    for name in ("pyproject.toml", "backend/pyproject.toml"):
        (repository.path / name).write_text("[project]\n")
    (repository.path / ".gitattributes").unlink()
    repository.commit()
    before = Source.read(str(repository.path)).tree
    repository.git("tag", "v2")
    assert Source.read(str(repository.path)).tree == before
    assert Source.read(str(repository.path)).history is None


def test_a_directory_without_commits(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "new")
    (repository.path / "pyproject.toml").write_text(SCM)
    assert Source.read(str(repository.path)).history is None
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/pyproject.toml").write_text(SCM)
    assert Source.read(str(tmp_path / "plain")).history is None


@pytest.mark.parametrize(
    ("name", "text", "asks"),
    [
        ("pyproject.toml", 'requires = ["hatchling", "hatch-vcs"]', True),
        ("pyproject.toml", '[tool.setuptools_scm]', True),
        ("pyproject.toml", '[tool.pdm.version]\nsource = "scm"', True),
        ("pyproject.toml", 'requires = ["poetry-dynamic-versioning"]', True),
        ("pyproject.toml", '[tool.uv-dynamic-versioning]', True),
        ("pyproject.toml", 'requires = ["versioningit"]', True),
        ("pyproject.toml", 'build-backend = "flit_scm:buildapi"', True),
        ("meson.build", "version: run_command('git', 'describe').stdout()", True),
        ("Makefile", "version:\n\tgit rev-parse HEAD >$@", True),
        ("shop/_version.py", "run_command(['git', 'describe'])", True),
        ("setup.cfg", "[versioneer]\nVCS = git", True),
        ("setup.py", "setup(setup_requires=['pbr'], pbr=True)", True),
        ("setup.py", "subprocess.check_output(['git', 'describe'])", True),
        ("setup.py", 'os.popen("git rev-parse HEAD")', True),
        ("sub/setup.py", "os.system('git describe > version')", True),
        (".gitattributes", "_version.py export-subst", True),
        ("pyproject.toml", 'dependencies = ["shop @ git+https://example.org/shop.git"]', False),
        ("pyproject.toml", '[project.urls]\nhomepage = "https://git.example.org"', False),
        ("app.py", "subprocess.run(['git', 'describe'])", False),
    ],
)  # fmt: skip
def test_what_asks_git(tmp_path: Path, name: str, text: str, asks: bool) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert asks_git(tmp_path, [name]) is asks
