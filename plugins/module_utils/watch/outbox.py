# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that wait for their receivers: a file for each, and for each receiver the state of its delivery.

The look puts them here, and asks whether something is due; ``deliver`` sends and removes them. What goes over the
network is sent by an account of its own, whose directory that is: what root reads there is bounded, and no link is
followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..common import files, trees
from ..common.on_host import on_host
from ..common.text import line
from .message import PROGRAM, condensed
from .receivers import COMMANDS, NETWORK, Receiver, Settings, host_of
from .records import Change, Condition

OUTBOX = Path(on_host("watch"), "outbox")
UNITS = {NETWORK: "groundwork-alerts.service", COMMANDS: "groundwork-alerts-commands.service"}
COMMAND = f"{PROGRAM} test"
PING = "_ping"  # no receiver can have that name
PING_EVERY = 55  # seconds; a look each 30 s then pings once a minute
PATIENCE = 600  # seconds that a receiver or the ping may fail before it is a condition
MOST = 500  # files that wait for one receiver, in case nothing delivers; the oldest go
MESSAGE_LIMIT = 2**20
TEXT_LIMIT = 300  # characters of a sentence, a log line, a command
IN_ONE_FILE = 100  # changes
CONDENSED_FROM = 10  # files of a receiver that fails
LONGEST_PAUSE = 3600  # seconds; a longer one comes from a clock that was set back
HOUR = 3600
# Beyond the messages of an hour, the part of them that an app may still have: no other can use up all of them.
OWN_PART = 4


