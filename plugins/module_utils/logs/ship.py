# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feeds a journal to a command, batch by batch, from where the last delivered batch ended.

The cursor of a batch is kept once the command has taken it. So a batch may be handed over twice when the host or this
program is killed in between, and no line is left out while the journal has it: where a command does not take a batch,
it is read again from the journal later.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..common import files
from .batch import FORM, Batch, Lines, cursor_of
from .config import HOST
from .delivery import deliver

JOURNALCTL = "/usr/bin/journalctl"
GATHER_SECONDS = 2.0  # from the first line of a batch until it is handed over
LONGEST_DELAY = 60.0  # between two attempts
REMIND_SECONDS = 3600.0  # between two messages about a command that goes on failing


class ShipError(Exception):
    """What keeps the program from working at all."""


def arguments(name: str) -> tuple[str, ...]:
    """How journalctl is told which journal, and how to print it."""
    which = () if name == HOST else (f"--namespace={name}",)
    return (JOURNALCTL, *which, "--quiet", "--output=json", "--all")


def notify(text: str) -> None:
    """Tell systemd, if it has started this."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        sock.send(text.encode())


def say(level: int, text: str) -> None:
    """A line for the host's journal."""
    sys.stderr.write(f"<{level}>{text}\n")
    sys.stderr.flush()


@dataclass
class Cursor:
    """Where the last delivered batch ended, in a file."""

    file: Path

    def read(self) -> str:
        """Its text; empty where there is none, or none that journalctl would take."""
        found = files.read_text(self.file).strip()
        return found if re.fullmatch(FORM, found) else ""

    def write(self, cursor: str) -> None:
        """Keep it, safe on the disk, without a change of owner: the sandbox refuses that."""
        written = self.file.with_name("cursor.new")
        with written.open("w") as stream:
            stream.write(cursor + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        written.replace(self.file)


@dataclass
class Shipper:
    """Ships one journal.

    :ivar name: of the journal.
    :ivar command: the user's.
    :ivar stop: set when the program is to end; ``wake`` can be read from then on.
    """

    name: str
    command: str
    cursor: Cursor
    stop: threading.Event = field(default_factory=threading.Event)
    wake: tuple[int, int] = field(default_factory=os.pipe)
    clock: Callable[[], float] = time.monotonic
    failing_since: float | None = None
    reminded: float = 0.0

    def end(self, *_signal: object) -> None:
        """Have it end once the batch under way is dealt with."""
        self.stop.set()
        os.write(self.wake[1], b".")

    def run(self) -> None:
        """Ship until told to stop.

        :raises ShipError: when journalctl does not work.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.end)
        if not self.cursor.read():
            self.begin_now()
        # Not before: what is logged from then on is shipped.
        notify("READY=1\nSTATUS=Lines are delivered.")
        delay = 1.0
        while not self.stop.is_set():
            if self.follow():
                continue
            self.pause(delay)
            delay = min(2 * delay, LONGEST_DELAY) if self.failing_since is not None else 1.0

    def begin_now(self) -> None:
        """Begin behind the last line that is there: what was logged before is not shipped."""
        argv = (*arguments(self.name), "--lines=1")
        last = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        if found := cursor_of(last.stdout):
            self.cursor.write(found)

    def follow(self) -> bool:
        """Read the journal from the cursor on and deliver, until a batch is not taken (false) or the end is asked for.

        While a command fails, no journalctl runs: it would keep files open that journald has removed to free space.
        """
        after = self.cursor.read()
        where = (f"--after-cursor={after}",) if after else ()
        with subprocess.Popen(
            (*arguments(self.name), "--follow", "--no-tail", *where),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as reader:
            try:
                for batch in self.batches(reader):
                    if not self.hand_over(batch):
                        return False
            finally:
                reader.kill()
            if not self.stop.is_set():
                printed = reader.stderr.read(2000).decode(errors="replace") if reader.stderr else ""
                raise ShipError(f"journalctl has ended: {printed.strip() or 'it printed no reason'}")
        return True

    def batches(self, reader: subprocess.Popen[bytes]) -> Iterator[Batch]:
        """The batches of what journalctl prints, each as soon as it is full or old enough."""
        lines, batch, due = Lines(), Batch(), 0.0
        if reader.stdout is None:
            raise ShipError("journalctl was started without a pipe")
        with selectors.DefaultSelector() as selector:
            selector.register(reader.stdout, selectors.EVENT_READ)
            selector.register(self.wake[0], selectors.EVENT_READ)
            while not self.stop.is_set():
                wait = max(0.0, due - self.clock()) if batch.lines else None
                ready = [key.fileobj for key, _events in selector.select(wait)]
                if reader.stdout in ready:
                    chunk = os.read(reader.stdout.fileno(), 65536)
                    if not chunk:
                        return
                    due = due if batch.lines else self.clock() + GATHER_SECONDS
                    batch.add(lines.add(chunk))
                if batch.lines and (batch.is_full or self.clock() >= due):
                    yield batch
                    batch = Batch()

    def hand_over(self, batch: Batch) -> bool:
        """Deliver a batch and keep its cursor; whether the command has taken it."""
        environment = {**os.environ, "JOURNAL": self.name}
        reason = deliver(self.command, b"".join(batch.lines), environment)
        if reason:
            self.report_failure(reason)
            return False
        if batch.cursor:
            self.cursor.write(batch.cursor)
        if self.failing_since is not None:
            say(5, f"The journal of {self.name} is shipped again, after {self.clock() - self.failing_since:.0f} s.")
            notify("STATUS=Lines are delivered.")
            self.failing_since = None
        return True

    def report_failure(self, reason: str) -> None:
        """Say that the command has failed, once, and once an hour while it goes on failing."""
        now = self.clock()
        if self.failing_since is None:
            self.failing_since, self.reminded = now, now - REMIND_SECONDS
            notify(f"STATUS=Not delivered since {time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime())}: {reason}")
        if now - self.reminded >= REMIND_SECONDS:
            self.reminded = now
            say(
                3,
                f"The command that ships the journal of {self.name} has failed ({reason}). Its lines are kept as long "
                "as the journal has them, and are offered again; nothing is to be done once the receiver is back.",
            )

    def pause(self, seconds: float) -> None:
        """Wait, or until told to stop."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake[0], selectors.EVENT_READ)
            selector.select(seconds)
