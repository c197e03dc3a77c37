# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring systemd units into the states asked for, with as few calls of systemctl as there are kinds of action.

A unit may follow file sets (see ``file_set``). Which generation of each set a unit has loaded is kept under /run, so
that a play killed between writing a file and reloading its unit is healed by the next run, and a reboot, which loads
everything, leaves nothing to do.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils import file_set, listeners
from ansible_collections.groundwork.flask.plugins.module_utils.commands import shown
from ansible_collections.groundwork.flask.plugins.module_utils.common.systemd import (
    JOURNALCTL,
    SYSTEMCTL,
    sync_journals,
)
from ansible_collections.groundwork.flask.plugins.module_utils.unit_options import Replaced, Unit
from ansible_collections.groundwork.flask.plugins.module_utils.unit_record import Record

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "CanReload",
    "Restart",
    "ActiveEnterTimestampMonotonic",
)
# The order of the actions of one call: what goes, goes first.
VERBS = ("disable", "stop", "enable", "start", "restart", "reload")


class UnitSetError(Exception):
    """A unit that could not be brought into its state; the message ends with the unit's status and journal."""


@dataclass(frozen=True)
class State:
    """What systemd says of one unit."""

    exists: bool
    active: bool
    failed: bool
    enabled: bool
    reloadable: bool
    stale_file: bool
    since: float
    tries_again: bool = False

    @classmethod
    def parse(cls, block: str, now: float) -> State:
        """Read one block of ``systemctl show``; ``now`` is the wall clock at monotonic zero."""
        value = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        return cls(
            exists=value.get("LoadState") not in (None, "not-found"),
            active=value.get("ActiveState") in ("active", "reloading", "refreshing"),
            failed=value.get("ActiveState") == "failed",
            enabled=value.get("UnitFileState") in ("enabled", "alias", "static", "generated"),
            reloadable=value.get("CanReload") == "yes",
            stale_file=value.get("NeedDaemonReload") == "yes",
            since=now + int(value.get("ActiveEnterTimestampMonotonic") or 0) / 1e6,
            tries_again=value.get("Restart", "no") != "no",
        )


def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl and return its exit status and output."""
    return subprocess.run(
        (SYSTEMCTL, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def states(names: Sequence[str]) -> list[State]:
    """The states of the units, in the order of their names."""
    shown = systemctl("show", "--property", ",".join(PROPERTIES), "--", *names)
    if shown.returncode:
        raise UnitSetError(f"systemctl show: {shown.stderr.strip()}")
    now = time.time() - time.monotonic()
    return [State.parse(block, now) for block in shown.stdout.strip("\n").split("\n\n")]


def generations(names: Sequence[str], directory: Path = file_set.STATE_DIRECTORY) -> dict[str, file_set.Manifest]:
    """The manifests of the sets a unit follows."""
    return {name: file_set.Manifest.load(directory / f"{name}.json") for name in names}


def is_behind(state: State, followed: dict[str, file_set.Manifest], loaded: dict[str, int] | None) -> bool:
    """True when a followed set has changed since the running unit loaded it.

    Without a record (the unit was started by its package, or by the boot) the times decide.
    """
    if loaded is None:
        return any(manifest.changed_at > state.since for manifest in followed.values())
    return any(manifest.generation > loaded.get(name, 0) for name, manifest in followed.items())


def actions(unit: Unit, state: State, behind: bool, restart: bool = False) -> list[str]:
    """The verbs of systemctl that bring the unit from its state to what is asked.

    :param behind: a file set that it follows has changed.
    :param restart: a reload is not enough then.
    """
    verbs = []
    if unit.enabled is not None and unit.enabled != state.enabled and (unit.enabled or state.exists):
        verbs.append("enable" if unit.enabled else "disable")
    if not unit.started:
        if state.active:
            verbs.append("stop")
    elif not state.active:
        verbs.append("start")
    elif behind and (restart or unit.on_change != "ignore"):
        verbs.append("reload" if unit.on_change == "reload" and state.reloadable and not restart else "restart")
    return verbs


@dataclass
class Outcome:
    """What a call has done, or in a dry run would do.

    :param done: the actions of the units that needed any.
    :param replaced: the units that another one has replaced, by this call or before.
    :param kept: the units that were not replaced, each with the parts that the other one would lack.
    :param pause: for how many seconds neither ran.
    """

    done: dict[str, list[str]] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)
    kept: dict[str, list[str]] = field(default_factory=dict)
    pause: float | None = None


@dataclass
class Plan:
    """What a call is about to do.

    :ivar todo: the verbs of systemctl for each unit that needs any.
    :ivar leaving: the same for the units that are replaced.
    :ivar arriving: the units that start in the place of one that runs.
    :ivar loaded: the units that have loaded what they follow when all is done.
    """

    todo: dict[str, list[str]] = field(default_factory=dict)
    leaving: dict[str, list[str]] = field(default_factory=dict)
    arriving: list[str] = field(default_factory=list)
    loaded: list[Unit] = field(default_factory=list)


def lacking(old: Replaced, directory: Path = file_set.STATE_DIRECTORY) -> list[str] | None:
    """The parts of a unit's set that its successor has not; None when the unit has no set on this host."""
    if not old.file_set:
        return []
    manifests = generations([old.file_set, old.successor], directory)
    if not (parts := set(manifests[old.file_set].parts)):
        return None
    return sorted(parts - set(manifests[old.successor].parts) - {"", *old.absent_parts})


