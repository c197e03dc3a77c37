# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb ``deliver``: send what waits in the outbox, to each receiver in a process of its own.

A process has a time limit and is killed after it, so that a receiver that hangs holds up no other. What could not be
sent stays in the outbox, and the receiver pauses; the look starts this again when something is due. A process that is
killed between sending and noting that sends twice, and loses nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..common import clock
from ..common.programs import run, time_limit
from ..common.systemd import SYSTEMCTL
from . import outbox, receivers
from .message import Message, compose
from .outbox import State
from .receivers import COMMANDS, NETWORK, Receiver, Settings
from .sending import SendError, send, without_secrets

Sender = Callable[[Receiver, Message], str]
SECONDS = {NETWORK: 10, COMMANDS: 40}  # of one attempt; a command has 30 s of its own
GRACE = 5  # seconds, after which a process that did not heed its limit is killed
PAUSES = (30, 60, 120, 300, 900)  # seconds after the first, second, … failure
MOST_ROUNDS = 5  # messages of one run to one receiver
POLL = 0.05  # seconds


@dataclass
class Delivery:
    """The delivery to one receiver.

    :ivar directory: of the outbox, for receivers of its kind.
    :ivar now: the present time, asked when it is needed.
    """

    receiver: Receiver
    settings: Settings
    directory: Path
    sender: Sender = send
    now: Callable[[], float] = clock.now

    def is_due(self) -> bool:
        """Whether something is to be sent now."""
        waiting = outbox.names(self.directory).get(self.receiver.name, [])
        if any(outbox.severity_of(name) == "test" for name in waiting):
            return True
        now = self.now()
        state = outbox.read_state(self.directory, self.receiver.name)
        return bool(outbox.sendable(waiting, self.settings, now, state)) and not state.pauses(now)

    def work(self) -> None:
        """Send what waits: the tests, or one message of everything else."""
        waiting = self.waiting()
        tests = [name for name in waiting if outbox.severity_of(name) == "test"]
        if tests:
            self.test(tests)
        else:
            self.deliver(waiting)

    def waiting(self) -> list[str]:
        """What waits, oldest first."""
        return outbox.names(self.directory).get(self.receiver.name, [])

    def give_up_old(self, tried: Sequence[str]) -> list[str]:
        """Give up what has waited too long, of what was tried in vain just now; what goes on waiting.

        What was not tried is kept: a clock that was wrong for a while makes a new message look old.
        """
        limit = self.now() - self.settings.keep
        old = [name for name in tried if outbox.put_at(name) < limit]
        if old:
            outbox.remove(self.directory, old)
            self.say(f"messages that waited longer than watch_alerts_keep, and were given up: {len(old)}")
        return [name for name in tried if name not in old]

    def deliver(self, waiting: Sequence[str]) -> None:
        """Send one message of all that waits, unless the receiver pauses or has had enough."""
        state, now = outbox.read_state(self.directory, self.receiver.name), self.now()
        ready = outbox.sendable(waiting, self.settings, now, state)
        if not ready or state.pauses(now):
            return
        each = outbox.read_each(self.directory, ready)
        changes = [change for of_one in each.values() for change in of_one]
        message = compose(changes)
        if message is None:
            self.failed(state, SendError(f"{len(ready)} of its messages cannot be read."))
            return
        problem = self.attempt(message)
        if isinstance(problem, SendError):
            self.failed(state, problem)
            outbox.condense(self.directory, self.give_up_old(ready))
            return
        outbox.remove(self.directory, each)
        self.say(f"sent: {message.subject}")
        self.sent(state, problem, {change.condition.subject for change in changes})
        outbox.supersede(self.directory, [name for name in waiting if name not in ready], changes)

    def test(self, tests: Sequence[str]) -> None:
        """Send a test message, and say what came of it; when it is sent, what waits follows."""
        message = compose(outbox.read(self.directory, tests))
        outbox.remove(self.directory, tests)  # at once: one attempt
        if message is None:
            return
        state, begun = outbox.read_state(self.directory, self.receiver.name), message.entries[-1].change.time
        problem = self.attempt(message)
        state.test = {"time": begun, "error": str(problem)}
        if isinstance(problem, SendError):
            self.failed(state, problem)
        else:
            self.sent(state, problem, ())

    def attempt(self, message: Message) -> SendError | str:
        """Send it within the time limit; a text is a problem of a message that was sent, mostly empty."""
        seconds = SECONDS[self.receiver.kind]
        try:
            with time_limit(seconds):
                return self.sender(self.receiver, message)
        except SendError as error:
            return error
        except TimeoutError:
            return SendError(f"It did not answer within {seconds} s.")

    def failed(self, state: State, error: SendError) -> None:
        """Note a failed attempt, and pause."""
        now = self.now()
        pause = max(error.pause, PAUSES[min(state.failures, len(PAUSES) - 1)])
        state.failing_since = state.failing_since if state.failures else now
        state.failures, state.error, state.refused = state.failures + 1, str(error), error.refused
        state.attempted, state.next = now, now + pause
        outbox.write_state(self.directory, self.receiver.name, state)
        self.say(f"{str(error).rstrip('.')}. The next attempt is made in {pause:.0f} s")

    def sent(self, state: State, problem: str, subjects: Iterable[str]) -> None:
        """Note that a message was sent, and what it was about."""
        now = self.now()
        state = replace(state, failures=0, failing_since=0.0, error="", refused=False, next=0.0, attempted=now)
        state.note_sent(subjects, now, self.settings.per_hour)
        if len(state.sent) == self.settings.per_hour:
            at = clock.timestamp(state.sent[0] + outbox.HOUR)
            self.say(f"{len(state.sent)} messages within an hour: what is beyond comes as one, at {at}")
        if problem:  # one of several recipients: a condition at once
            state = replace(state, failures=1, failing_since=now, error=problem, refused=True)
            self.say(problem)
        outbox.write_state(self.directory, self.receiver.name, state)

    def say(self, text: str) -> None:
        """A line for the journal."""
        sys.stderr.write(f"{self.receiver.name}: {without_secrets(text, self.receiver.options)}\n")


