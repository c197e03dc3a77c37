# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of an app's SQLite databases, made before a release command and put back by a rollback."""

from __future__ import annotations

import inspect
import os
import pwd
from pathlib import Path

from ..common import sqlite, trees
from ..common.files import make_directory
from .app_steps import AppSteps
from .context import Context
from .errors import ReleaseError, tail


class SavedDatabases:
    """The copies of one app's databases, by the release whose command they were made before."""

    def __init__(self, context: Context, steps: AppSteps) -> None:
        self.context, self.steps, self.at = context, steps, context.at

    def save(self, release: str) -> None:
        """Copy the databases in place of an earlier copy for this release."""
        target = self.at.saved / release
        trees.remove(target)
        make_directory(target, 0o700)
        for parent in (self.at.saved, self.at.saved.parent):
            parent.chmod(0o711)
        status, output = self.run_sqlite(target, "save", self.at.data, str(target))
        if status:
            command = self.context.spec.release_command
            raise ReleaseError("save", f"the databases could not be saved before `{command}`", tail(output))

    def exchange(self, how: str, saved: Path, stamp: str) -> None:
        """Put copies back (``restore``), or what was there before (``undo``); see ``common.sqlite``."""
        status, output = self.run_sqlite(saved, how, self.at.data, str(saved), stamp)
        if status:
            raise ReleaseError("restore", f"the saved databases could not be put back ({how})", tail(output))

    def run_sqlite(self, saved: Path, *arguments: str) -> tuple[int, str]:
        """Run ``common.sqlite`` as the app, which can see the copies for that time and owns them."""
        account = pwd.getpwnam(self.context.app)
        trees.take(saved, account.pw_uid, account.pw_gid, files_only=True)
        try:
            return self.steps.execute(
                arguments[0], "/usr/bin/python3", "-I", "-c", inspect.getsource(sqlite), *arguments,
                seconds=self.context.spec.release_command_timeout, environment={"LANG": "C.UTF-8"}, writable=[saved],
            )  # fmt: skip
        finally:
            trees.take(saved, os.geteuid(), os.getegid(), files_only=True)
            make_directory(saved, 0o700)
