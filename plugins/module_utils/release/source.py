# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the code comes from: which exact code it is, and getting it. One class for each kind of source."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..common import trees
from ..common.files import write
from .errors import ReleaseError, tail

if TYPE_CHECKING:
    from .build import Builder

FETCH_SECONDS = 1800

# Unpacks what comes on stdin into the working directory; with "strip", one directory around it all is taken away.
UNPACK = """
import os, shutil, sys, tarfile, zipfile
packed = sys.stdin.buffer
if zipfile.is_zipfile(packed):
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(".")
else:
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        for name in archive.getnames():
            if name.startswith("/") or ".." in name.split("/"):
                sys.exit(f"{name} in the archive leads out of it")
        archive.extractall(".")
names = os.listdir(".")
if sys.argv[1] == "strip" and len(names) == 1 and os.path.isdir(names[0]):
    os.rename(names[0], ".groundwork-inner")
    for name in os.listdir(".groundwork-inner"):
        shutil.move(os.path.join(".groundwork-inner", name), ".")
    os.rmdir(".groundwork-inner")
"""

# Downloads to a file, as the app's user, and reports a failure in one line.
DOWNLOAD = """
import hashlib, shutil, sys, urllib.error, urllib.request
url, path, wanted = sys.argv[1:]
try:
    with urllib.request.build_opener().open(url, timeout=60) as answer, open(path, "wb") as file:
        shutil.copyfileobj(answer, file)
except (urllib.error.URLError, OSError) as error:
    sys.exit(f"{url}: {error}")
with open(path, "rb") as file:
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
if digest.hexdigest() != wanted:
    sys.exit(f"its sha256 is {digest.hexdigest()}, and the checksum says {wanted}")
"""


# Brings a commit into the app's copy of the repository, and its files into the working directory. `git archive` leaves
# submodules out, so where there are any the work tree is checked out, and git's own files are taken away.
FETCH = """
repository=$1 commit=$2 url=$3
git init --quiet --bare "$repository"
if ! git -C "$repository" cat-file -e "$commit^{commit}" 2>/dev/null; then
    git -C "$repository" fetch --quiet --prune --force "$url" '+refs/*:refs/*'
fi
if ! git -C "$repository" cat-file -e "$commit:.gitmodules" 2>/dev/null; then
    git -C "$repository" archive --format=tar "$commit" | tar -x --no-same-owner
    exit
fi
git init --quiet
git remote add origin "$url"
git fetch --quiet --no-tags "$repository" "$commit"
git checkout --quiet FETCH_HEAD
git submodule --quiet update --init --recursive
find . -name .git -prune -exec rm -rf {} +
"""


class Source(Protocol):
    """What the engine asks of a source.

    ``on_host``: the host gets it by itself; else the controller has to send it. ``is_pinned``: the exact code is
    known without asking a server.
    """

    on_host: bool

    @property
    def is_pinned(self) -> bool:
        """Whether the exact code is known without asking a server."""

    def resolve(self) -> str:
        """The exact code: a commit, a hash, a pinned requirement. Raises ReleaseError when it cannot be found out."""

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into an empty directory that belongs to the app's user; its exit status and output."""

    def version(self, resolved: str) -> str:
        """What a person calls it."""


def of(source: Mapping[str, str], build: Builder) -> Source:
    """The source that an app names."""
    if "git" in source:
        return Git(source["git"], source.get("version", "HEAD"), build)
    if "package" in source:
        return Package(source["package"])
    if "tree" in source:
        name = source.get("description") or source.get("directory") or source["tree"][:10]
        return Sent(source["tree"], name, build, strip="archive" in source)
    return Archive(source["archive"], source["checksum"].rpartition(":")[2], build)


