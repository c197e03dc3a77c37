# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong, judged from what a look has read; and the unit whose log says most about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from . import find_app, find_host
from .conditions import Found
from .facts import Facts
from .records import Condition, Look
from .running import PROXIES, Running

# The unit whose failure follows from what is told of the sets.
UNITS_OF = {"backup": "groundwork-backup.service", "drill": "groundwork-backup-drill.service"}


def all_of(look: Look, facts: Facts) -> list[Found]:
    """All that is wrong. What follows from something else that is told is left out."""
    found = list(find_host.host(look, facts))
    is_proxy_down = any(one.condition.kind == "proxy" for one in found)
    for name, app in look.apps.items():
        if facts.settings.apps[name].alerts.enabled and app.state != "undeployed":
            found += find_app.of_app(name, app, look, facts, is_proxy_down)
    follows = units_of_sets({one.condition.kind for one in found}, facts)
    return [one for one in found if one.condition.kind != "unit" or one.condition.part not in follows]


def units_of_sets(kinds: Collection[str], facts: Facts) -> list[str]:
    """The units that have failed because a set could not be saved or restored, where that is told.

    :param kinds: of the conditions that were found.
    """
    sets = facts.saved.values()
    has_failed = {"backup": any(one.error for one in sets), "drill": any(one.drill_error for one in sets)}
    return [unit for kind, unit in UNITS_OF.items() if has_failed[kind] and kind in kinds]


def hidden_by(found: Iterable[Found], apps: Iterable[str]) -> set[tuple[str, str]]:
    """Subject and kind of what :func:`all_of` leaves out: while its cause lasts, it neither begins nor ends."""
    hidden: set[tuple[str, str]] = set()
    for condition in (one.condition for one in found):
        if condition.kind == "health":
            hidden |= {(condition.subject, kind) for kind in ("outside", "error_rate", "latency")}
        if condition.kind == "proxy":
            hidden |= {(app, "outside") for app in apps}
    return hidden


def unit_of(condition: Condition, running: Running) -> str:
    """The unit that a condition is about, whose log says most; "" for none."""
    if condition.kind == "unit":
        return condition.part
    if condition.kind == "proxy":
        return next((unit for unit in PROXIES if running.shown.get(unit, {}).get("LoadState") == "loaded"), "")
    if condition.kind == "job":
        return f"{condition.subject}.{condition.part}.service"
    if condition.kind == "process" and (parts := running.parts.get(condition.subject)):
        names: Iterable[str] = parts.processes.get(condition.part.partition(".")[0], ())
        return next(iter(names), parts.server)
    return ""
