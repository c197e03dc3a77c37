# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How git reaches private repositories: known hosts, and an SSH key that is written nowhere.

Only steps that fetch, and so run no third-party code, get at the agent that holds the key.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..common import trees
from ..common.files import make_directory, write
from ..common.text import printable
from .errors import ReleaseError, tail

if TYPE_CHECKING:
    from .build import Builder

FETCH_SECONDS = 1800
NO_AGENT = 2  # ssh-add's exit status where no agent answers


class GitAccess:
    """Runs steps that fetch by git, into the cache of what is fetched."""

    def __init__(self, build: Builder) -> None:
        self.build = build

    def step(
        self, name: str, environment: Mapping[str, str], *argv: str, url: str, cwd: Path = Path("/")
    ) -> tuple[int, str]:
        """Run a step that may use the network and the cache; its exit status and output.

        :param environment: of :meth:`credentials`.
        :param url: of the repository, which may be a directory of the host.
        """
        path = Path(url.removeprefix("file://"))
        hosts = self.build.at.build_cache / "known_hosts"
        readable = [*([path] if path.is_absolute() else []), *([hosts] if hosts.exists() else [])]
        return self.build.execute(
            name, *argv, cwd=cwd, seconds=FETCH_SECONDS, environment=environment, cache=self.build.at.source_cache,
            readable=readable,
        )  # fmt: skip

    def remedy(self, output: str) -> str:
        """What to do about a repository that cannot be read.

        :param output: what git printed.
        """
        app = self.build.at.app
        if "Host key verification failed" in output:
            return "put the lines that `ssh-keyscan` prints of its host into release_known_hosts, if they are right"
        if re.search(
            r"\b(ssh|git): (command )?not found|cannot run ssh|No such file or directory: '/usr/bin/git'", output
        ):
            return f"add git and openssh-client to flask_apps.{app}.packages and run groundwork.flask.site"
        if found := re.search(r"dubious ownership in repository at '([^'\n]+)'", output):
            repository = shlex.quote(printable(found[1]))
            return f"it is another account's: run `git config --system --add safe.directory {repository}` on the host"
        if self.build.deploy_key and "could not read Username" in output:
            return "a deploy key is for SSH: write its address as git@host:path or ssh://git@host/path"
        if self.build.deploy_key:
            return "see that the key in flask_deploy_keys may read it"
        return "is the address right? For a private one, put a deploy key into flask_deploy_keys"

    @contextmanager
    def credentials(self) -> Iterator[dict[str, str]]:
        """Environment variables by which git reaches the repository; the key goes no further than an agent's memory."""
        build = self.build
        hosts, key = build.at.source_cache / "known_hosts", build.deploy_key
        checking = "accept-new"
        if build.settings.known_hosts:
            hosts, checking = build.at.build_cache / "known_hosts", "yes"
            write(hosts, build.settings.known_hosts.strip() + "\n", 0o644)
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
        make_directory(directory, 0o700)
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
                status = NO_AGENT  # its socket is there some moments before it listens
                while status == NO_AGENT:
                    memory.seek(0)
                    status, output = build.execute(
                        "key", "/usr/bin/ssh-add", "-q", "-", cwd=Path("/"), stdin=memory, cache=cache,
                        environment={"SSH_AUTH_SOCK": str(sock)},
                    )  # fmt: skip
                    if time.monotonic() > until:
                        break
                if status:
                    raise ReleaseError(
                        "fetch", f"flask_deploy_keys.{build.at.app} is not a key that ssh-add takes", tail(output)
                    )
                yield sock
        finally:
            build.own.remove(directory)
            trees.remove(directory)