class Git:
    """A repository that the host can read, by an SSH key if there is one. Its objects are kept for the next fetch."""

    on_host = True

    @property
    def is_pinned(self) -> bool:
        """Whether the version is a whole commit."""
        return re.fullmatch(r"[0-9a-f]{40}", self.wanted) is not None

    def __init__(self, url: str, version: str, build: Builder) -> None:
        self.url, self.wanted, self.build = url, version, build
        self.repository = str(build.at.source_cache / "repository.git")
        self.commit = ""

    def resolve(self) -> str:
        """The exact code."""
        if self.is_pinned:
            self.commit = self.wanted
            return self.commit
        with self.credentials() as environment:
            status, output = self.step(
                "resolve", environment, "/usr/bin/git", "ls-remote", "--", self.url, self.wanted, f"{self.wanted}^{{}}"
            )
        if status:
            remedy = "see that the key in flask_deploy_keys may read it" if self.build.deploy_key else (
                "is the address right? For a private one, put a deploy key into flask_deploy_keys"
            )  # fmt: skip
            raise ReleaseError("fetch", f"{self.url} cannot be read; {remedy}", tail(output))
        refs = {name: commit for commit, name in re.findall(r"^([0-9a-f]{40})\t(\S+)$", output, re.MULTILINE)}
        tag = f"refs/tags/{self.wanted}"
        for name in (f"{tag}^{{}}", tag, f"refs/heads/{self.wanted}", self.wanted):
            if name in refs:
                self.commit = refs[name]
                return self.commit
        raise ReleaseError(
            "fetch",
            f"{self.url} has no branch or tag {self.wanted!r}; correct source.version (a commit is named by all of its "
            "40 characters)",
        )

    def version(self, resolved: str) -> str:
        """What a person calls it."""
        return resolved[:10] if self.wanted == resolved else f"{self.wanted} ({resolved[:10]})"

    def step(self, name: str, environment: Mapping[str, str], *argv: str, cwd: Path = Path("/")) -> tuple[int, str]:
        """Run a step that may use the network and the copy of the repository."""
        path = Path(self.url.removeprefix("file://"))
        hosts = self.build.at.build_cache / "known_hosts"
        readable = [*([path] if path.is_absolute() else []), *([hosts] if hosts.exists() else [])]
        return self.build.execute(
            name, *argv, cwd=cwd, seconds=FETCH_SECONDS, environment=environment, cache=self.build.at.source_cache,
            readable=readable,
        )  # fmt: skip

    @contextmanager
    def credentials(self) -> Iterator[dict[str, str]]:
        """Environment variables by which git reaches the repository; the key goes no further than an agent's memory."""
        hosts, key = self.build.at.source_cache / "known_hosts", self.build.deploy_key
        checking = "accept-new"
        if self.build.settings.known_hosts:
            hosts, checking = self.build.at.build_cache / "known_hosts", "yes"
            write(hosts, self.build.settings.known_hosts.strip() + "\n", 0o644)
        ssh = f"ssh -F none -o BatchMode=yes -o StrictHostKeyChecking={checking} -o UserKnownHostsFile={hosts}"
        environment = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": ssh}
        if not key:
            yield environment
            return
        with self.agent(key) as sock:
            yield {**environment, "SSH_AUTH_SOCK": str(sock)}

    @contextmanager
    def agent(self, key: str) -> Iterator[Path]:
        """A key that the app's user can sign with and cannot read: an agent holds it, and nothing is written down."""
        build, directory = self.build, self.build.at.run / "agent"
        trees.remove(directory)
        directory.mkdir(mode=0o700, parents=True)
        build.give(directory)
        sock = directory / "sock"
        argv, cache = ("/usr/bin/ssh-agent", "-D", "-a", str(sock)), build.at.source_cache
        agent = build.step("agent", argv, Path("/"), FETCH_SECONDS, cache=cache)
        try:
            with build.system.background(agent), os.fdopen(os.memfd_create("key"), "w+") as memory:
                until = time.monotonic() + 30  # on a busy machine
                while not os.path.lexists(sock) and time.monotonic() < until:
                    build.system.sleep(0.02)
                memory.write(f"{key.strip()}\n")
                memory.seek(0)
                status, output = build.execute(
                    "key", "/usr/bin/ssh-add", "-q", "-", cwd=Path("/"), stdin=memory, cache=cache,
                    environment={"SSH_AUTH_SOCK": str(sock)},
                )  # fmt: skip
                if status:
                    raise ReleaseError(
                        "fetch", f"flask_deploy_keys.{build.at.app} is not a key that ssh-add takes", tail(output)
                    )
                yield sock
        finally:
            build.own.remove(directory)
            trees.remove(directory)

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into a directory of the app's."""
        with self.credentials() as environment:
            script = ("/bin/bash", "-e", "-o", "pipefail", "-c", FETCH, "fetch")
            return self.step("fetch", environment, *script, self.repository, self.commit, self.url, cwd=code)


class Sent:
    """What the controller has sent: its working directory, or an archive of its own."""

    on_host = False
    is_pinned = True

    def __init__(self, tree: str, name: str, build: Builder, strip: bool) -> None:
        self.tree, self.name, self.build, self.strip = tree, name, build, strip

    def resolve(self) -> str:
        """The exact code."""
        return self.tree

    def version(self, resolved: str) -> str:
        """What a person calls it."""
        return self.name if "(" in self.name else f"{self.name} ({resolved[:10]})"

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into a directory of the app's."""
        archive = os.open(self.build.spec.archive, os.O_RDONLY | os.O_NOFOLLOW)
        return self.build.unpack(archive, code, strip=self.strip)


class Archive:
    """An archive that the host downloads; its checksum identifies it."""

    on_host = True
    is_pinned = True

    def __init__(self, url: str, checksum: str, build: Builder) -> None:
        self.url, self.checksum, self.build = url, checksum, build

    def resolve(self) -> str:
        """The exact code."""
        return self.checksum

    def version(self, resolved: str) -> str:
        """What a person calls it."""
        return f"{self.url.rpartition('/')[2]} ({resolved[:10]})"

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into a directory of the app's."""
        directory = self.build.scratch("download")
        status, output = self.build.execute(
            "download", "/usr/bin/python3", "-I", "-c", DOWNLOAD, self.url, str(directory / "archive"), self.checksum,
            cwd=code, seconds=FETCH_SECONDS,
        )  # fmt: skip
        if status:
            return status, output
        return self.build.unpack(trees.open_beneath(directory, "archive"), code, strip=True)


class Package:
    """A package of the index, pinned. There is no code beside what the installer puts into the environment."""

    on_host = True
    is_pinned = True

    def __init__(self, requirement: str) -> None:
        self.requirement = requirement

    def resolve(self) -> str:
        """The exact code."""
        return self.requirement

    def version(self, resolved: str) -> str:
        """What a person calls it."""
        return resolved

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into a directory of the app's."""
        del code
        return 0, ""
