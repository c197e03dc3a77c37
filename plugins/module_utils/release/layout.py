# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the engine: what a release is made of, where its things are, and what can go wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import trees
from ..common.files import read_json
from ..common.text import line, printable

TRACEBACK = "Traceback (most recent call last)"
MOST_OF_TRACEBACK = 100  # lines
MOST_OF_LOG = 50_000  # characters; a line may have any length


class ReleaseError(Exception):
    """A release that did not go live. The old one serves on.

    :param step: the step that failed.
    :param message: what happened and what to do.
    :param log: what the failing program said.
    """

    def __init__(self, step: str, message: str, log: str = "") -> None:
        message, log = printable(message), printable(log)
        super().__init__(f"{message}\n{log}".strip())
        self.step, self.message, self.log = step, message, log


@dataclass(frozen=True)
class DeploySettings:
    """How to deploy, the same for all apps of a call.

    :param build: environment variables of the build only, such as an index or a proxy.
    :param installer: ``uv`` (pip where uv cannot be had) or ``pip``.
    :param keep: how many releases stay on the disk, the live one included.
    :param fallback_days: how long sessions signed with the SECRET_KEY before a change stay good.
    :param known_hosts: lines of SSH's known_hosts for private repositories; without, the key first seen counts.
    :param by: who deploys and from where, for the ledger and for those who wait.
    """

    build: Mapping[str, str] = field(default_factory=dict)
    installer: str = "uv"
    keep: int = 5
    fallback_days: int = 31
    known_hosts: str = ""
    by: str = ""


@dataclass(frozen=True)
class Layout:
    """Where an app's things are on the host; ``root`` is / but in tests."""

    app: str
    root: Path = Path("/")

    @property
    def home(self) -> Path:
        return self.root / "srv" / self.app

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def environments(self) -> Path:
        return self.home / "environments"

    @property
    def current(self) -> Path:
        return self.home / "current"

    @property
    def ledger(self) -> Path:
        return self.root / "var/lib/groundwork/releases" / f"{self.app}.jsonl"

    @property
    def saved(self) -> Path:
        """Copies of the databases, by the release whose command they were made before."""
        return self.root / "var/lib/groundwork/saved" / self.app

    @property
    def secret_key(self) -> Path:
        return self.root / "etc/groundwork/secrets" / self.app / "SECRET_KEY"

    @property
    def run(self) -> Path:
        """What the engine needs while it runs; root's alone."""
        return self.root / "run/groundwork/release" / self.app

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def build_cache(self) -> Path:
        """What fetching and installing keep for the next time, apart from each other and from the running app."""
        return self.root / "var/cache/groundwork" / self.app

    @property
    def source_cache(self) -> Path:
        return self.build_cache / "source"

    @property
    def package_cache(self) -> Path:
        return self.build_cache / "packages"

    @property
    def command(self) -> Path:
        """The app's name as a command."""
        return self.root / "usr/local/bin" / self.app

    @property
    def tools(self) -> Path:
        """Uv and the Pythons it manages, shared by all apps."""
        return self.root / "usr/local/lib/groundwork"

    @property
    def data(self) -> str:
        return f"/var/lib/{self.app}"

    @property
    def cache(self) -> str:
        return f"/var/cache/{self.app}"

    def release(self, release: str) -> Path:
        return self.releases / release

    def live(self) -> str | None:
        """The id that ``current`` points to, if it points to a complete release."""
        try:
            release = Path(os.readlink(self.current)).name
        except OSError:
            return None
        return release if self.is_complete(release) else None

    def is_complete(self, release: str) -> bool:
        return bool(release) and (self.release(release) / "release.json").exists()

    def is_good(self, release: str) -> bool:
        """Complete, and not found to be bad."""
        return self.is_complete(release) and not (self.release(release) / "bad").exists()

    def released(self, release: str) -> Path:
        """There once the release command of a release has succeeded."""
        return self.release(release) / "released"

    def workers(self, release: str) -> str:
        """What the instance of a release said about the number of its workers; "" when it has not."""
        try:
            return line(trees.read_text(self.root / "run" / f"{self.app}-{release}", "workers", 4096))
        except OSError:
            return ""

    def facts(self, release: str) -> dict[str, Any]:
        """What was noted when the release was built; empty for one that is not complete."""
        return read_json(self.release(release) / "release.json")

    def definition(self, release: str) -> dict[str, Any]:
        return read_json(self.release(release) / "definition.json")


def apps(root: Path = Path("/")) -> list[str]:
    """The apps that are live on the host."""
    return sorted(path.name for path in (root / "srv").glob("*") if Layout(path.name, root).live() is not None)


def tail(text: str, lines: int = 30) -> str:
    """The end of a program's output, where the reason stands; more of it if a traceback begins before that."""
    said = text.strip().splitlines()
    begin = max(0, len(said) - lines)
    for number in range(len(said) - 1, max(0, begin - MOST_OF_TRACEBACK) - 1, -1):
        if TRACEBACK in said[number]:
            begin = min(begin, number)
            break
    return "\n".join(said[begin:])[-MOST_OF_LOG:]


def megabytes(size: float) -> str:
    return f"{size / 2**20:.0f} MB"


def env_file(environment: Mapping[str, str]) -> str:
    """The environment in the syntax of systemd's EnvironmentFile=."""

    def quoted(value: str) -> str:
        return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'

    return "".join(f"{name}={quoted(value)}\n" for name, value in sorted(environment.items()))


def read_env_file(path: Path) -> dict[str, str]:
    """What :func:`env_file` wrote; empty when there is no such file."""
    try:
        text = path.read_bytes().decode()  # a carriage return is part of a value
    except FileNotFoundError:
        return {}
    found = re.findall(r'^(\w+)="((?:[^"\\]|\\.)*)"$', text, re.MULTILINE | re.DOTALL)
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for name, value in found}


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested maps as ``("environment.COLOUR", "red")``, in order."""
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from flat(value[key], f"{name}.{key}" if name else str(key))
    else:
        yield name, str(value)
