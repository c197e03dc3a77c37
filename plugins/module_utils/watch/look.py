# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb ``look``: one look at the apps and the host, what has changed since the last one, and what is made of it.

What is to be told is kept before it is put into the outbox, and forgotten after: a look that is killed at any point
loses none, and the next one puts the same again under the same name.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..common import clock
from ..common.programs import time_limit
from ..common.systemd import SYSTEMCTL, Systemd, sync_journals
from ..common.text import line
from ..verify.look import Look as Host
from . import conditions, find, lines, metrics, outbox, receivers
from .conditions import Found, Moment
from .gather import Gathering
from .memory import Memory
from .records import Change, Condition, Look
from .settings import Settings
from .state import State

HISTORY = "history.json"
MOST_LINES = 10  # that are looked up for the changes of one look
SECONDS_OF_LINES = 5.0  # after which no further one is looked up: what is to be told waits for them
LONGEST = 50.0  # seconds of a look, before systemd ends it without a word
# What is not known of where a part could not be read, and so neither begins nor ends.
UNKNOWN = {
    "units": ("process", "job", "unit", "proxy", "health", "outside", "ship"),
    "machine": ("disk", "inodes", "memory", "swap", "unit"),
    "requests": ("error_rate", "latency"),
    "backups": ("backup", "drill"),
    "slow": ("clock", "reboot", "connections"),
    "deploys": ("release",),
}


def main(_arguments: Sequence[str]) -> int:
    """Look once, and start what delivers messages where some wait."""
    settings, state, deliver = Settings.load(), State(), receivers.load()
    status = 0
    try:
        with time_limit(LONGEST):
            due = once(settings, state, Host(), deliver)
    except Exception as error:  # whatever a host may bring: a watch that is broken must not be silent
        due, status = broken(settings, state, deliver, error), 1
    for unit in due:
        Systemd().run(SYSTEMCTL, "start", "--no-block", unit, seconds=10)
    return status


def broken(settings: Settings, state: State, deliver: receivers.Settings, error: Exception) -> list[str]:
    """Tell that the look itself is broken; all else stays as it was known. The units that have something to deliver."""
    message = (
        f"The look broke: {line(f'{type(error).__name__}: {error}', 300)}. Nothing else is told until it is mended."
    )
    sys.stderr.write(f"{message}\n")
    memory = Memory.of(state.read("memory.json"))
    others = {one.condition.kind for one in memory.known.values()} - {"watch"}
    found = Found(
        Condition("watch", conditions.HOST, "look", message, command="journalctl -t watch -n 20"), certain=True
    )
    now = clock.now()
    moment = Moment(now, settings.host or socket.gethostname(), apps=frozenset(settings.apps), unknown=others)
    memory.known, changes = conditions.step(memory.known, [found], moment)
    memory.unsent += changes
    state.write("memory.json", memory.plain())
    tell(memory, state, deliver)
    return outbox.due(deliver, now, state.outbox)


def once(settings: Settings, state: State, host: Host, deliver: receivers.Settings) -> list[str]:
    """Look once; the units that have something to deliver."""
    with contextlib.suppress(OSError):  # a quota, say: the look does without a reserve
        state.make_room()
    memory = Memory.of(state.read("memory.json"))
    tell(memory, state, deliver)
    began = time.monotonic()
    look = Look(host.now, settings.host or socket.gethostname(), interval=settings.interval)
    gathering = Gathering(settings, state, memory, host, look)
    gathering.all()
    found = find.all_of(look, gathering.facts)
    found += [Found(one, certain=True) for one in outbox.conditions(deliver, host.now, state.outbox)]
    memory.known, changes = judge(gathering, found)
    memory.unsent += changes
    memory.forget(list(settings.apps))
    look.conditions = [one.condition for one in memory.known.values() if one.told]
    look.seconds = round(time.monotonic() - began, 3)
    state.write("memory.json", memory.plain())
    tell(memory, state, deliver)
    before = state.read("look.json")
    remember_successes(look, before)
    keep(gathering)
    due = outbox.due(deliver, clock.now(), state.outbox)
    try:
        show(look, before, settings, state)
    except OSError as error:  # what others read is not what tells of it
        sys.stderr.write(f"metrics or status page: {error}\n")
    return due


def judge(gathering: Gathering, found: Sequence[Found]) -> tuple[dict[str, conditions.Known], list[Change]]:
    """What is known now, and what is to be told, each with the log line that says most."""
    look, facts = gathering.look, gathering.facts
    unknown = {kind for part in facts.unread for kind in UNKNOWN.get(part, ())}
    moment = Moment(
        look.time,
        look.host,
        look.machine.boot,
        apps=frozenset(gathering.settings.apps),
        deploying=facts.running.deploying,
        still=facts.running.still,
        unknown=unknown,
        hidden=find.hidden_by(found, gathering.settings.apps),
        boot_grace=gathering.settings.boot_grace,
    )
    known, changes = conditions.step(gathering.memory.known, found, moment)
    told = []
    until = time.monotonic() + SECONDS_OF_LINES
    for position, change in enumerate(changes):
        condition = change.condition
        if change.event == "alert" and position < MOST_LINES and time.monotonic() < until:
            # A look that follows the failure of a unit may come before its last words are in the journal.
            sync_journals("", *gathering.settings.apps.keys() & {condition.subject}, seconds=lines.SECONDS)
            condition = replace(condition, line=lines.of(condition, find.unit_of(condition, facts.running)))
            known[condition.key] = replace(known[condition.key], condition=condition)
        told.append(replace(change, condition=condition))
    return known, told


def tell(memory: Memory, state: State, deliver: receivers.Settings) -> None:
    """Put what is to be told into the outbox, and forget it; where that fails, the next look tries again."""
    if memory.unsent:
        try:
            outbox.put(memory.unsent, deliver, state.outbox)
        except OSError as error:
            sys.stderr.write(f"{len(memory.unsent)} changes wait, because the outbox cannot be written: {error}\n")
            return
        memory.unsent = []
        state.write("memory.json", memory.plain())


def keep(gathering: Gathering) -> None:
    """Keep the look itself, and up to where the journals were read for it."""
    look, state = gathering.look, gathering.state
    state.write("look.json", look.plain())
    if gathering.place:
        state.write("cursor", {"cursor": gathering.place.cursor, "time": gathering.place.time})
    state.forget_noted(gathering.noted)


def show(look: Look, before: Mapping[str, Any], settings: Settings, state: State) -> None:
    """Write what others read: the metrics, and the status page where there is one or was."""
    metrics.write(look, state.root)
    if settings.page or (state.directory / HISTORY).exists():
        from .publish import publish  # with all that makes a page: a look is to be cheap

        publish(look, before, settings, state)


def remember_successes(look: Look, before: Mapping[str, Any]) -> None:
    """Note when each job last ended well: systemd knows of its last run alone.

    :param before: the look before this one, as it is kept; empty if there is none.
    """
    for name, app in look.apps.items():
        known = before.get("apps", {}).get(name, {}).get("jobs", {})
        for job, found in app.jobs.items():
            is_well = found.result == "success"
            found.succeeded = found.ended if is_well else known.get(job, {}).get("succeeded")
