# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's status page: what a look has found, as one page of HTML that loads nothing and runs no script.

Whoever reads it must be able to tell an old page from a new one. The proxy writes the time of the request into it (two
server-side includes), and the page shows a warning once that time and what has passed since are too far from the look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from .page_app import app_card
from .page_machine import machine_card
from .page_style import STYLE
from .page_words import counted, own, span, stamp, text
from .records import Condition, Look, Slot

MARKS = {
    "ok": "M-4.5 .5l3 3.2 6-7",
    "warning": "M0-5.5v6.5M0 4.6v.4",
    "critical": "M-4-4l8 8M4-4l-8 8",
    "quiet": "M-4 0h8",
}
COLOURS = {"ok": "#157f4c", "warning": "#9a5400", "critical": "#c22b2b"}
# The time as CSS reads it, in seconds since 2026 if all years had 365 days: numbers of CSS may have single
# precision, in which this one is right to some seconds for years.
CLOCK = "calc(((%Y - 2026)*365*24 + %j*24 + %H)*3600 + %M*60 + %S)"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
SHORT = "%Y-%m-%d %H:%M:%S UTC"
LATE = 180  # seconds after which a page is old, if looks are not that far apart


def html(look: Look, history: Mapping[str, Sequence[Slot]], interval: float = 30) -> str:
    """The page, in UTF-8 on one host's latest look.

    :param history: the last day of each app; one that is not in it has empty pictures.
    :param interval: seconds from one look to the next.
    """
    conditions = sorted(look.conditions, key=lambda one: (one.severity != "critical", one.since))
    state = conditions[0].severity if conditions else "ok"
    verdict = "All is well" if not conditions else counted(len(conditions), "problem")
    order = {one.subject: place for place, one in reversed(list(enumerate(conditions)))}
    names = sorted(look.apps, key=lambda name: (order.get(name, len(conditions)), name))
    cards = "".join(
        app_card(name, look.apps[name], history.get(name, ()), look.time, mark(worst(name, look)), worst(name, look))
        for name in names
    )
    return "".join(
        (
            head(f"{verdict} · {text(look.host)}", state, look, max(LATE, 4 * interval), interval),
            f'<body><main><header class="{state}">{mark(state)}<div><h1>{verdict} on {own(look.host)}</h1>'
            f'<p class="soft">Looked at {stamp(look.time, SHORT)}'
            f'<!--#config timefmt="{SHORT}" -->, shown at <!--#echo var="DATE_GMT" --></p></div></header>',
            late(max(LATE, 4 * interval)),
            "".join(shown(one, look.time) for one in conditions),
            links(names, look),
            cards,
            machine_card(look.machine, look.time),
            f'<p class="soft">The look took {look.seconds:.2f} s. Times are UTC, and counted from it.</p>'
            "</main></body></html>",
        )
    )


def head(title: str, state: str, look: Look, patience: float, interval: float) -> str:
    """The head: the page renews itself, and knows when it was asked for and from when on it is old."""
    circle = f'<circle cx="1" cy="1" r="1" fill="{COLOURS[state]}"/>'
    sign = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2">{circle}</svg>'
    looked = time.strftime(CLOCK, time.gmtime(look.time))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex, nofollow"><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="{max(30, interval):.0f}">'
        f'<link rel="icon" href="data:image/svg+xml,{quote(sign)}"><title>{title}</title><style>{STYLE}</style>'
        f'<!--#config timefmt="{CLOCK}" --><style>:root {{ --served: <!--#echo var="DATE_GMT" -->; --looked: {looked};'
        f" --wait: calc((var(--looked) - var(--served) + {patience:.0f})*1s) }}</style></head>"
    )


def late(patience: float) -> str:
    """The warning that the page is old, which the style shows in time."""
    return (
        '<div class="late"><p>This page is old: its look was made more than '
        f"{span(patience)} before you read this. The watch does not run, or the page cannot be fetched. On the host: "
        "<code>systemctl status groundwork-watch.timer groundwork-watch.service</code></p></div>"
    )


def mark(state: str) -> str:
    """The sign of a state."""
    return (
        f'<svg class="mark" viewBox="-11 -11 22 22" role="img" aria-label="{state}"><circle r="10"/>'
        f'<path d="{MARKS[state]}"/></svg>'
    )


def worst(name: str, look: Look) -> str:
    """The state of an app: of its worst condition, else whether it serves."""
    found = {one.severity for one in look.conditions if one.subject == name}
    if found:
        return "critical" if "critical" in found else "warning"
    return {"up": "ok", "down": "critical"}.get(look.apps[name].state, "quiet")


def shown(one: Condition, now: float) -> str:
    """A condition: what is wrong, since when, the line that says most about it, and the command to try."""
    severity = "critical" if one.severity == "critical" else "warning"
    part = f" {own(one.part)}" if one.part else ""
    since = f'<span class="soft">for {span(now - one.since)}, since {stamp(one.since)}</span>'
    return (
        f'<div class="condition {severity}">{mark(severity)}<div>'
        f"<p><b>{own(one.subject)}</b> {text(one.kind)}{part} · {since}</p>"
        f"<p>{own(one.message, 500)}</p>"
        + (f'<pre dir="ltr">{own(one.line, 500)}</pre>' if one.line else "")
        + (f'<pre class="try" dir="ltr">{own(one.command, 300)}</pre>' if one.command else "")
        + "</div></div>"
    )


def links(names: Sequence[str], look: Look) -> str:
    """A link to each app, where there are several."""
    if len(names) < 2:
        return ""
    found = "".join(
        f'<a class="{worst(name, look)}" href="#app-{text(name)}">{mark(worst(name, look))}{own(name)}</a>'
        for name in names
    )
    return f'<nav aria-label="Apps">{found}</nav>'
