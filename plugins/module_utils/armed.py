# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change what can cut off the connection of a play, with a timer on the host that reverts it unless it is confirmed.

``begin`` arms the timer and applies the change; ``confirm``, which is to come by a connection that was opened after
that, disarms it and makes the change permanent; ``outcome`` waits for the end of a revert. Who renames the file
``pending.ID`` has the say: either the revert or the confirmation, never both.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils import commands
from ansible_collections.groundwork.flask.plugins.module_utils.common.files import make_directory, write
from ansible_collections.groundwork.flask.plugins.module_utils.common.locks import BusyError, locked
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import SYSTEMCTL, SYSTEMD_RUN

COMMAND_SECONDS = 60  # that confirming or systemctl may take
APPLY_SHARE = 2 / 3  # of the seconds, that applying may take: it must be at its end when the timer reverts
WAIT_SECONDS = 120  # for a change of the same name that another run has armed
KEPT_SECONDS = 600  # that the files of an attempt are kept, for the run that asks what came of it
STEP = 0.2  # seconds between two looks
NAME = r"[a-z][a-z0-9_-]{0,30}"

Run = Callable[..., subprocess.CompletedProcess[str]]  # of the arguments and the time limit

REVERT = """\
# Puts back what stood before the change "{name}", unless that was confirmed. Run by {unit}.timer.
cd {directory} || exit 1
mv pending.{serial} reverting.{serial} 2>/dev/null || exit 0
{revert} >output.{serial} 2>&1
echo $? >reverting.{serial}
mv reverting.{serial} reverted.{serial}
"""


class ArmedError(Exception):
    """A change that was not applied, or that could not be made permanent; the message says which, and what to do."""


