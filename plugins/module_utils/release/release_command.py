# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release command, such as a database migration: runs once for each release, after the databases were saved."""

from __future__ import annotations

from ..common.files import write
from ..common.systemd import TIMED_OUT
from .app_steps import AppSteps
from .context import Context
from .databases import SavedDatabases
from .errors import ReleaseError, tail
from .hints import runtime_hint


class ReleaseCommand:
    """The release command of one app, on this host."""

    def __init__(self, context: Context, steps: AppSteps, databases: SavedDatabases) -> None:
        self.context, self.spec, self.steps, self.databases = context, context.spec, steps, databases

    def is_due(self, release: str) -> bool:
        """Whether there is a command for this host to run that has not succeeded for this release yet."""
        wanted = self.spec.release_command and self.spec.run_release_command
        return bool(wanted) and not self.context.at.released(release).exists()

    def save(self, release: str, keep_copy: bool) -> None:
        """Save the app's databases before the command: by the app's own commands, and as copies of SQLite's files.

        :param keep_copy: keep a copy that an earlier try has made; a command that failed has changed the database
            since, so that copy is the good one.
        """
        for command in self.spec.save_commands:
            status, output = self.steps.in_release(
                "before", "/bin/sh", "-c", command, seconds=self.spec.release_command_timeout
            )
            if status:
                raise ReleaseError(
                    "save",
                    f"`{command}` (backup.before), which saves the database before `{self.spec.release_command}`, "
                    f"failed with exit status {status}",
                    tail(output),
                )
        if not (keep_copy and self.databases.is_saved(release)):
            self.databases.save(release)

    def run(self, release: str) -> None:
        """Run the command, and note its success."""
        command, seconds = self.spec.release_command, self.spec.release_command_timeout
        status, output = self.steps.in_release("command", "/bin/sh", "-c", command, seconds=seconds)
        if status:
            how = how_it_ended(status, seconds) + runtime_hint(self.context.app, output)
            raise ReleaseError("command", f"the release command `{command}` {how}", tail(output, 60))
        write(self.context.at.released(release), "", 0o644)


def how_it_ended(status: int, seconds: int) -> str:
    """How a command of the app's failed, to follow its name."""
    if status == TIMED_OUT:
        return f"was still at work after {seconds} s and was ended (release_command_timeout)"
    return f"failed with exit status {status}"
