# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Back up the sets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from ..common import clock
from ..common.text import escaped
from .commands import shell
from .config import BackupSet, Config, Repository
from .errors import BackupError, limited, say
from .losses import compare_with_last
from .private import clear
from .restic import Restic
from .space import MEBIBYTE, need_space, shown_size
from .stage import Stage
from .status import Status, save_status


class SetBackup:
    """The backup of one set. Whatever its data or its commands do is the error of this set: the others go on.

    :ivar problems: what went wrong.
    """

    def __init__(self, item: BackupSet, status: Status) -> None:
        self.item, self.record = item, status.of_set(item.name)
        self.stage = Stage(status.config, item)
        self.seconds = item.timeout or status.config.set_timeout
        self.problems: list[str] = []

    def make(self, repositories: Sequence[Restic]) -> None:
        """Make a snapshot in each of these repositories, and remember what came of it."""
        began = time.monotonic()
        try:
            if self.attempt(self.prepare, "preparing it"):
                for restic in () if self.item.vacant else repositories:
                    self.attempt(partial(self.save, restic), f"saving it in {restic.repository.name}")
        finally:
            self.attempt(self.stage.remove, "removing the copies of its databases")
            for command in self.item.after:
                self.attempt(partial(shell, command, self.item, "after", self.seconds), f"`{command}`")
        for warning in self.stage.warnings:
            say(f"WARNING: {self.item.name}: {warning}")
        self.record.update(
            warnings=self.stage.warnings, attempted=clock.timestamp(), seconds=round(time.monotonic() - began, 1)
        )

    def attempt(self, work: Callable[[], None], what: str) -> bool:
        """Do one step within the time limit of the set; False, with a problem, when it fails in whatever way."""
        try:
            with limited(self.seconds, what):
                work()
        except BackupError as error:
            self.problems.append(str(error))
        except Exception as error:
            self.problems.append(escaped(f"{what}: {type(error).__name__}: {error}"))
        else:
            return True
        return False

    def prepare(self) -> None:
        """Run the commands that come before, and copy the databases."""
        for command in self.item.before:
            shell(command, self.item, "before", self.seconds)
        self.stage.fill(self.seconds)

    def save(self, restic: Restic) -> None:
        """Make a snapshot in one repository."""
        name = restic.repository.name
        last = self.record["repositories"].get(name) or {}
        if restic.repository.directory:
            need_space(restic.repository.directory, 2 * last.get("added", 0) + 64 * MEBIBYTE, "the snapshot")
        done = restic.backup(self.item, self.stage)
        self.record["repositories"][name] = done
        compare_with_last(self.record, done, restic.repository, self.stage)
        say(
            f"{self.item.name}: snapshot {done['snapshot']} in {name}, {done['files']} files, "
            f"{shown_size(done['size'])}, {shown_size(done['added'])} of it new"
        )


def run(config: Config, names: Sequence[str], lock: int, only_missing: bool = False) -> tuple[bool, list[str]]:
    """Back up these sets (or all) and remove the snapshots that the retention no longer keeps.

    :param only_missing: back up only what has no snapshot yet, and remove nothing; names that are unknown were refused.
    :returns: whether anything was done, and what went wrong.
    """
    status = Status(config)
    wanted = missing(status, config.chosen_sets(names, some=only_missing), only_missing)
    if not wanted:
        return False, []
    clear(config.state / "drill")
    used = {name for _item, places in wanted for name in places}
    opened, failed = opened_repositories(status, [each for each in config.repositories if each.name in used], lock)
    problems, unsaved = list(failed.values()), []
    for item, places in wanted:
        backup = SetBackup(item, status)
        if usable := [opened[name] for name in places if name in opened]:
            backup.make(usable)
        unopened = [failed[name] for name in places if name in failed]
        status.of_set(item.name)["error"] = "; ".join(unopened + backup.problems) or None
        problems += [f"{item.name}: {problem}" for problem in backup.problems]
        if unopened or backup.problems:
            unsaved.append(item.name)
        problems += save_status(status)
    if not only_missing:
        problems += forget_old(opened.values())
    if unsaved:
        problems.append(f"not saved, or not everywhere: {', '.join(unsaved)} (of {len(wanted)} sets)")
    return True, problems


def opened_repositories(
    status: Status, repositories: Sequence[Repository], lock: int
) -> tuple[dict[str, Restic], dict[str, str]]:
    """Open repositories: those that open, and why the others do not, by name."""
    opened, failed = {}, {}
    for repository in repositories:
        restic = Restic(status.config, repository, lock)
        try:
            restic.open(status)
            opened[repository.name] = restic
        except (BackupError, OSError) as error:
            failed[repository.name] = escaped(str(error))
    return opened, failed


def forget_old(opened: Iterable[Restic]) -> list[str]:
    """Remove the snapshots that the retention no longer keeps; what went wrong."""
    problems = []
    for restic in opened:
        if not restic.repository.prune:
            continue
        try:
            if restic.ended_early:
                restic.unlock()  # It left its lock.
            restic.forget()
        except (BackupError, OSError) as error:
            problems.append(escaped(str(error)))
    return problems


def missing(status: Status, items: Sequence[BackupSet], only_missing: bool) -> list[tuple[BackupSet, list[str]]]:
    """Each set with the repositories it has to go to: all of them, or those without a snapshot of it."""
    wanted = []
    for item in items:
        names = [
            repository.name
            for repository in status.config.repositories
            if not only_missing or status.success(item.name, repository) is None
        ]
        if names and not item.vacant:
            wanted.append((item, names))
    return wanted
