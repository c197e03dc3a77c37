# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what looks find to what is told: when a condition begins, when it ends, and that neither is told twice.

:func:`step` is a pure function of what was known, what a look has found, and the moment. What it does:

- A condition that is not certain is told when two looks in a row have found it.
- One that is told ends when it has not been found for :data:`CLEAR` seconds; at once if the look has asked twice.
- One that has begun three times in an hour ends after a quarter of an hour without it, so that nothing flaps.
- A warning that becomes critical is told once more; it does not become a warning again.
- In the first minutes after a boot, for an app in maintenance or stopped by the engine, and where the look could not
  look, nothing begins or ends.
- What follows from something that is found, as a site that is down from its app, neither begins nor ends.
- While an app is deployed, what is found of it has to last before it is told.
- What is known of an app that is not looked at any more is forgotten without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .records import Change, Condition

HOST = "host"
BOOT_GRACE = 180.0  # seconds after a boot, twice systemd's own limit for the start of a unit
CLEAR = 60.0  # seconds, which are two looks
DEPLOY_PATIENCE = 90.0  # seconds: a switch takes a few, and a build beside it slows what answers
HOUR = 3600.0
FLAPS, FLAP_CLEAR = 3, 900.0
SEEN = 2  # looks in a row
# What a look asks a second time before it is found, and before it is gone.
ASKED_TWICE = ("health", "outside", "proxy")
# What is normal for an app while it is in maintenance, is stopped by the engine, or is being deployed.
OF_RUNNING = ("health", "outside", "error_rate", "latency", "process", "unit", "job")


@dataclass(frozen=True)
class Found:
    """A condition as one look has found it; its ``since`` does not count.

    :ivar certain: once is enough, as for a unit that has failed.
    """

    condition: Condition
    certain: bool = False


@dataclass(frozen=True)
class Known:
    """What is remembered of a condition.

    :ivar seen: looks in a row that have found it; 0 while it is not found.
    :ivar told: it was told, and its end was not.
    :ivar clear_since: when a look has first not found it again.
    :ivar told_at: when it was told within the last hour.
    """

    condition: Condition
    seen: int = 0
    told: bool = False
    clear_since: float | None = None
    told_at: tuple[float, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Known:
        """From what was kept."""
        return cls(**{**raw, "condition": Condition(**raw["condition"]), "told_at": tuple(raw["told_at"])})


@dataclass(frozen=True)
class Moment:
    """What else counts at the time of a look.

    :ivar boot: when the host was started; None where that is not known.
    :ivar apps: those that are looked at.
    :ivar deploying: those with an engine at work.
    :ivar still: those in maintenance, or stopped by the engine or the operator.
    :ivar boot_grace: seconds after a boot in which nothing begins or ends.
    :ivar unknown: the kinds of conditions that this look could not look for.
    :ivar hidden: subject and kind of what follows from something else that was found.
    """

    now: float
    host: str
    boot: float | None = None
    apps: Collection[str] = field(default_factory=frozenset)
    deploying: Collection[str] = field(default_factory=frozenset)
    still: Collection[str] = field(default_factory=frozenset)
    unknown: Collection[str] = field(default_factory=frozenset)
    hidden: Collection[tuple[str, str]] = field(default_factory=frozenset)
    boot_grace: float = BOOT_GRACE

    @property
    def is_booting(self) -> bool:
        """Whether the host has just been started."""
        return self.boot is not None and 0 <= self.now - self.boot < self.boot_grace

    def is_held(self, condition: Condition) -> bool:
        """Whether a condition neither begins nor ends now."""
        is_still = condition.subject in self.still and condition.kind in OF_RUNNING
        is_hidden = (condition.subject, condition.kind) in self.hidden
        return self.is_booting or is_still or is_hidden or condition.kind in self.unknown

    def change(self, event: Any, condition: Condition) -> Change:
        """A change that is told now."""
        return Change(event, condition, self.host, self.now)


def step(before: Mapping[str, Known], found: Sequence[Found], moment: Moment) -> tuple[dict[str, Known], list[Change]]:
    """What is known after a look, and what is to be told of it."""
    after: dict[str, Known] = {}
    changes: list[Change] = []
    seen = {one.condition.key: one for one in found}
    for key, known in before.items():
        if known.condition.subject not in (HOST, *moment.apps):
            continue
        if moment.is_held(known.condition):
            after[key] = known
        elif key not in seen and (kept := gone(known, moment, changes)):
            after[key] = kept
    for key, one in seen.items():
        if not moment.is_held(one.condition):
            after[key] = again(before.get(key), one, moment, changes)
    return after, changes


def gone(known: Known, moment: Moment, changes: list[Change]) -> Known | None:
    """What is known of a condition that a look has not found; None for nothing any more."""
    told_at = recent(known, moment)
    if not known.told:
        return replace(known, seen=0, told_at=told_at) if told_at else None
    since = moment.now if known.clear_since is None else known.clear_since
    if moment.now - since < clear_seconds(known, told_at):
        return replace(known, seen=0, clear_since=since, told_at=told_at)
    changes.append(moment.change("resolved", known.condition))
    return replace(known, seen=0, told=False, clear_since=None, told_at=told_at) if told_at else None


def clear_seconds(known: Known, told_at: Sequence[float]) -> float:
    """How long a condition must not have been found before its end is told."""
    if len(told_at) >= FLAPS:
        return FLAP_CLEAR
    return 0.0 if known.condition.kind in ASKED_TWICE else CLEAR


def again(known: Known | None, one: Found, moment: Moment, changes: list[Change]) -> Known:
    """What is known of a condition that a look has found."""
    lasting = known if known and (known.told or known.seen) else None
    told_at = recent(known, moment) if known else ()
    condition = replace(one.condition, since=moment.now)
    if lasting:
        condition = replace(condition, since=lasting.condition.since, line=condition.line or lasting.condition.line)
    was_critical = lasting is not None and lasting.told and lasting.condition.severity == "critical"
    if was_critical:
        condition = replace(condition, severity="critical")
    seen = (lasting.seen if lasting else 0) + 1
    told = lasting is not None and lasting.told
    is_worse = told and not was_critical and condition.severity == "critical"
    if (told and not is_worse) or not is_due(condition, one.certain, seen, moment):
        # What is not told yet stays a warning: it is the step to critical that is told.
        kept = replace(condition, severity="warning") if is_worse else condition
        return Known(kept, seen, told, None, told_at)
    if len(told_at) >= FLAPS - 1 and not is_worse:
        times = f"It has begun {len(told_at) + 1} times within an hour."
        condition = replace(condition, message=f"{condition.message} {times}")
    changes.append(moment.change("alert", condition))
    return Known(condition, seen, True, None, told_at if is_worse else (*told_at, moment.now))


def is_due(condition: Condition, certain: bool, seen: int, moment: Moment) -> bool:
    """Whether a condition that was found is to be told."""
    if condition.subject in moment.deploying and condition.kind in OF_RUNNING:
        return moment.now - condition.since >= DEPLOY_PATIENCE
    return certain or seen >= SEEN


def recent(known: Known, moment: Moment) -> tuple[float, ...]:
    """When a condition was told within the last hour."""
    return tuple(at for at in known.told_at if 0 <= moment.now - at < HOUR)
