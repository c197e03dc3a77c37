"""Where the code comes from: real repositories and archives, fetched as the user of the tests."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release import build, history, source, source_git
from ansible_collections.groundwork.flask.plugins.module_utils.release.build import Builder
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.steps import Step
from ansible_collections.groundwork.flask.tests.unit.git_repository import Repository, builder
from ansible_collections.groundwork.flask.tests.unit.release_app import App


@pytest.fixture
def builder_of(app: App, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Builder]:
    """Makes builders whose commands really run, as the user of the tests."""
    monkeypatch.undo()
    monkeypatch.setattr(build, "PIP_CONFIGURATION", app.root / "pip.conf")

    def make(deploy_key: str = "", known_hosts: str = "", **spec: Any) -> Builder:
        return builder(app, deploy_key, known_hosts, **spec)

    return make


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """An empty directory for the code."""
    (tmp_path / "code").mkdir()
    return tmp_path / "code"


def files(directory: Path) -> dict[str, str]:
    """What lies below a directory."""
    return {
        str(path.relative_to(directory)): path.read_text() for path in sorted(directory.rglob("*")) if path.is_file()
    }


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "shop.git")


class TestGit:
    """Branches, tags, commits, submodules, keys."""

    def test_branch_tag_and_commit(
        self, repository: Repository, builder_of: Callable[..., Builder], tmp_path: Path
    ) -> None:
        first = repository.commit(app="1")
        repository.git("tag", "light")
        repository.git("tag", "--annotate", "--message=v1", "v1")
        repository.git("branch", "feature/v1", first)
        second = repository.commit(app="2")
        repository.git("branch", "v1", second)  # a tag is taken before a branch of its name
        for number, (version, commit, name) in enumerate(
            [
                ("main", second, f"main ({second[:10]})"),
                ("HEAD", second, f"HEAD ({second[:10]})"),
                ("v1", first, f"v1 ({first[:10]})"),
                ("light", first, f"light ({first[:10]})"),
                ("feature/v1", first, f"feature/v1 ({first[:10]})"),
                (first, first, first[:10]),
            ]
        ):
            found = source.of({"git": str(repository.path), "version": version}, builder_of())
            assert found.on_host
            assert found.resolve() == commit
            assert found.version(commit) == name
            code = tmp_path / f"code{number}"
            code.mkdir()
            assert found.fetch(code) == (0, "")
            history.finish(builder_of(), code)
            assert files(code) == {"app.py": "1" if commit == first else "2"}

    def test_a_known_commit_is_not_fetched_again(
        self, repository: Repository, builder_of: Callable[..., Builder], tmp_path: Path, code: Path
    ) -> None:
        commit = repository.commit(app="1")
        given = {"git": str(repository.path), "version": commit}
        first = source.of(given, builder_of())
        first.resolve()
        assert first.fetch(code)[0] == 0
        repository.path.rename(tmp_path / "gone.git")
        (tmp_path / "again").mkdir()
        again = source.of(given, builder_of())
        again.resolve()
        assert again.fetch(tmp_path / "again") == (0, "")
        history.finish(builder_of(), tmp_path / "again")
        assert files(tmp_path / "again") == {"app.py": "1"}

    def test_a_branch_that_was_rewritten(
        self, repository: Repository, builder_of: Callable[..., Builder], tmp_path: Path
    ) -> None:
        repository.commit(app="1")
        for number, text in enumerate("23"):
            (repository.path / "app.py").write_text(text)
            repository.git("commit", "--quiet", "--all", "--amend", "--message=other")
            found = source.of({"git": str(repository.path), "version": "main"}, builder_of())
            found.resolve()
            code = tmp_path / f"code{number}"
            code.mkdir()
            assert found.fetch(code) == (0, "")
            history.finish(builder_of(), code)
            assert files(code) == {"app.py": text}

    def test_submodules(
        self, repository: Repository, builder_of: Callable[..., Builder], tmp_path: Path, code: Path
    ) -> None:
        library = Repository(tmp_path / "library.git")
        library.commit(library="lib")
        repository.git("submodule", "--quiet", "add", str(library.path), "vendored/library")
        repository.commit(app="1")
        found = source.of({"git": str(repository.path), "version": "main"}, builder_of())
        found.resolve()
        assert found.fetch(code) == (0, "")
        history.finish(builder_of(), code)
        assert set(files(code)) == {".gitmodules", "app.py", "vendored/library/library.py"}
        assert not list(code.rglob(".git"))

    def test_what_cannot_be_found(self, repository: Repository, builder_of: Callable[..., Builder]) -> None:
        repository.commit(app="1")
        with pytest.raises(ReleaseError, match=r"has no branch or tag 'v2'; correct source\.version") as error:
            source.of({"git": str(repository.path), "version": "v2"}, builder_of()).resolve()
        assert error.value.step == "fetch"
        with pytest.raises(ReleaseError, match=r"/nowhere\.git cannot be read; is the address right") as error:
            source.of({"git": f"{repository.path}/nowhere.git"}, builder_of()).resolve()
        assert "does not" in error.value.log
        lost = source.of({"git": str(repository.path), "version": "1" * 40}, builder_of())
        lost.resolve()
        status, said = lost.fetch(repository.path / "..")
        assert status != 0
        assert "1111111111" in said

    def test_deploy_key(self, builder_of: Callable[..., Builder], app: App, tmp_path: Path) -> None:
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")), check=True)
        key = (tmp_path / "key").read_text()
        found = source.of({"git": "ssh://git@example.org/shop"}, builder_of(key, "example.org ssh-ed25519 AAAA"))
        assert isinstance(found, source_git.Git)
        with found.access.credentials() as environment:
            seen_by_git = {**os.environ, **environment}
            listed = subprocess.run(("ssh-add", "-L"), env=seen_by_git, capture_output=True, text=True, check=True)
            assert listed.stdout.split()[1] == (tmp_path / "key.pub").read_text().split()[1]
            hosts = app.at.build_cache / "known_hosts"
            assert f"StrictHostKeyChecking=yes -o UserKnownHostsFile={hosts}" in environment["GIT_SSH_COMMAND"]
            assert hosts.read_text() == "example.org ssh-ed25519 AAAA\n"
            texts = [path.read_text() for path in app.root.rglob("*") if path.is_file()]
            assert not [text for text in texts if key.splitlines()[1] in text]
        assert not Path(environment["SSH_AUTH_SOCK"]).parent.exists()

    def test_an_agent_that_does_not_listen_yet(
        self, builder_of: Callable[..., Builder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Its socket has a name before it takes connections, and a busy host may halt it in between."""
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")), check=True)
        builder = builder_of((tmp_path / "key").read_text())
        system, begun = builder.system, contextlib.ExitStack()
        step, background = system.step, system.background
        agents: list[Step] = []
        asked: list[int] = []

        @contextlib.contextmanager
        def bind(agent: Step) -> Iterator[None]:
            agents.append(agent)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(agent.argv[-1])
                yield

        def listen_once_asked(one: Step) -> tuple[int, str]:
            status, output = step(one)
            asked.append(status)
            if len(asked) == 1:
                os.unlink(agents[0].argv[-1])
                begun.enter_context(background(agents[0]))
            return status, output

        monkeypatch.setattr(system, "background", bind)
        monkeypatch.setattr(system, "step", listen_once_asked)
        found = source.of({"git": "ssh://git@example.org/shop"}, builder)
        assert isinstance(found, source_git.Git)
        with begun, found.access.credentials() as environment:
            subprocess.run(("ssh-add", "-L"), env={**os.environ, **environment}, check=True)
        assert (asked[0], asked[-1]) == (2, 0)

    def test_a_deploy_key_that_is_none(self, builder_of: Callable[..., Builder], app: App) -> None:
        found = source.of({"git": "ssh://git@example.org/shop"}, builder_of("no key"))
        with pytest.raises(ReleaseError, match=f"flask_deploy_keys.{app.name} is not a key that ssh-add takes"):
            found.resolve()

    def test_without_known_hosts_the_first_key_counts(self, builder_of: Callable[..., Builder]) -> None:
        found = source.of({"git": "ssh://git@example.org/shop"}, builder_of())
        assert isinstance(found, source_git.Git)
        with found.access.credentials() as environment:
            assert "StrictHostKeyChecking=accept-new" in environment["GIT_SSH_COMMAND"]
            assert "SSH_AUTH_SOCK" not in environment


