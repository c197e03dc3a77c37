# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups: how old the last one of each set is, and whether the last restore drill succeeded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..common import clock
from ..common.on_host import on_host
from ..common.text import line
from .expected import Expected, file_set
from .finding import Finding
from .look import Look, UncheckedError

PROGRAM = f"{on_host('programs')}/backup"
LOGS = "See `journalctl -u groundwork-backup.service`, and start it with `systemctl start groundwork-backup`."


def backups(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether each set has a recent backup, and one that was restored and compared."""
    wanted = {one.name for one in expected.apps.values() if one.backup}
    if not look.has(PROGRAM):
        for app in sorted(wanted):
            text = f"{app} is to be backed up, and this host has no backup program."
            yield Finding("backup", app, "problem", text, "Run the play again, with backup_repositories.")
        return
    reported = report(look)
    sets: dict[str, dict[str, Any]] = reported.get("sets", {})
    for name in sorted(wanted - sets.keys()):
        text = f"{name} is to be backed up, and is no set of the backup of this host."
        yield Finding("backup", name, "problem", text, "Run the play again.")
    since = float(file_set("backup", look).get("changed_at") or look.now)
    for name, one in sets.items():
        found = [*late(one, expected, look.now), *drill(one, expected, look.now, since)]
        subject = name if name in expected.apps else "host"
        which = "" if subject == name else f" of {name}"
        for state, message, remedy in found:
            yield Finding("backup", subject, state, message.format(which=which), remedy)
        if not found:
            yield Finding("backup", subject, "ok", summary(one, which))
    yield from general(sets, reported)


def summary(one: Mapping[str, Any], which: str) -> str:
    """When a set was saved and restored last."""
    restored = one.get("drill") or {}
    drilled = f"restored for a drill at {restored['time']}" if restored else "no restore drill was due yet"
    return f"The last backup{which} is of {one['last']}; {drilled}."


def report(look: Look) -> dict[str, Any]:
    """What the backup program says."""
    shown = look.run(PROGRAM, "status", "--json", seconds=60)
    try:
        found: dict[str, Any] = json.loads(shown.stdout)
    except ValueError:
        raise UncheckedError(f"`{PROGRAM} status` says: {line(shown.stderr, 200)}") from None
    return found


def late(one: Mapping[str, Any], expected: Expected, now: float) -> Iterator[tuple[Any, str, str]]:
    """A set whose last backup is too old, or failed."""
    if error := one.get("error"):
        yield "problem", f"The last backup{{which}} failed: {braced(error)}", LOGS
    if not one.get("last"):
        yield "problem", "There is no backup{which} yet.", LOGS
    elif (hours := (now - clock.parse(str(one["last"]))) / 3600) > expected.backup_hours:
        limit = f"{expected.backup_hours:.0f}"
        yield "problem", f"The last backup{{which}} is {hours:.0f} hours old, and may be {limit}.", LOGS


def drill(one: Mapping[str, Any], expected: Expected, now: float, since: float) -> Iterator[tuple[Any, str, str]]:
    """A set whose last restore drill failed, or is too long ago.

    :param since: when the backup was set up last; before a first drill is due there is none.
    """
    last = one.get("drill") or {}
    days = (now - (clock.parse(str(last.get("time", ""))) or since)) / clock.DAY
    logs = LOGS.replace("groundwork-backup", "groundwork-backup-drill")
    if last and not last.get("ok"):
        text = f"The last restore drill{{which}} failed at {last['time']}: {braced(last.get('problem', ''))}"
        yield "problem", text, logs
    elif days > expected.drill_days:
        what = f"is {days:.0f} days ago" if last else f"is due: there was none in the {days:.0f} days since the setup"
        yield "warning", f"The last restore drill{{which}} {what}; it may be {expected.drill_days:.0f}.", logs


def braced(text: Any) -> str:
    """A text that stands in a pattern of str.format."""
    return line(str(text), 300).replace("{", "{{").replace("}", "}}")


def general(sets: Mapping[str, Mapping[str, Any]], reported: Mapping[str, Any]) -> Iterator[Finding]:
    """What the backup program warns of beside single sets."""
    of_sets = {text for one in sets.values() for text in one.get("warnings", ())}
    for text in reported.get("warnings", ()):
        if text not in of_sets:
            yield Finding("backup", "host", "warning", line(str(text), 500))