@dataclass
class State:
    """How the delivery to a receiver stands.

    :ivar failures: attempts that failed since the last that did not, the first at `failing_since`.
    :ivar refused: the receiver answered that it will not take this: somebody has to act.
    :ivar next: before which no further attempt is made.
    :ivar sent: when messages were sent within the last hour.
    :ivar told: the same by subject, for each that a message was about.
    :ivar test: the time and the outcome of the last test message; an empty `error` says that it was sent.
    """

    failures: int = 0
    failing_since: float = 0.0
    error: str = ""
    refused: bool = False
    next: float = 0.0
    attempted: float = 0.0
    sent: list[float] = field(default_factory=list)
    told: dict[str, list[float]] = field(default_factory=dict)
    test: dict[str, Any] = field(default_factory=dict)

    def pauses(self, now: float) -> bool:
        """Whether nothing is sent now."""
        return 0 < self.next - now <= LONGEST_PAUSE

    def holds(self, subject: str, now: float, per_hour: int) -> bool:
        """Whether the messages of the last hour are so many that what is about a subject waits."""
        own = within_hour(self.told.get(subject, ()), now)
        return len(within_hour(self.sent, now)) >= per_hour and len(own) >= max(1, per_hour // OWN_PART)

    def note_sent(self, subjects: Iterable[str], now: float, per_hour: int) -> None:
        """Count a message."""
        self.sent = [*within_hour(self.sent, now), now][-per_hour:]
        told = {**self.told, **{subject: [*self.told.get(subject, ()), now] for subject in subjects}}
        kept = {subject: within_hour(times, now)[-per_hour:] for subject, times in told.items()}
        self.told = {subject: times for subject, times in kept.items() if times}


def within_hour(times: Iterable[float], now: float) -> list[float]:
    """The times of the last hour."""
    return [at for at in times if 0 <= now - at < HOUR]


def read_state(directory: Path, name: str) -> State:
    """The state of a receiver; a new one when there is none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        found = json.loads(trees.read_bytes(directory, f"{name}.state"))
        state = State(**{one.name: found[one.name] for one in fields(State) if one.name in found})
        state.failures, state.error = int(state.failures), line(str(state.error))
        state.next, state.failing_since, state.attempted = map(
            float, (state.next, state.failing_since, state.attempted)
        )
        state.sent = [float(at) for at in state.sent]
        state.told = {line(name): [float(at) for at in times] for name, times in state.told.items()}
        state.test = {"time": float(state.test["time"]), "error": str(state.test["error"])} if state.test else {}
        return state
    return State()


def write_state(directory: Path, name: str, state: State) -> None:
    """Keep the state of a receiver; the directory above is root's alone."""
    files.write(directory / f"{name}.state", json.dumps(asdict(state)), 0o644)


def put(changes: Sequence[Change], settings: Settings, outbox: Path = OUTBOX) -> None:
    """Have every receiver told of changes: for each a file, which is there after this whatever happens then.

    :param changes: of one look.
    :param settings: from :func:`receivers.load`.
    :raises OSError: one could not be written. All may be put again: the same changes have the same name.
    """
    for receiver in settings.receivers:
        for severity in ("critical", "warning"):
            wanted = [
                change
                for change in changes
                if change.condition.severity == severity and receiver.wants(change.condition)
            ]
            _write_all(outbox / receiver.kind, receiver.name, severity, wanted)


def put_test(receiver: Receiver, change: Change, outbox: Path = OUTBOX) -> None:
    """Have one receiver told of a test, which it is at once."""
    _write(outbox / receiver.kind, receiver.name, "test", [change])


def _write_all(directory: Path, name: str, severity: str, changes: Sequence[Change]) -> set[str]:
    """Write changes; what is about one subject is in files of its own, as it may have to wait alone."""
    subjects = dict.fromkeys(change.condition.subject for change in changes)
    of_one = [[change for change in changes if change.condition.subject == subject] for subject in subjects]
    return {
        _write(directory, name, severity, found[begin : begin + IN_ONE_FILE])
        for found in of_one
        for begin in range(0, len(found), IN_ONE_FILE)
    }


def _write(directory: Path, name: str, severity: str, changes: Sequence[Change]) -> str:
    if not directory.is_dir():  # made by the role; without its account only root delivers
        files.make_directory(directory, 0o700)
    text = json.dumps({"version": 1, "changes": [asdict(_bounded(change)) for change in changes]})
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    file = f"{name}.{changes[0].time:017.6f}.{severity}.{changes[0].condition.subject}-{digest}.json"
    # The account that delivers reads it; nobody else enters the directory.
    files.write(directory / file, text, 0o644)
    return file


def _bounded(change: Change) -> Change:
    """The change with texts that are no longer than a message shows."""
    found = change.condition
    message, log_line, command, part = (
        line(text, TEXT_LIMIT) for text in (found.message, found.line, found.command, found.part)
    )
    return replace(change, condition=replace(found, message=message, line=log_line, command=command, part=part))


def condense(directory: Path, waiting: Sequence[str]) -> None:
    """Put what a receiver is still to be told of into fewer files, of each condition its first and its last change."""
    for severity in ("critical", "warning"):
        of_one = [name for name in waiting if severity_of(name) == severity]
        if len(of_one) < CONDENSED_FROM:
            continue
        each, name = read_each(directory, of_one), of_one[0].split(".")[0]
        kept = condensed([change for changes in each.values() for change in changes])
        written = _write_all(directory, name, severity, kept)
        remove(directory, set(each) - written)


def supersede(directory: Path, waiting: Iterable[str], sent: Sequence[Change]) -> None:
    """Take out of what goes on waiting what is outdated by what was sent: a warning that has become critical, say.

    :param waiting: files of the receiver that were not sent.
    """
    told = {change.condition.key: change.time for change in sent}
    for name, changes in read_each(directory, waiting).items():
        left = [change for change in changes if change.time > told.get(change.condition.key, -1.0)]
        if len(left) < len(changes):
            written = _write(directory, name.split(".")[0], severity_of(name), left) if left else ""
            remove(directory, {name} - {written})


def names(directory: Path) -> dict[str, list[str]]:
    """The files that wait, by receiver, oldest first."""
    found: dict[str, list[str]] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(directory)):
            if name.endswith(".json") and name.count(".") == 5:  # the time has a point too
                found.setdefault(name.split(".")[0], []).append(name)
    return found


