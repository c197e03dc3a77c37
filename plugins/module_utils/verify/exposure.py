# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much the units of ours may do: systemd's figure of each against the one that is stated for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping

from ..common import exposures
from ..common.programs import explanation
from .expected import Expected
from .finding import Finding
from .look import Look, UncheckedError
from .parts import ReleaseParts
from .units import own_units

ANALYZE = "/usr/bin/systemd-analyze"
FIGURE = re.compile(r"Overall exposure level for (\S+?): (\d+\.\d)")


def exposure(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether no service of ours may do more than is stated for it; an app that loosens its sandbox is a warning."""
    asked = alike(expected, look)
    if not asked:
        return
    shown = look.run(ANALYZE, "security", "--no-pager", *asked, seconds=60)
    figures = {unit: float(figure) for unit, figure in FIGURE.findall(shown.stdout)}
    if not figures:
        raise UncheckedError(f"systemd-analyze security tells no figure: {explanation(shown, 200)}")
    found = [one for unit, figure in figures.items() for one in judged(unit, figure, asked[unit], expected)]
    yield from found
    if not found:
        yield Finding(
            "exposure", "host", "ok", f"No service of ours may do more than is stated ({len(figures)} looked at)."
        )


def judged(unit: str, figure: float, apps: Iterable[str], expected: Expected) -> Iterator[Finding]:
    """What is to be said of a unit's figure.

    :param apps: the apps that have this unit, or one with the same directives; none for one of the host's.
    """
    stated = exposures.stated(unit, expected.apps)
    if stated is None or figure <= stated.highest:
        return
    for subject in [*apps] or ["host"]:
        loosened = subject in expected.apps and expected.apps[subject].sandbox
        text = f"{unit} has an exposure of {figure}, and at most {stated.highest} is stated for it"
        why = f", because of {', '.join(sorted(loosened))}" if loosened else ""
        remedy = f"`systemd-analyze security {unit}` shows what it may do; `systemctl cat {unit}` where that stands."
        yield Finding("exposure", subject, "warning" if loosened else "problem", f"{text}{why}.", remedy)


def alike(expected: Expected, look: Look) -> dict[str, list[str]]:
    """The services to ask for, with the apps of each: of those that differ in the app's name alone, the first one.

    systemd takes 10 ms for each, and apps mostly have the same sandbox.
    """
    found: dict[str, list[str]] = {name: [] for name in sorted(own_units(look)) if is_concrete(name)}
    seen: dict[str, str] = {}
    for app in expected.apps:
        parts = ReleaseParts.of(app, look)
        shown = look.units(parts.names)
        for name in (name for name in parts.names if name.endswith(".service")):
            first = seen.setdefault(directives(app, shown[name], look), name)
            found.setdefault(first, [])
            if app not in found[first]:
                found[first].append(app)
    return found


def is_concrete(name: str) -> bool:
    """Whether a unit is a service that runs under this name."""
    return name.endswith(".service") and "@." not in name


def directives(app: str, shown: Mapping[str, str], look: Look) -> str:
    """Names what a unit's files say, with another word for the app."""
    files = [shown.get("FragmentPath", ""), *shown.get("DropInPaths", "").split()]
    text = "\0".join(look.read(file) for file in files if file)
    return hashlib.sha256(re.sub(rf"\b{re.escape(app)}\b", "@APP@", text).encode()).hexdigest()
