# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The setup command, which makes an app's first tables or its first user: runs once in the life of an app's data.

That it ran is recorded twice. Root's record on the host counts there. A file in the data directory goes where the data
go, so that a restore onto a new host does not set up what is set up already. An app that removes that file affects
only itself.
"""

from __future__ import annotations

import json
import shlex
import stat
from pathlib import Path
from typing import Any

from ..common import trees
from ..common.clock import timestamp
from ..common.files import make_directory, read_json, write
from .app_steps import AppSteps
from .context import Context
from .errors import ReleaseError, tail
from .hints import runtime_hint
from .release_command import how_it_ended

# In the data directory, once the command has succeeded.
MARK = ".groundwork-setup"
SCRIPT = f'/bin/sh -c "$1" || exit; : >"$DATA_DIR/{MARK}"'


class SetupCommand:
    """The setup command of one app, on this host."""

    def __init__(self, context: Context, steps: AppSteps) -> None:
        self.context, self.steps, self.at = context, steps, context.at
        self.data = self.at.root / self.at.data[1:]
        self.command = context.spec.setup_command if context.spec.run_release_command else ""

    def is_due(self, begun: bool = False) -> bool:
        """Whether it is to run: it never succeeded, and what there is of the app on this host needs it.

        :param begun: whether the deploy that it is for has begun.
        """
        state = self.state()
        return bool(self.command) and (state == "begun" or (not state and not self.objection(begun)))

    def state(self) -> str:
        """How far it has come: begun, done, left out; "" without a record. A run that was killed may have succeeded."""
        state = str(self.record().get("state", ""))
        return "done" if state == "begun" and trees.is_file(self.data, MARK) else state

    def run_once(self, release: str) -> None:
        """Run it if it is due; else say why not, once.

        :raises ReleaseError: it failed; the next deploy runs it again.
        """
        if not self.command:
            return
        if self.is_due(begun=True):
            self.run(release)
        elif not (state := self.state()):
            self.context.warnings.append(f"setup_command was not run: {self.objection(begun=True)}. {self.by_hand()}")
            self.write("left out", release)
        elif (changed := self.changed()) or state != self.record()["state"]:
            self.context.notices.extend(filter(None, [changed]))
            self.write(state, release)

    def run(self, release: str) -> None:
        """Run it. A run that is cut off has begun and not ended."""
        self.write("begun", release)
        seconds = self.context.spec.release_command_timeout
        status, output = self.steps.in_release("setup", "/bin/sh", "-c", SCRIPT, "sh", self.command, seconds=seconds)
        if status:
            how = how_it_ended(status, seconds)
            hint = runtime_hint(self.context.app, output)
            message = f"the setup command `{self.command}` {how}; the next deploy runs it again{hint}"
            raise ReleaseError("setup", message, tail(output, 60))
        self.write("done", release)

    def changed(self) -> str:
        """What to tell of a command that is another one than that which ran; "" of the same."""
        known = self.record().get("command", self.command)
        if not self.command or known == self.command:
            return ""
        return f"setup_command has changed, and is not run again, for it runs once. {self.by_hand()}"

    def objection(self, begun: bool) -> str:
        """Why an app without a record is not to be set up, for it or its data was in use before; "" for a new one."""
        events = [event["event"] for event in self.context.ledger.events()]
        if "live" in events:
            return f"{self.context.app} has been live on this host before"
        if trees.is_file(self.data, MARK):
            return f"the data in {self.at.data} have been set up before"
        # What an earlier deploy has left that did not get as far as to be live is no data yet.
        if events.count("begin") <= begun and has_files(self.data):
            return f"there are data in {self.at.data} already"
        return ""

    def by_hand(self) -> str:
        """How to run it nevertheless."""
        return f"If it is to run, do so by `{self.context.app} run sh -c {shlex.quote(self.command)}`"

    def record(self) -> dict[str, Any]:
        """What is recorded on the host: ``state`` (begun, done, left out), ``command``, and when; or nothing."""
        return read_json(self.at.setup)

    def write(self, state: str, release: str) -> None:
        """Record it, readable by root alone: a command may hold a password."""
        make_directory(self.at.setup.parent)
        record = {"state": state, "command": self.command, "release": release, "time": timestamp()}
        write(self.at.setup, json.dumps(record, indent=1) + "\n", 0o600)


def has_files(data: Path) -> bool:
    """Whether there is a file in a tree that an app can write; directories alone are what the host has made for it."""
    return any(stat.S_ISREG(item.status.st_mode) for item in trees.Walk([str(data)]))