def tar(*members: tuple[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def zipped(*members: tuple[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in members:
            archive.writestr(name, text)
    return packed.getvalue()


class TestArchives:
    """What was sent, and what the host downloads."""

    @pytest.mark.parametrize("pack", [tar, zipped])
    @pytest.mark.parametrize(
        ("members", "strip", "found"),
        [
            ([("shop-1.4/app.py", "1"), ("shop-1.4/a/b", "2")], True, {"app.py": "1", "a/b": "2"}),
            ([("shop-1.4/app.py", "1"), ("shop-1.4/shop-1.4/b", "2")], True, {"app.py": "1", "shop-1.4/b": "2"}),
            ([("shop/app.py", "1")], False, {"shop/app.py": "1"}),
            ([("shop/app.py", "1"), ("README", "2")], True, {"shop/app.py": "1", "README": "2"}),
            ([("app.py", "1")], True, {"app.py": "1"}),
        ],
    )
    def test_unpacked(
        self,
        builder_of: Callable[..., Builder],
        tmp_path: Path,
        code: Path,
        pack: Callable[..., bytes],
        members: list[tuple[str, str]],
        strip: bool,
        found: dict[str, str],
    ) -> None:
        (tmp_path / "packed").write_bytes(pack(*members))
        given = {"tree": "a" * 64, "directory": "shop", **({"archive": "x"} if strip else {})}
        sent = source.of(given, builder_of(archive=str(tmp_path / "packed")))
        assert not sent.on_host
        assert sent.fetch(code) == (0, "")
        assert files(code) == found

    def test_a_link_in_its_place_is_not_followed(
        self, builder_of: Callable[..., Builder], tmp_path: Path, code: Path
    ) -> None:
        (tmp_path / "packed").symlink_to("/etc/shadow")
        sent = source.of({"tree": "a" * 64, "directory": "shop"}, builder_of(archive=str(tmp_path / "packed")))
        with pytest.raises(OSError, match="symbolic links"):
            sent.fetch(code)
        assert files(code) == {}

    def test_a_link_in_the_place_of_a_download_is_not_followed(
        self, builder_of: Callable[..., Builder], code: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(source, "DOWNLOAD", "import os, sys; os.symlink('/etc/hostname', sys.argv[2])")
        given = {"archive": "https://example.org/shop.zip", "checksum": f"sha256:{'c' * 64}"}
        with pytest.raises(OSError, match="leads out of the tree"):
            source.of(given, builder_of()).fetch(code)

    def test_downloaded(self, builder_of: Callable[..., Builder], tmp_path: Path, code: Path) -> None:
        packed = tmp_path / "shop-1.4.tar.gz"
        packed.write_bytes(tar(("shop-1.4/app.py", "1")))
        checksum = hashlib.sha256(packed.read_bytes()).hexdigest()
        found = source.of({"archive": packed.as_uri(), "checksum": f"sha256:{checksum}"}, builder_of())
        assert (found.on_host, found.resolve()) == (True, checksum)
        assert found.version(checksum) == f"shop-1.4.tar.gz ({checksum[:10]})"
        assert found.fetch(code) == (0, "")
        assert files(code) == {"app.py": "1"}

    def test_a_download_that_is_another(self, builder_of: Callable[..., Builder], tmp_path: Path, code: Path) -> None:
        packed = tmp_path / "shop.tar.gz"
        packed.write_bytes(tar(("app.py", "1")))
        checksum = hashlib.sha256(packed.read_bytes()).hexdigest()
        given = {"archive": packed.as_uri(), "checksum": f"sha256:{'0' * 64}"}
        status, said = source.of(given, builder_of()).fetch(code)
        assert status != 0
        assert said.strip() == f"its sha256 is {checksum}, and the checksum says {'0' * 64}"
        packed.unlink()
        status, said = source.of(given, builder_of()).fetch(code)
        assert status != 0
        assert said.startswith(f"{packed.as_uri()}: ")
        assert "Traceback" not in said
        assert files(code) == {}


@pytest.mark.parametrize(
    ("given", "kind", "resolved", "version"),
    [
        ({"tree": "a" * 64, "directory": "../shop"}, source.Sent, "a" * 64, "../shop (aaaaaaaaaa)"),
        (
            {"tree": "a" * 64, "directory": "x", "description": "main (0123456789) and uncommitted changes"},
            source.Sent,
            "a" * 64,
            "main (0123456789) and uncommitted changes",
        ),
        ({"tree": "a" * 64, "archive": "shop.zip", "description": "shop.zip"}, source.Sent, "a" * 64, "shop.zip (aaaa"),
        ({"package": "shop==1.4"}, source.Package, "shop==1.4", "shop==1.4"),
        ({"git": "https://example.org/shop.git", "version": "b" * 40}, source_git.Git, "b" * 40, "bbbbbbbbbb"),
        (
            {"archive": "https://example.org/shop.zip", "checksum": f"sha256:{'c' * 64}"},
            source.Archive,
            "c" * 64,
            "shop.zip (cccccccccc)",
        ),
    ],
)
def test_each_kind_says_what_it_is(
    builder_of: Callable[..., Builder], given: dict[str, str], kind: type, resolved: str, version: str
) -> None:
    found = source.of(given, builder_of())
    assert isinstance(found, kind)
    assert found.resolve() == resolved
    assert found.version(resolved).startswith(version)


def test_a_package_brings_no_code(builder_of: Callable[..., Builder], code: Path) -> None:
    assert source.of({"package": "shop==1.4"}, builder_of()).fetch(code) == (0, "")
    assert files(code) == {}