def ping(settings: Settings, directory: Path, now: Callable[[], float] = clock.now) -> None:
    """Ask the ping's URL; nothing is said of a failure until it lasts."""
    from .send_http import ask

    state, options = outbox.read_state(directory, outbox.PING), {"url": settings.ping_url}
    begun = now()
    try:
        with time_limit(SECONDS[NETWORK]):
            ask(settings.ping_url)
        state = State(attempted=begun)
    except (SendError, TimeoutError) as error:
        text = without_secrets(str(error) if isinstance(error, SendError) else "It did not answer in time.", options)
        since = state.failing_since if state.failures else begun
        state = State(state.failures + 1, since, text, attempted=begun)
    outbox.write_state(directory, outbox.PING, state)


@dataclass
class Ping:
    """The ping, as the delivery to one more receiver."""

    settings: Settings
    directory: Path

    def is_due(self) -> bool:
        """Whether it is to be sent now."""
        return outbox.ping_due(self.settings, clock.now(), self.directory)

    def work(self) -> None:
        """Send it."""
        ping(self.settings, self.directory)


@dataclass
class Processes:
    """A process for each receiver that something waits for, side by side, until nothing is due.

    :ivar seconds: after which a process is killed.
    :ivar running: process id and deadline, by receiver.
    :ivar killed: the receivers whose process was killed.
    """

    works: Mapping[str, Delivery | Ping]
    seconds: float
    running: dict[str, tuple[int, float]] = field(default_factory=dict)
    rounds: Counter[str] = field(default_factory=Counter)
    killed: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Come back when no process runs, and nothing is due. What is put meanwhile goes at once."""
        while self.start() or self.running:
            self.reap()
            time.sleep(POLL)

    def start(self) -> bool:
        """Start what is due and does not run; each receiver has few rounds, whatever becomes of its state."""
        ready = [
            name
            for name, work in self.works.items()
            if name not in self.running
            and name not in self.killed
            and self.rounds[name] < MOST_ROUNDS
            and work.is_due()
        ]
        for name in ready:
            self.rounds[name] += 1
            self.running[name] = (fork(self.works[name].work), time.monotonic() + self.seconds)
        return bool(ready)

    def reap(self) -> None:
        """Take leave of processes that have ended, and kill those whose time is over."""
        for name, (child, deadline) in list(self.running.items()):
            if os.waitpid(child, os.WNOHANG)[0]:
                del self.running[name]
            elif time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                del self.running[name]
                self.killed.append(name)


def all_of(kind: str, settings: Settings, directory: Path, sender: Sender = send) -> None:
    """Deliver to all receivers of a kind, and ping."""
    works: dict[str, Delivery | Ping] = {
        one.name: Delivery(one, settings, directory, sender) for one in settings.receivers if one.kind == kind
    }
    if kind == NETWORK:
        works[outbox.PING] = Ping(settings, directory)
    processes = Processes(works, SECONDS[kind] + GRACE)
    processes.run()
    for name in processes.killed:
        work = works[name]
        if isinstance(work, Delivery):
            work.failed(outbox.read_state(directory, name), SendError("It did not come to an end, and was killed."))


def fork(work: Callable[[], None]) -> int:
    """Do something in a process of its own; its id."""
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__} in {Path(__file__).name}\n")
    finally:
        sys.stderr.flush()
        os._exit(status)


def main(arguments: Sequence[str]) -> int:
    """By hand, start the units that deliver; each is given a kind of receivers, and the configuration as its input."""
    if not arguments:
        return run([SYSTEMCTL, "start", *outbox.UNITS.values()], seconds=300).returncode
    parser = argparse.ArgumentParser("watch deliver")
    parser.add_argument("kind", choices=(NETWORK, COMMANDS))
    parser.add_argument("--directory", type=Path, required=True, help="of the outbox, for receivers of that kind")
    given = parser.parse_args(list(arguments))
    all_of(given.kind, receivers.load_from(sys.stdin), given.directory)
    return 0
