# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acts on an app's database or Redis: steps that run as the app, and files that pass between them and root."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..common import on_host, paths
from ..common.files import make_directory
from ..common.systemd import Directives
from . import steps
from .config import BackupSet, Config
from .databases import parsed_lines, sha256
from .errors import BackupError
from .private import clear
from .space import MEBIBYTE

# A dump has one file, the append-only files of a Redis are a handful.
MOST_FILES = 64
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
ANSWER = 1 << 25  # bytes of a step's answer: the rows of a hundred thousand tables


def record(name: str, kind: str) -> dict[str, Any]:
    """How an app reaches its database or its Redis, as the role wrote it; raises BackupError where there is none.

    :param name: the app.
    :param kind: ``database`` or ``redis``.
    """
    path = on_host.path("services", name) / f"{kind}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise BackupError(
            f"this host has no {kind} for {name}: there is no {path}. Run the playbook groundwork.flask.site first."
        ) from None
    except (OSError, ValueError) as error:
        raise BackupError(f"{path} cannot be read: {error}") from error
    return found


class AsTheApp:
    """Runs steps as the app of a set, in a sandbox that has no network and sees nothing of root's.

    :ivar notes: what the operator should know of what was loaded.
    """

    def __init__(self, config: Config, item: BackupSet, seconds: float) -> None:
        self.config, self.item, self.seconds = config, item, seconds
        self.notes: list[str] = []
        try:
            self.account = pwd.getpwnam(item.user)
        except KeyError:
            raise BackupError(f"there is no user {item.user} on this host. Run the play that makes it.") from None

    def sandbox(self, *shared: Path, most: int = 0) -> Directives:
        """The sandbox of a step.

        :param shared: the directories of this program that it sees, and may write as far as they are the app's.
        :param most: bytes of the largest file that it may write; 0 for as much as is free.
        """
        free = shutil.disk_usage(self.config.state).free - 64 * MEBIBYTE
        places = (self.config.state, self.config.restored)  # Nothing else of these is seen.
        hidden = [place for place in places if any(path.is_relative_to(place) for path in shared)]
        return [
            *steps.STRICT,
            *steps.OFFLINE,
            *steps.account(self.account.pw_uid, self.account.pw_gid),
            ("LimitFSIZE", str(max(MEBIBYTE, min(most or free, free)))),
            *(("TemporaryFileSystem", f"{place}:ro") for place in hidden),
            *(("BindPaths", str(path)) for path in shared),
        ]

    def as_owner(self, argv: Sequence[str], sandbox: Directives) -> dict[str, Any]:
        """Run a step and return its answer, a line of JSON; raises BackupError with what it said."""
        status, output = steps.in_unit(argv, sandbox, self.seconds, b"", ANSWER)
        answers = list(parsed_lines(output))
        if status or not answers:
            output = " / ".join(output.strip().splitlines()[-3:])[-600:]
            raise BackupError(output or f"the step ended with {status} and printed nothing")
        return answers[-1]

    @contextmanager
    def outbox(self, name: str) -> Iterator[Path]:
        """A directory that the app writes into for the time of the block, and root takes files out of by `take`."""
        out = self.config.state / "stage" / f"out-{name}"
        clear(out)
        make_directory(out, 0o700)
        self.own(out)
        try:
            yield out
        finally:
            clear(out)

    def take(self, out: Path, target: Path) -> list[dict[str, Any]]:
        """Move what a step left into a directory of root's, and describe each file; anything else is an error."""
        descriptor = os.open(out, paths.DIRECTORY)
        try:
            os.fchown(descriptor, os.geteuid(), os.getegid())  # From here on the app can exchange nothing in it.
            names = sorted(os.listdir(descriptor))
            if not names or len(names) > MOST_FILES:
                raise BackupError(f"the step left {len(names)} files")
            return [self.take_one(descriptor, name, target) for name in names]
        finally:
            os.close(descriptor)

    def take_one(self, directory: int, name: str, target: Path) -> dict[str, Any]:
        """Move one file."""
        strange = BackupError(f"the step left something other than a copy: {name}")
        if not FILE.fullmatch(name):
            raise strange
        try:
            descriptor = paths.open_regular(directory, name)
        except OSError:
            raise strange from None
        try:
            made = os.fstat(descriptor)
            if made.st_nlink != 1 or made.st_uid != self.account.pw_uid:
                raise strange
            os.rename(name, target / name, src_dir_fd=directory)
            os.fchown(descriptor, os.geteuid(), os.getegid())
            os.fchmod(descriptor, 0o600)
            return {"name": name, "size": made.st_size, "sha256": sha256(descriptor)}
        finally:
            os.close(descriptor)

    def give(self, source: Path, files: Sequence[Mapping[str, Any]], target: Path) -> None:
        """Move restored files into a new directory of the app's; one that is not what was saved raises BackupError."""
        make_directory(target, 0o700)
        for file in files:
            with paths.parent_of(str(source / file["name"])) as (parent, name):
                try:
                    descriptor = paths.open_regular(parent, name)
                except OSError as error:
                    raise BackupError(f"the snapshot does not hold the file {name}: {error.strerror}") from error
                try:
                    if sha256(descriptor) != file["sha256"]:
                        raise BackupError(f"the restored {name} is not the file that was saved")
                    os.fchown(descriptor, self.account.pw_uid, self.account.pw_gid)
                    os.rename(name, target / name, src_dir_fd=parent)
                finally:
                    os.close(descriptor)
        self.own(target)

    def own(self, path: Path) -> None:
        """Give the app a directory that lies where only root enters."""
        os.chown(path, self.account.pw_uid, self.account.pw_gid)