def update(units: Sequence[Unit], check_mode: bool = False, changing: frozenset[str] = frozenset()) -> Outcome:
    """Bring the units into their states.

    :param changing: file sets that the same call would change, were it not for check mode.
    :raises UnitSetError: with the status and the last journal lines of the first unit that failed.
    """
    if not units:
        return Outcome()
    names = [unit.name for unit in units]
    found = states(names)
    records = {unit.name: Record(unit.name) for unit in units}
    followed = {unit.name: generations(unit.follows) for unit in units}
    behind = {
        unit.name: not changing.isdisjoint(unit.follows)
        or is_behind(state, followed[unit.name], records[unit.name].loaded)
        for unit, state in zip(units, found, strict=True)
    }
    # systemd 252 does not notice by itself that a loaded unit has got its first drop-in: hence the sets that changed.
    if not check_mode and (any(behind.values()) or any(state.stale_file or not state.exists for state in found)):
        systemctl("daemon-reload")
        found = states(names)
    outcome = Outcome()
    planned = plan(units, found, behind, records, outcome)
    outcome.done = planned.todo | planned.leaving
    if check_mode:
        return outcome
    for name, state in zip(names, found, strict=True):
        if state.failed and "start" in planned.todo.get(name, []):
            systemctl("reset-failed", name)
    outcome.pause = carry_out(planned, units)
    for unit in planned.loaded:
        records[unit.name].save(followed[unit.name], unit.restart_for)
    return outcome


def plan(
    units: Sequence[Unit],
    found: Sequence[State],
    behind: Mapping[str, bool],
    records: Mapping[str, Record],
    outcome: Outcome,
) -> Plan:
    """What brings the units from their states to what is asked; what they replace or keep goes into the outcome."""
    planned = Plan()
    for unit, state in zip(units, found, strict=True):
        going = goings(unit, outcome)
        if going is None:
            continue
        planned.leaving |= going
        restart = records[unit.name].has_other_files(unit.restart_for, state.since)
        if verbs := actions(unit, state, behind[unit.name], restart):
            planned.todo[unit.name] = verbs
        if "start" in verbs and any("stop" in of_old for of_old in going.values()):
            planned.arriving.append(unit.name)
        if unit.started and unit.follows:
            planned.loaded.append(unit)
    return planned