def severity_of(name: str) -> str:
    """``critical``, ``warning`` or ``test``, of a file by its name."""
    return name.split(".")[3]


def subject_of(name: str) -> str:
    """What a file is about, by its name: an app, or the host."""
    return name.split(".")[4].rpartition("-")[0]


def put_at(name: str) -> float:
    """When a file was put, by its name."""
    with contextlib.suppress(ValueError):
        return float(".".join(name.split(".")[1:3]))
    return 0.0


def read_each(directory: Path, waiting: Iterable[str]) -> dict[str, list[Change]]:
    """The changes in each file of the outbox; one that cannot be read, or is none of ours, is left out."""
    found: dict[str, list[Change]] = {}
    known = {one.name for one in fields(Condition)}
    for name in waiting:
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            changes = []
            for given in json.loads(trees.read_bytes(directory, name, MESSAGE_LIMIT))["changes"]:
                condition = Condition(**{key: value for key, value in given["condition"].items() if key in known})
                changes.append(Change(given["event"], condition, str(given["host"]), float(given["time"])))
            found[name] = changes
    return found


def read(directory: Path, waiting: Iterable[str]) -> list[Change]:
    """The changes in files of the outbox, together."""
    return [change for changes in read_each(directory, waiting).values() for change in changes]


def remove(directory: Path, done: Iterable[str]) -> None:
    """Remove files of the outbox."""
    for name in done:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory / name)


def sendable(waiting: Sequence[str], settings: Settings, now: float, state: State) -> list[str]:
    """Those of a receiver's files that are sent at this time of the day, and after what was sent within the hour."""
    severities = ("critical",) if settings.quiet(now) else ("critical", "warning")
    return [
        name
        for name in waiting
        if severity_of(name) in severities and not state.holds(subject_of(name), now, settings.per_hour)
    ]


def due(settings: Settings, now: float, outbox: Path = OUTBOX) -> list[str]:
    """The units that the look starts (``systemctl start --no-block``) at its end; mostly none.

    A call says that a whole look has come to its end: the ping is due then too.
    """
    return [UNITS[kind] for kind in (NETWORK, COMMANDS) if _is_due(kind, settings, now, outbox / kind)]


def _is_due(kind: str, settings: Settings, now: float, directory: Path) -> bool:
    waiting = names(directory)
    for name, of_one in waiting.items():
        remove(directory, [one for one in of_one[:-MOST] if severity_of(one) != "test"])
        if name not in (receiver.name for receiver in settings.receivers if receiver.kind == kind):
            remove(directory, of_one)  # its receiver is no longer configured
        elif sendable(of_one, settings, now, state := read_state(directory, name)) and not state.pauses(now):
            return True
    return kind == NETWORK and ping_due(settings, now, directory)


def ping_due(settings: Settings, now: float, directory: Path) -> bool:
    """Whether the ping is to be sent."""
    return bool(settings.ping_url) and not 0 <= now - read_state(directory, PING).attempted < PING_EVERY


def conditions(settings: Settings, now: float, outbox: Path = OUTBOX) -> list[Condition]:
    """What is wrong with the delivery itself, for the next look: the other receivers are told."""
    found = []
    for receiver in settings.receivers:
        name, state = receiver.name, read_state(outbox / receiver.kind, receiver.name)
        if state.failures and (state.refused or now - state.failing_since >= PATIENCE):
            message = f"The receiver {name} ({receiver.type}, {receiver.place}) takes no messages: {state.error}"
            command = f"{COMMAND} {name}"
            found.append(Condition("receiver", "host", name, message, command=command, since=state.failing_since))
    state = read_state(outbox / NETWORK, PING)
    if settings.ping_url and state.failures and now - state.failing_since >= PATIENCE:
        message = f"The ping of {host_of(settings.ping_url)} fails: {state.error}"
        found.append(Condition("ping", "host", "", message, command=COMMAND, since=state.failing_since))
    return found
