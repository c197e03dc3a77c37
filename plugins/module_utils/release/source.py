# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the code comes from: which exact code it is, and getting it. One class for each kind of source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .layout import ReleaseError, tail, write

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

# Downloads to a file, as the app's user, and says what went wrong in one line.
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


class Source(Protocol):
    """What the engine asks of a source.

    ``on_host``: the host gets it by itself; else the controller has to send it.
    """

    on_host: bool

    def resolve(self) -> str:
        """The exact code: a commit, a hash, a pinned requirement. Raises ReleaseError when it cannot be told."""

    def fetch(self, code: Path) -> tuple[int, str]:
        """Put the code into an empty directory that belongs to the app's user; an exit status and what was said."""

    def version(self, resolved: str) -> str:
        """What a person calls it."""


def of(given: Mapping[str, str], build: Builder) -> Source:
    """The source that an app names."""
    if "git" in given:
        return Git(given["git"], given.get("version", "HEAD"), build)
    if "package" in given:
        return Package(given["package"])
    if "tree" in given:
        name = given.get("description") or given.get("directory") or given["tree"][:10]
        return Sent(given["tree"], name, build, strip="archive" in given)
    return Archive(given["archive"], given["checksum"].rpartition(":")[2], build)


class Git:
    """A repository that the host can read, by an SSH key if there is one. Its objects are kept for the next fetch."""

    on_host = True

    def __init__(self, url: str, version: str, build: Builder) -> None:
        self.url, self.wanted, self.build = url, version, build
        self.repository = str(build.at.build_cache / "repository.git")
        self.commit = ""

    def resolve(self) -> str:
        if re.fullmatch(r"[0-9a-f]{40}", self.wanted):
            self.commit = self.wanted
            return self.commit
        with self.credentials() as environment:
            status, said = self.git(environment, "ls-remote", self.url, self.wanted, f"{self.wanted}^{{}}")
        if status:
            remedy = "see that the key in flask_deploy_keys may read it" if self.build.deploy_key else (
                "is the address right? For a private one, put a deploy key into flask_deploy_keys"
            )  # fmt: skip
            raise ReleaseError("fetch", f"{self.url} cannot be read; {remedy}", tail(said))
        refs = {name: commit for commit, name in re.findall(r"^([0-9a-f]{40})\t(\S+)$", said, re.MULTILINE)}
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
        return resolved[:10] if self.wanted == resolved else f"{self.wanted} ({resolved[:10]})"

    def git(self, environment: Mapping[str, str], *arguments: str, cwd: str = "/") -> tuple[int, str]:
        return self.build.as_app("git", *arguments, cwd=Path(cwd), seconds=FETCH_SECONDS, environment=environment)

    @contextmanager
    def credentials(self) -> Iterator[dict[str, str]]:
        """Environment variables by which git reaches the repository; the key goes no further than an agent's memory."""
        hosts, key = self.build.at.build_cache / "known_hosts", self.build.deploy_key
        checking = "accept-new"
        if self.build.settings.known_hosts:
            hosts, checking = hosts.with_suffix(".given"), "yes"
            write(hosts, self.build.settings.known_hosts.strip() + "\n", 0o644)
        ssh = f"ssh -F none -o BatchMode=yes -o StrictHostKeyChecking={checking} -o UserKnownHostsFile={hosts}"
        environment = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": ssh}
        if not key:
            yield environment
            return
        directory = self.build.at.lock.with_suffix(".ssh")
        try:
            with self.build.host.ssh_agent(self.build.at.app, key, directory) as sock:
                yield {**environment, "SSH_AUTH_SOCK": str(sock)}
        except ValueError as error:
            raise ReleaseError(
                "fetch", f"flask_deploy_keys.{self.build.at.app} is not a key that ssh-add takes", str(error)
            ) from error

    def fetch(self, code: Path) -> tuple[int, str]:
        with self.credentials() as environment:
            status, said = self.mirror(environment)
            if status:
                return status, said
            if self.git(environment, "-C", self.repository, "cat-file", "-e", f"{self.commit}:.gitmodules")[0]:
                command = 'git -C "$1" archive --format=tar "$2" | tar -x --no-same-owner'
                return self.build.as_app(
                    "bash", "-o", "pipefail", "-c", command, "sh", self.repository, self.commit, cwd=code
                )
            return self.check_out_with_submodules(code, environment)

    def mirror(self, environment: Mapping[str, str]) -> tuple[int, str]:
        """Bring the commit into the app's copy of the repository."""
        if not Path(self.repository).exists():
            status, said = self.git(environment, "init", "--quiet", "--bare", self.repository)
            if status:
                return status, said
        if not self.git(environment, "-C", self.repository, "cat-file", "-e", f"{self.commit}^{{commit}}")[0]:
            return 0, ""
        return self.git(
            environment, "-C", self.repository, "fetch", "--quiet", "--prune", "--force", self.url, "+refs/*:refs/*"
        )

    def check_out_with_submodules(self, code: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """`git archive` leaves submodules out, so check the work tree out, and take git's own files away."""
        at = ("-C", str(code))
        for arguments in (
            ("init", "--quiet"),
            ("remote", "add", "origin", self.url),
            ("fetch", "--quiet", "--no-tags", self.repository, self.commit),
            ("checkout", "--quiet", "FETCH_HEAD"),
            ("submodule", "--quiet", "update", "--init", "--recursive"),
        ):
            status, said = self.git(environment, *at, *arguments)
            if status:
                return status, said
        return self.build.as_app("find", ".", "-name", ".git", "-prune", "-exec", "rm", "-rf", "{}", "+", cwd=code)


class Sent:
    """What the controller has sent: its working directory, or an archive of its own."""

    on_host = False

    def __init__(self, tree: str, name: str, build: Builder, strip: bool) -> None:
        self.tree, self.name, self.build, self.strip = tree, name, build, strip

    def resolve(self) -> str:
        return self.tree

    def version(self, resolved: str) -> str:
        return self.name if "(" in self.name else f"{self.name} ({resolved[:10]})"

    def fetch(self, code: Path) -> tuple[int, str]:
        return self.build.unpack(self.build.spec.archive, code, strip=self.strip)


class Archive:
    """An archive that the host downloads; its checksum says which one."""

    on_host = True

    def __init__(self, url: str, checksum: str, build: Builder) -> None:
        self.url, self.checksum, self.build = url, checksum, build

    def resolve(self) -> str:
        return self.checksum

    def version(self, resolved: str) -> str:
        return f"{self.url.rpartition('/')[2]} ({resolved[:10]})"

    def fetch(self, code: Path) -> tuple[int, str]:
        packed = self.build.scratch("download") / "archive"
        status, said = self.build.as_app(
            "/usr/bin/python3", "-c", DOWNLOAD, self.url, str(packed), self.checksum, cwd=code, seconds=FETCH_SECONDS
        )
        return (status, said) if status else self.build.unpack(str(packed), code, strip=True)


class Package:
    """A package of the index, pinned. There is no code beside what the installer puts into the environment."""

    on_host = True

    def __init__(self, requirement: str) -> None:
        self.requirement = requirement

    def resolve(self) -> str:
        return self.requirement

    def version(self, resolved: str) -> str:
        return resolved

    def fetch(self, code: Path) -> tuple[int, str]:
        del code
        return 0, ""
