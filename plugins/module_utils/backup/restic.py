# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic, for one repository."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..common import clock, paths, programs
from ..common.files import make_parents
from ..common.programs import LongOutput
from . import links, steps
from .config import BackupSet, Config, Repository
from .errors import BackupError, limited
from .links import UNCONFINED, follow_no_link
from .private import private_directory
from .stage import Stage
from .status import Status, fingerprint

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
PLACES = "it is in backup_password, or in a file on the controller (backup_password_directory)"
# Calls of restic that move no data; a repository that hangs must not hold up the others for ever.
REPOSITORY_SECONDS = 900
PRUNE_SECONDS = 6 * 3600
LINKS = ("/usr/bin/python3", "-I", str(Path(links.__file__)))
# Longer lists of files that could not be read are not looked at.
MOST_UNREAD = 1000


class Restic:
    """restic for one repository.

    :param lock: descriptor of the lock, handed down so that an orphaned restic still holds it.
    """

    def __init__(self, config: Config, repository: Repository, lock: int | None = None) -> None:
        self.config, self.repository, self.lock = config, repository, lock
        self.ended_early = False
        self.environment = {
            **programs.ENVIRONMENT,
            **{name: os.environ[name] for name in PROXIES if name in os.environ},
            "RESTIC_PROGRESS_FPS": "0.1",
            "RESTIC_REPOSITORY": repository.location,
            "RESTIC_PASSWORD_FILE": str(config.password_file),
            "RESTIC_CACHE_DIR": str(config.cache),
            **repository.environment,
        }

    def call(self, *arguments: str, unfollowed: Sequence[str] = ()) -> LongOutput:
        """Run restic and return its output, whatever its exit status.

        :param unfollowed: paths below which it is to follow no link.
        """
        argv: Sequence[str] = (self.config.restic, *arguments)
        before = None
        if unfollowed and steps.own_unit():
            argv = (*LINKS, *unfollowed, "--", *argv)
        elif unfollowed:
            before = partial(follow_no_link, unfollowed)
        try:
            with steps.free(argv, self.environment, steps.RESTIC) as (client, environment, payload):
                return programs.run_to_files(
                    client,
                    private_directory(self.config.state),
                    environment=environment,
                    payload=payload,
                    pass_fds=() if self.lock is None else (self.lock,),
                    before=before,
                )
        except BackupError:
            self.ended_early = True
            raise
        except FileNotFoundError:
            raise BackupError(f"restic is not installed: there is no {self.config.restic}") from None

    def must(self, *arguments: str, seconds: float = 0) -> LongOutput:
        """Run restic; raises BackupError with its output when it fails, or when it takes longer than it may.

        :param seconds: 0 for as long as it takes.
        """
        with limited(seconds, f"restic {arguments[0]} in {self.repository.name}"):
            result = self.call(*arguments)
        if result.returncode:
            raise self.failure(arguments[0], result)
        return result

    def failure(self, verb: str, result: LongOutput) -> BackupError:
        """What a failed call means."""
        output = result.stderr.strip()
        if result.returncode == 12 or "wrong password" in output:
            return BackupError(
                f"the repository {self.repository.name} ({self.repository.shown}) was made with another password than "
                f"the one in {self.config.password_file}. Put the old one back: {PLACES}."
            )
        output = " / ".join(dict.fromkeys(output.splitlines()[-6:])) or f"exit status {result.returncode}"
        output = output.replace(self.repository.location, self.repository.shown)
        return BackupError(f"restic {verb} in {self.repository.name}: {output}")

    def unlock(self) -> bool:
        """Remove locks that crashed runs left; False when there is no repository. Anything else raises BackupError."""
        with limited(REPOSITORY_SECONDS, f"restic unlock in {self.repository.name}"):
            result = self.call("unlock")
        if result.returncode == 0:
            return True
        if is_absent(result):
            return False
        raise self.failure("unlock", result)

    def open(self, status: Status) -> None:
        """Make sure that the repository is there and opens; remember which password opened it."""
        record = status.of_repository(self.repository)
        if not self.unlock():
            directory = self.repository.directory
            if directory:
                make_parents(directory)
            self.must("init", seconds=REPOSITORY_SECONDS)
            if directory:
                os.chmod(directory, 0o700)
            if record.get("password"):
                record["recreated"] = clock.timestamp()
            for of_set in status.sets.values():
                of_set["repositories"].pop(self.repository.name, None)
                of_set["drills"].pop(self.repository.name, None)
        record["password"] = fingerprint(self.config)

    def snapshots(self, name: str = "") -> list[dict[str, Any]]:
        """The snapshots of this host, of one set or of all, oldest first."""
        chosen = ("--tag", name) if name else ()
        output = self.must("snapshots", "--json", "--host", self.config.host, *chosen, seconds=REPOSITORY_SECONDS)
        return sorted(json.loads(output.stdout) or [], key=lambda snapshot: clock.parse(snapshot["time"]))

    def backup(self, item: BackupSet, stage: Stage) -> dict[str, Any]:
        """Make one snapshot; an incomplete one is taken back and raises BackupError."""
        options = ("--json", "--tag", item.name, "--host", self.config.host, "--exclude-caches")
        result = self.call(
            "backup",
            *options,
            *("--files-from-raw", str(stage.listed_paths), "--exclude-file", str(stage.listed_excluded)),
            unfollowed=stage.unfollowed() if os.geteuid() == 0 else (),
        )
        summary = next((row for row in result.objects(result.out) if row.get("message_type") == "summary"), {})
        snapshot = str(summary.get("snapshot_id", ""))[:8]
        returncode = result.returncode
        if returncode == 3 and snapshot:
            errors = (row for row in result.objects(result.err) if row.get("message_type") == "error")
            unread = [str(row.get("item", "")) for row in itertools.islice(errors, MOST_UNREAD)]
            if 0 < len(unread) < MOST_UNREAD and not any(map(is_there, unread)):
                returncode = 0  # Files that went away in the meantime are no failure.
            else:
                self.call("forget", snapshot)
        if returncode or not snapshot:
            raise self.failure("backup", result)
        if result.stderr.startswith(UNCONFINED):
            stage.warn(f"this host cannot keep a program from following links: {result.stderr.splitlines()[0]}")
        return {
            "time": clock.timestamp(),
            "snapshot": snapshot,
            "size": summary["total_bytes_processed"],
            "files": summary["total_files_processed"],
            "added": summary["data_added"],
        }

    def forget(self) -> None:
        """Remove snapshots that the retention no longer keeps; only those of the sets of this host."""
        tags = [option for item in self.config.sets for option in ("--tag", item.name)]
        keep = [f"--keep-{key}={value}" for key, value in self.config.keep.items() if value]
        if tags and keep:
            options = ("--quiet", "--host", self.config.host, *tags, "--group-by", "host,tags", *keep, "--prune")
            self.must("forget", *options, seconds=PRUNE_SECONDS)


def is_there(path: str) -> bool:
    """False for a path that nothing is at any more; true also where that cannot be determined."""
    try:
        return paths.status_of(path) is not None
    except OSError:
        return True


def is_absent(result: LongOutput) -> bool:
    """True when restic failed because there is no repository; 0.14 has one exit status for everything."""
    return result.returncode == 10 or "Is there a repository at the following location" in result.stderr
