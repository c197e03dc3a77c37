# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the files of an app and its releases are on the host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import trees
from ..common.files import read_json
from ..common.on_host import on_host, path
from ..common.text import line


@dataclass(frozen=True)
class Layout:
    """Where an app's things are on the host; ``root`` is / but in tests."""

    app: str
    root: Path = Path("/")

    @property
    def home(self) -> Path:
        """Root's directory with everything that defines the running app."""
        return path("home", self.app, self.root)

    @property
    def releases(self) -> Path:
        """A directory for each release, by id."""
        return self.home / "releases"

    @property
    def environments(self) -> Path:
        """The virtual environments, by a hash of what is in them."""
        return self.home / "environments"

    @property
    def current(self) -> Path:
        """The symlink to the live release."""
        return self.home / "current"

    @property
    def undeployed(self) -> Path:
        """The page that the app's site shows after a first release was refused, for as long as none is live."""
        return path("undeployed", self.app, self.root)

    @property
    def ledger(self) -> Path:
        """The event log of the app's releases."""
        return path("state", root=self.root) / "releases" / f"{self.app}.jsonl"

    @property
    def saved(self) -> Path:
        """Copies of the databases, by the release whose command they were made before."""
        return path("state", root=self.root) / "saved" / self.app

    @property
    def exchange(self) -> Path:
        """The record of an exchange of the app's data that goes on, and of the databases that former ones have left."""
        return path("state", root=self.root) / "exchanges" / f"{self.app}.json"

    @property
    def setup(self) -> Path:
        """The record of the setup command."""
        return path("state", root=self.root) / "setup" / f"{self.app}.json"

    @property
    def secret_key(self) -> Path:
        """The SECRET_KEY that was made on this host, or that it shares with others."""
        return path("configuration", root=self.root) / "secrets" / self.app / "SECRET_KEY"

    @property
    def jobs(self) -> Path:
        """What this host knows of the app's jobs beside its releases: whether it runs those that one host runs."""
        return path("state", root=self.root) / "jobs" / f"{self.app}.json"

    @property
    def run(self) -> Path:
        """What the engine needs while it runs; root's alone."""
        return path("runtime", root=self.root) / "release" / self.app

    @property
    def paused(self) -> Path:
        """There while a run has stopped the live release; gone with a boot, which starts it."""
        return self.run / "paused"

    @property
    def watch(self) -> Path:
        """The record of the watch over the live release, while it goes on."""
        return self.run / "watch.json"

    @property
    def units(self) -> Path:
        """The directory of systemd's unit files."""
        return self.root / "etc/systemd/system"

    @property
    def build_cache(self) -> Path:
        """What fetching and installing keep for the next time, apart from each other and from the running app."""
        return path("build_caches", root=self.root) / self.app

    @property
    def source_cache(self) -> Path:
        """What fetching keeps; the app's."""
        return self.build_cache / "source"

    @property
    def package_cache(self) -> Path:
        """What installing keeps; the app's."""
        return self.build_cache / "packages"

    @property
    def command(self) -> Path:
        """The app's name as a command."""
        return self.root / "usr/local/bin" / self.app

    @property
    def tools(self) -> Path:
        """Uv and the Pythons it manages, shared by all apps."""
        return path("programs", root=self.root)

    @property
    def data(self) -> str:
        """The app's data, as the app sees it."""
        return on_host("data", self.app)

    @property
    def cache(self) -> str:
        """The app's own cache, as the app sees it."""
        return on_host("cache", self.app)

    def release(self, release: str) -> Path:
        """The directory of a release."""
        return self.releases / release

    def code(self, release: str, subdirectory: str = "") -> Path:
        """The code directory of a release: what is installed and imported, and where its processes run.

        It is the source's tree, ``code/``, or what ``source.subdirectory`` names in it.

        :param subdirectory: that of a release under construction; one that is built has recorded its own.
        """
        return self.release(release) / "code" / str(self.facts(release).get("subdirectory", subdirectory))

    def live(self) -> str | None:
        """The id that ``current`` points to, if it points to a complete release."""
        try:
            release = Path(os.readlink(self.current)).name
        except OSError:
            return None
        return release if self.is_complete(release) else None

    def is_complete(self, release: str) -> bool:
        """Whether a release was built to its end."""
        return bool(release) and (self.release(release) / "release.json").exists()

    def newest(self) -> str:
        """The id of the release that was built last, whether it is good or bad; "" where there is none."""
        built = [(path.stat().st_mtime, path.parent.name) for path in self.releases.glob("[!.]*/release.json")]
        return max(built, default=(0, ""))[1]

    def is_good(self, release: str) -> bool:
        """Complete, and not found to be bad."""
        return self.is_complete(release) and not (self.release(release) / "bad").exists()

    def released(self, release: str) -> Path:
        """There once the release command of a release has succeeded."""
        return self.release(release) / "released"

    def workers(self, release: str) -> str:
        """The number of workers of a running release and the reason for it; "" when it has not written them down."""
        try:
            return line(trees.read_text(self.root / "run" / f"{self.app}-{release}", "workers", 4096))
        except OSError:
            return ""

    def facts(self, release: str) -> dict[str, Any]:
        """What was noted when the release was built; empty for one that is not complete."""
        return read_json(self.release(release) / "release.json")

    def definition(self, release: str) -> dict[str, Any]:
        """What the id of a release is a hash of, as people are shown it."""
        return read_json(self.release(release) / "definition.json")


def other_apps(known: Sequence[str], root: Path = Path("/")) -> list[str]:
    """The apps on the host that are not among ``known``: live, or with a first release that was refused."""
    return sorted({*apps(root), *undeployed_apps(root)} - set(known))


def undeployed_apps(root: Path = Path("/")) -> list[str]:
    """The apps of which a first release was refused, and none is live."""
    homes = (home.name for home in path("homes", root=root).glob("*"))
    return sorted(name for name in homes if (at := Layout(name, root)).undeployed.exists() and at.live() is None)


def apps(root: Path = Path("/")) -> list[str]:
    """The apps that are live on the host."""
    return sorted(
        home.name for home in path("homes", root=root).glob("*") if Layout(home.name, root).live() is not None
    )