def carry_out(planned: Plan, units: Sequence[Unit]) -> float | None:
    """Do what is planned; for how many seconds neither a unit nor what it replaces ran, None where none is replaced."""
    pause = None
    for verb in VERBS:
        if verb == "enable" and (stopping := having("stop", planned.leaving)):
            pause = replace(stopping, planned.arriving)
        if chosen := [name for name in having(verb, planned.todo) if verb != "start" or name not in planned.arriving]:
            run_or_disarm(verb, chosen, units)
    if disabling := having("disable", planned.leaving):
        run("disable", disabling)
    return pause


def having(verb: str, todo: dict[str, list[str]]) -> list[str]:
    """The units for which there is this verb to do."""
    return [name for name, verbs in todo.items() if verb in verbs]


def goings(unit: Unit, outcome: Outcome) -> dict[str, list[str]] | None:
    """What is to be done to the units that this one replaces; None when one of them has to go on.

    Adds them to the outcome's ``replaced`` or ``kept``.
    """
    verbs: dict[str, list[str]] = {}
    for old in unit.replaces:
        if (lacks := lacking(old)) is None:
            continue
        (state,) = states([old.name])
        if state.active and lacks:
            outcome.kept[old.name] = lacks
            return None
        outcome.replaced.append(old.name)
        if of_old := actions(Unit(old.name, started=False, enabled=False), state, False):
            verbs[old.name] = of_old
    return verbs


def replace(old: Sequence[str], new: Sequence[str]) -> float:
    """Stop units and start others in their place; return how many seconds lay between.

    When the others do not start, the old ones run again, and the error says so.
    """
    began = time.monotonic()
    try:
        run("stop", old)
        if new:
            run("start", new)
    except UnitSetError as error:
        systemctl("disable", "--now", "--", *new)  # systemd would go on trying
        again = systemctl("start", "--", *old)
        now = f"could not be started again: {again.stderr.strip()}" if again.returncode else "runs again"
        pause = time.monotonic() - began
        others = "".join(f"\n{text}" for text in in_the_way(error))
        raise UnitSetError(f"{error}{others}\n{', '.join(old)} {now}; for {pause:.1f} s nothing ran.") from error
    return time.monotonic() - began


def run_or_disarm(verb: str, names: Sequence[str], units: Sequence[Unit]) -> None:
    """Run a verb. A unit that does not start and would go on trying is stopped, and disabled again.

    It would take a port at the moment at which the program that holds it is restarted.
    """
    try:
        run(verb, names)
    except UnitSetError as error:
        going_on = [
            unit
            for unit, state in zip(units, states([unit.name for unit in units]), strict=True)
            if verb == "start" and unit.name in names and state.tries_again and not state.active
        ]
        for unit in going_on:
            systemctl(*(("disable", "--now") if unit.enabled else ("stop",)), "--", unit.name)
        stopped = [f"{unit.name} was stopped{' and disabled again' if unit.enabled else ''}." for unit in going_on]
        raise UnitSetError("\n".join([str(error), *in_the_way(error), *stopped])) from error


def in_the_way(error: UnitSetError) -> list[str]:
    """Who holds the ports that a unit could not have, as its journal says."""
    return [f"{holder[0].upper()}{holder[1:]}." for holder in listeners.port_holders(str(error))]


def run(verb: str, names: Sequence[str]) -> None:
    """Run one verb on all of its units at once; on failure say which unit failed, and why."""
    result = systemctl(verb, "--", *names)
    if result.returncode == 0:
        return
    failed = next((name for name, state in zip(names, states(names), strict=True) if not state.active), names[0])
    sync_journals("", *systemctl("show", "--property=LogNamespace", "--value", "--", failed).stdout.split())
    journal = subprocess.run(
        (JOURNALCTL, "--no-pager", "--output=cat", "--lines=30", "--namespace=*", "--unit", failed),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    raise UnitSetError(
        f"`systemctl {verb} {failed}` failed: {shown(result.stderr)}\n"
        f"The unit's last journal lines:\n{shown(journal.stdout)}"
    )