@dataclass(frozen=True)
class Armed:
    """One attempt at a change.

    :param name: names the change and its timer, ``groundwork-NAME-revert``.
    :param serial: tells this attempt from others.
    :param run: runs a program: its argument vector and its time limit.
    :param root: where the directory of the change is made; of root alone, and gone after a reboot.
    """

    name: str
    serial: str
    run: Run = commands.execute
    root: Path = Path(on_host("runtime")) / "armed"

    @property
    def unit(self) -> str:
        """The transient unit, without its suffix."""
        return f"groundwork-{self.name}-revert"

    @property
    def directory(self) -> Path:
        """Where the attempts leave their files."""
        return self.root / self.name

    def file(self, state: str) -> Path:
        """The file that says so of this attempt."""
        return self.directory / f"{state}.{self.serial}"

    def begin(self, apply: Sequence[str], revert: Sequence[str], seconds: int) -> None:
        """Arm the timer, then apply the change.

        :param seconds: after which the timer reverts.
        :raises ArmedError: it was not applied, and what stood before is in force.
        """
        while True:
            self.wait_for_others()
            with self.alone():
                if not self.is_armed():  # else another run has been faster
                    self.arm(revert, seconds)
                    if problem := self.problem_of(apply, seconds * APPLY_SHARE):
                        self.revert_now(f"`{shlex.join(apply)}` failed: {problem}")
                    write(self.file("applied"), "", mode=0o600)
                    return

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other calls for this change waiting: one would take the file ``pending.ID`` of another for a left one.

        :raises ArmedError: another call has not ended in time.
        """
        try:
            with locked(self.root / ".locks" / self.name, WAIT_SECONDS):
                yield
        except BusyError as error:
            raise ArmedError(
                f"Another run is at the same change: {error}. Wait for its end; then run again."
            ) from error

    def script(self, revert: Sequence[str]) -> str:
        """What the timer runs."""
        return REVERT.format(
            name=self.name, unit=self.unit, directory=self.directory, serial=self.serial, revert=shlex.join(revert)
        )

    def arm(self, revert: Sequence[str], seconds: int) -> None:
        """Start the timer. Its default accuracy is a minute, which would be added to the seconds."""
        make_directory(self.directory, 0o700)
        for left in self.directory.iterdir():
            if left.name.startswith("pending.") or time.time() - left.stat().st_mtime > KEPT_SECONDS:
                left.unlink()
        write(self.file("revert"), self.script(revert), mode=0o700)
        write(self.file("pending"), "", mode=0o600)
        problem = self.problem_of(
            [
                SYSTEMD_RUN,
                "--quiet",
                "--collect",
                f"--unit={self.unit}",
                f"--description=Revert the change {self.name} unless it is confirmed",
                f"--on-active={seconds}",
                "--timer-property=AccuracySec=100ms",
                "/bin/sh",
                str(self.file("revert")),
            ]
        )
        if problem:
            self.file("pending").unlink(missing_ok=True)
            raise ArmedError(
                f"The timer {self.unit} could not be started: {problem}. Nothing was changed. If another run is under "
                "way, wait for its end; then run again."
            )

    def wait_for_others(self) -> None:
        """Wait until an earlier attempt, of a run that was killed or of one that is under way, has come to its end."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.is_armed():
            if time.monotonic() > deadline:
                raise ArmedError(
                    f"The timer {self.unit} of another run was still armed after {WAIT_SECONDS} s. Nothing was "
                    f"changed. Look at `systemctl list-timers {self.unit}.timer`, and run again."
                )
            time.sleep(STEP)

    def is_armed(self) -> bool:
        """Whether a timer of this name waits, or what it started runs."""
        argv = [SYSTEMCTL, "show", "--property=ActiveState", "--value", f"{self.unit}.timer", f"{self.unit}.service"]
        states = set(self.run(argv, COMMAND_SECONDS).stdout.split())
        return bool(states & {"active", "activating", "deactivating", "reloading"})

    def revert_now(self, reason: str) -> None:
        """Revert without waiting for the timer.

        :raises ArmedError: always.
        """
        self.problem_of(["/bin/sh", str(self.file("revert"))])
        self.disarm()
        raise ArmedError(f"{reason}. {self.outcome(COMMAND_SECONDS)}")

    def confirm(self, confirm: Sequence[str]) -> str:
        """Disarm the timer and make the change permanent.

        :returns: ``confirmed``; ``reverted`` if the timer has been faster; ``absent`` if this attempt never began.
        :raises ArmedError: the change is in force, but could not be made permanent; or it was not applied to its end.
        """
        with self.alone():  # the call that applies it may have lost its connection, and not be at its end
            if self.file("pending").exists() and not self.file("applied").exists():
                self.revert_now("The change was not applied to its end")
        if not self.file("confirmed").exists():  # else the answer to an earlier confirmation was lost
            try:
                self.file("pending").rename(self.file("confirmed"))
            except FileNotFoundError:
                return "reverted" if self.file("applied").exists() else "absent"
        self.disarm()
        if problem := self.problem_of(confirm):
            raise ArmedError(
                f"The change is in force and lets connections in, but it is not permanent: `{shlex.join(confirm)}` "
                f"failed: {problem}. A reboot brings back what stood before. Remove the cause and run again."
            )
        return "confirmed"

    def disarm(self) -> None:
        """Stop the timer; where it has begun just now, its script finds that it has nothing to do."""
        self.run([SYSTEMCTL, "stop", f"{self.unit}.timer"], COMMAND_SECONDS)

    def outcome(self, seconds: float) -> str:
        """Wait until the timer has reverted; what came of it, as a sentence.

        :param seconds: how long to wait at most.
        """
        deadline = time.monotonic() + seconds
        while not self.file("reverted").exists() and time.monotonic() < deadline and self.directory.is_dir():
            time.sleep(STEP)
        return self.reverted_words()

    def reverted_words(self) -> str:
        """What became of the revert."""
        try:
            status = self.file("reverted").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return f"Whether the host has reverted is not known: look at `journalctl -u {self.unit}.service` there."
        if status == "0":
            return "The host has put back what stood before; what it loads at boot is unchanged."
        try:
            printed = self.file("output").read_text(encoding="utf-8", errors="replace")
        except OSError:
            printed = ""
        return (
            f"Putting back what stood before failed with status {status}: {commands.shown(printed) or 'no output'}. "
            "What the host loads at boot is unchanged, so a reboot brings it back."
        )

    def problem_of(self, argv: Sequence[str], seconds: float = COMMAND_SECONDS) -> str:
        """Run a command; what went wrong, or nothing."""
        try:
            result = self.run(argv, seconds)
        except commands.CommandError as error:
            return str(error)
        return commands.explain(result) if result.returncode else ""


def carry_out(step: str, options: Mapping[str, Any], armed: Armed) -> dict[str, Any]:
    """Carry out one step of the action plugin; what the module returns.

    :param step: ``begin``, ``confirm``, ``outcome``, or ``all`` for the first two at once.
    :param options: as the module takes them.
    :raises ArmedError: see the methods.
    """
    if step in ("begin", "all"):
        armed.begin(options["apply"], options["revert"], options["seconds"])
    if step in ("confirm", "all"):
        return {"changed": True, "state": armed.confirm(options["confirm"])}
    if step == "outcome":
        return {"changed": False, "outcome": armed.outcome(options["seconds"])}
    return {"changed": True, "state": "pending"}
