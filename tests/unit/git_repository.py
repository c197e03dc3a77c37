"""Git repositories in directories, and builders whose steps really run, for the tests of sources."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.release import source
from ansible_collections.groundwork.flask.plugins.module_utils.release.build import Builder
from ansible_collections.groundwork.flask.plugins.module_utils.release.context import Context
from ansible_collections.groundwork.flask.plugins.module_utils.release.settings import DeploySettings
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import Spec
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import Source
from ansible_collections.groundwork.flask.tests.unit.release_app import App, PlainSystem

# Git takes a submodule from a directory only if it is told that it may.
FILES_ALLOWED = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}


class Repository:
    """A git repository in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "--quiet", "--initial-branch=main", str(path), at="/")

    def git(self, *arguments: str, at: str = "") -> str:
        user = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always")
        return git(Path(at) if at else self.path, *user, *arguments)

    def commit(self, **changed: str) -> str:
        """Commit files, named by their stem; the commit."""
        return self.commit_files({f"{name}.py": text for name, text in changed.items()})

    def commit_files(self, changed: dict[str, str]) -> str:
        """Commit files, by path; the commit."""
        for name, text in changed.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=change")
        return self.git("rev-parse", "HEAD")


def git(directory: Path, *arguments: str) -> str:
    """What git prints."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(("git", *arguments), cwd=directory, env=environment, capture_output=True, check=True)
    return os.fsdecode(done.stdout).strip()


def builder(app: App, deploy_key: str = "", known_hosts: str = "", path: str = "", **spec: Any) -> Builder:
    """A builder whose commands really run, as the user of the tests."""
    variables = {**FILES_ALLOWED, **({"PATH": path} if path else {})}
    settings = DeploySettings(variables, known_hosts=known_hosts)
    context = Context(Spec(name=app.name, **spec), settings, PlainSystem(), app.at, app.ledger, deploy_key=deploy_key)
    made = Builder(context)
    made.prepare()
    made.at.releases.mkdir(parents=True, exist_ok=True)
    return made


def fetched(build: Builder, code: Path, given: dict[str, str]) -> tuple[int, str]:
    """Fetch a source into a new directory."""
    code.mkdir()
    found = source.of(given, build)
    found.resolve()
    return found.fetch(code)


def sent(app: App, directory: Path, code: Path, packed: Path) -> Builder:
    """Send a directory of the controller, and unpack it into a new directory."""
    found = Source.read(str(directory))
    found.pack(str(packed))
    build = builder(app, archive=str(packed))
    assert fetched(build, code, {"tree": found.tree, "directory": "shop"}) == (0, "")
    return build
