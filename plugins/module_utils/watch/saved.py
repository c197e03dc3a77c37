# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups: what the backup program has noted of each set. It is not run: its record is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..common import clock
from ..common.on_host import on_host
from ..common.text import line
from ..verify.look import Look as Host

STATUS = f"{on_host('state')}/backup/status.json"
CONFIGURATION = f"{on_host('configuration')}/backup.json"
HOURS = 36.0  # as the role backup has them


@dataclass(frozen=True)
class Saved:
    """What is noted of a set.

    :ivar last: its last backup; None for none.
    :ivar drill: its last restore drill that succeeded.
    :ivar error: why the last backup failed; else empty.
    :ivar drill_error: why the last drill failed.
    """

    last: float | None = None
    drill: float | None = None
    error: str = ""
    drill_error: str = ""


def read(host: Host) -> dict[str, Saved]:
    """All sets that are configured and have something to save; empty on a host without backups."""
    configured = [one for one in host.json(CONFIGURATION).get("sets", ()) if isinstance(one, dict)]
    below = f"{on_host('configuration')}/backup.d"
    configured += [host.json(f"{below}/{file.name}") for file in host.path(below).glob("*.json")]
    sets = host.json(STATUS).get("sets", {})
    return {str(one["name"]): saved(sets.get(one["name"]) or {}) for one in configured if not is_vacant(one, host)}


def is_vacant(one: Mapping[str, Any], host: Host) -> bool:
    """Whether a set may have no backup, because nothing of it is there yet."""
    return bool(one.get("optional")) and not any(host.path(path).exists() for path in one.get("paths", ()))


def saved(raw: Mapping[str, Any]) -> Saved:
    """One set."""
    drills = sorted((raw.get("drills") or {}).values(), key=lambda one: clock.parse(str(one.get("time"))))
    failed = drills[-1] if drills and not drills[-1].get("ok") else {}
    return Saved(
        newest(one.get("time") for one in (raw.get("repositories") or {}).values()),
        newest(one.get("time") for one in drills if one.get("ok")),
        line(str(raw.get("error") or ""), 300),
        line(str(failed.get("problem") or "it failed"), 300) if failed else "",
    )


def newest(times: Iterable[Any]) -> float | None:
    """The last of some times; None for none."""
    return max((clock.parse(str(one)) for one in times), default=0.0) or None


def hours(host: Host) -> float:
    """How old the last backup may be."""
    return float(host.json(CONFIGURATION).get("max_age_hours") or HOURS)


def set_up_at(host: Host) -> float:
    """When the backup was set up last: before a first drill is due there is none."""
    return float(host.json(f"{on_host('state')}/file_sets/backup.json").get("changed_at") or host.now)
