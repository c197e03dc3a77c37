# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb ``test``: send one message through each receiver now, by the units that send alerts."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..common import clock
from ..common.programs import run
from ..common.systemd import SYSTEMCTL
from . import outbox, receivers
from .receivers import Receiver
from .records import Change, Condition
from .settings import Settings as WatchSettings

SECONDS = 120  # for the units
LATE = "Nothing came of it within the time. Look: journalctl -u groundwork-alerts -u groundwork-alerts-commands"


@dataclass(frozen=True)
class Outcome:
    """What came of a test message; an empty error says that it was sent."""

    receiver: str
    type: str
    to: str
    error: str


def main(arguments: Sequence[str]) -> int:
    """Test all receivers, or the one that is named; the exit status is 1 when one failed."""
    parser = argparse.ArgumentParser("watch test", description="Send one message through each receiver now.")
    parser.add_argument("receiver", nargs="?", default="", help="the name of one receiver; by default all")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    given = parser.parse_args(list(arguments))
    settings = receivers.load()
    chosen = [one for one in settings.receivers if given.receiver in ("", one.name)]
    if not chosen:
        names = ", ".join(one.name for one in settings.receivers)
        problem = (
            f"There is no receiver {given.receiver}; there are: {names}."
            if names
            else "There are no receivers. Name some in watch_receivers, and run the play site."
        )
        return _show([], problem, as_json=given.json)
    host = WatchSettings.load().host or socket.gethostname()
    return _show(outcomes(chosen, host, start), "", as_json=given.json)


def start(units: Sequence[str]) -> None:
    """Have units deliver, and wait for their end."""
    run([SYSTEMCTL, "start", *units], seconds=SECONDS)


def outcomes(
    chosen: Sequence[Receiver],
    host: str,
    starter: Callable[[Sequence[str]], None],
    directory: Path = outbox.OUTBOX,
    rounds: int = 3,
) -> list[Outcome]:
    """Send a test message to each of these receivers; what came of it."""
    now = clock.now()
    for receiver in chosen:
        text = f"This is a test of the receiver {receiver.name}: alerts of {host} arrive here."
        condition = Condition(
            "test", "host", receiver.name, text, command=f"{outbox.COMMAND} {receiver.name}", since=now
        )
        outbox.put_test(receiver, Change("test", condition, host, now), directory)
    left = {receiver.name: receiver for receiver in chosen}
    found: dict[str, str] = {}
    for attempt in range(rounds):  # a unit that was about to end has not seen the messages
        starter([outbox.UNITS[kind] for kind in outbox.UNITS if any(one.kind == kind for one in left.values())])
        for name, receiver in list(left.items()):
            test = outbox.read_state(directory / receiver.kind, name).test
            if test and test["time"] == now:
                found[name] = test["error"]
                del left[name]
        if not left:
            break
        if attempt < rounds - 1:
            time.sleep(0.5)
    for name, receiver in left.items():  # no later start sends what nobody waits for any more
        waiting = outbox.names(directory / receiver.kind).get(name, [])
        outbox.remove(directory / receiver.kind, [one for one in waiting if outbox.severity_of(one) == "test"])
    return [Outcome(one.name, one.type, one.place, found.get(one.name, LATE)) for one in chosen]


def table(found: Sequence[Outcome]) -> str:
    """The outcomes as a person reads them."""
    rows = [
        ("receiver", "type", "to", "outcome"),
        *((one.receiver, one.type, one.to, one.error or "sent") for one in found),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "".join(
        "  ".join([*(row[column].ljust(widths[column]) for column in range(3)), row[3]]).rstrip() + "\n" for row in rows
    )


def _show(found: Sequence[Outcome], problem: str, *, as_json: bool) -> int:
    if as_json:
        problems = [problem] if problem else [f"{one.receiver}: {one.error}" for one in found if one.error]
        shown = table(found).splitlines() if found else []
        value = {"outcomes": [asdict(one) for one in found], "problems": problems, "table": shown}
        sys.stdout.write(json.dumps(value) + "\n")
    else:
        sys.stdout.write(table(found) if found else "")
        sys.stderr.write(f"{problem}\n" if problem else "")
    return 1 if problem or any(one.error for one in found) else 0
