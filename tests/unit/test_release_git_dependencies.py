"""Private packages over SSH: they are fetched with the key by a step that runs nothing, and installed without it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.release.build import Builder
from ansible_collections.groundwork.flask.plugins.module_utils.release.errors import ReleaseError
from ansible_collections.groundwork.flask.plugins.module_utils.release.git_access import GitAccess
from ansible_collections.groundwork.flask.plugins.module_utils.release.git_dependencies import (
    GitDependencies,
    addresses,
    instead_of,
)
from ansible_collections.groundwork.flask.tests.unit.git_repository import Repository, builder
from ansible_collections.groundwork.flask.tests.unit.release_app import App

# Stands for ssh to a host that lets in whoever has the key, and then for that host.
SSH = """#!/bin/bash
if [ -e {top}/changed ]; then echo 'Host key verification failed.' >&2; exit 255; fi
if ! ssh-add -L 2>/dev/null | grep -qF "$(cut -d' ' -f2 {top}/key.pub)"; then
    echo 'Permission denied (publickey).' >&2; exit 255
fi
echo "$@" >> {top}/asked
eval "${{!#}}"
"""
URL = "ssh://git@git.example.org"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lib @ git+ssh://git@git.example.org/x/lib.git@v1.2", {f"{URL}/x/lib.git"}),
        ("git+ssh://git@git.example.org/x/lib@main#egg=lib&subdirectory=a", {f"{URL}/x/lib"}),
        ("-e git+ssh://git@git.example.org:2222/~me/lib.git#egg=lib", {"ssh://git@git.example.org:2222/~me/lib.git"}),
        ("git+ssh://git.example.org/lib.git ; python_version > '3'", {"ssh://git.example.org/lib.git"}),
        ('source = { git = "ssh://git@git.example.org/lib.git?rev=v1#0123" }', {f"{URL}/lib.git"}),
        ('lib = { git = "git@git.example.org:x/lib.git", tag = "v1" }', {"git@git.example.org:x/lib.git"}),
        ('"lib": "git+ssh://git@git.example.org/lib.git#semver:^5"', {f"{URL}/lib.git"}),
        ("lib @ git+https://git.example.org/lib.git@v1", set()),
        ('homepage = "https://git@git.example.org/lib"', set()),
        ('git = "--upload-pack=touch /tmp/x@host:y"', set()),
        ("ssh://-oProxyCommand=x/y", set()),
        ("# write to me@example.org: thanks", set()),
    ],
)
def test_addresses(text: str, found: set[str]) -> None:
    assert addresses(text) == found


def test_settings_are_added_to_those_of_the_user() -> None:
    assert instead_of([("ssh://a/b", "/copy")], 2) == {
        "GIT_CONFIG_COUNT": "3", "GIT_CONFIG_KEY_2": "url./copy.insteadOf", "GIT_CONFIG_VALUE_2": "ssh://a/b",
    }  # fmt: skip


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A directory with a key, an `ssh` and two private packages, the first of which names the second."""
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")), check=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH.format(top=tmp_path))
    (tmp_path / "bin/ssh").chmod(0o755)
    for name, needs in (("lib", "deep"), ("deep", "")):
        repository = Repository(tmp_path / f"{name}.git")
        dependency = f'dependencies = ["{needs} @ git+{URL}{tmp_path}/{needs}.git"]' if needs else ""
        repository.commit_files({"pyproject.toml": dependency, "setup.py": f"'{name}'"})
        repository.git("tag", "v1")
    return tmp_path


@pytest.fixture
def build_with(app: App, top: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Builder]]:
    """Makes builders; their host is where the path of a socket is short enough."""
    del app
    monkeypatch.undo()
    with tempfile.TemporaryDirectory() as short:
        host = App(Path(short) / "host")
        yield lambda key: builder(host, key, path=f"{top}/bin:{os.environ['PATH']}")


@pytest.fixture
def code(top: Path) -> Path:
    (top / "code/backend").mkdir(parents=True)
    (top / "code/backend/requirements.txt").write_text(f"flask\nlib @ git+{URL}{top}/lib.git@v1\n")
    return top / "code"


def test_they_are_installed_without_the_key(build_with: Callable[[str], Builder], top: Path, code: Path) -> None:
    build = build_with((top / "key").read_text())
    GitDependencies(build).provide(code)
    for name in ("lib", "deep"):
        clone = ("git", "clone", "--quiet", "--filter=blob:none", f"{URL}{top}/{name}.git", str(top / f"clone-{name}"))
        status, output = build.execute("install", *clone, cwd=code)
        assert status == 0, output
        assert (top / f"clone-{name}/setup.py").read_text() == f"'{name}'"
    asked = (top / "asked").read_text()
    assert "StrictHostKeyChecking=accept-new" in asked
    installing = [step for step in build.system.steps if step.name == "install"]  # type: ignore[attr-defined]
    for step in installing:
        assert not [name for name in step.environment if name.startswith(("SSH_", "GIT_SSH"))]
        assert ("RestrictAddressFamilies", "AF_UNIX") not in step.sandbox
        assert ("BindReadOnlyPaths", f"-{build.at.source_cache / 'dependencies'}") in step.sandbox
    status, output = build.execute("install", "git", "ls-remote", f"{URL}{top}/other.git", cwd=code)
    assert "Permission denied" in output
    assert status != 0


def test_what_cannot_be_read(build_with: Callable[[str], Builder], top: Path, code: Path) -> None:
    named = f"{URL}{top}/lib.git, which the source names for a package, cannot be read; "
    for key, remedy in (
        ("", "is the address right? For a private one, put a deploy key into flask_deploy_keys"),
        ((top / "key").read_text(), "put the lines that `ssh-keyscan` prints of its host into release_known_hosts"),
    ):
        with pytest.raises(ReleaseError) as refusal:
            GitDependencies(build_with(key)).provide(code)
        assert refusal.value.message.startswith(named + remedy)
        (top / "changed").touch()
    (top / "changed").unlink()
    (top / "lib.git").rename(top / "elsewhere")
    with pytest.raises(ReleaseError, match="see that the key in flask_deploy_keys may read it"):
        GitDependencies(build_with((top / "key").read_text())).provide(code)


def test_nothing_is_asked_where_none_is_named(build_with: Callable[[str], Builder], top: Path, code: Path) -> None:
    (code / "backend/requirements.txt").write_text("flask\n")
    build = build_with((top / "key").read_text())
    GitDependencies(build).provide(code)
    assert build.variables == {}
    assert not build.system.steps  # type: ignore[attr-defined]


def test_a_large_file_that_only_has_such_a_name_is_no_error(build_with: Callable[[str], Builder], code: Path) -> None:
    with (code / "data.lock").open("wb") as file:
        file.truncate(2**25)
    (url,) = GitDependencies(build_with("")).named(code)
    assert url.endswith("/lib.git")


def test_a_repository_of_the_host_that_is_another_accounts(build_with: Callable[[str], Builder]) -> None:
    said = "fatal: detected dubious ownership in repository at '/srv/git/my shop.git'\nTo add an exception …"
    command = "git config --system --add safe.directory '/srv/git/my shop.git'"
    assert f"run `{command}` on the host" in GitAccess(build_with("")).remedy(said)
