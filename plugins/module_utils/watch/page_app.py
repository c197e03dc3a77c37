# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the status page shows of one app."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .page_charts import charts
from .page_words import DAY, NOT_KNOWN, counted, milliseconds, moment, own, percent, size, text
from .records import App, Job, Slot, Unit

STATES = {
    "up": "up",
    "down": "down",
    "maintenance": "in maintenance",
    "stopped": "stopped",
    "undeployed": "no release is live",
}
MOST_DOMAINS, MOST_DEPLOYS, MOST_ROWS = 3, 5, 30


def app_card(name: str, app: App, slots: Sequence[Slot], now: float, mark: str, state: str) -> str:
    """An app: how it is, the last day in pictures, its release and what belongs to it.

    :param mark: the sign of its state.
    """
    values = "".join(
        f"<div><dt>{term}</dt><dd{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{value}</dd></div>"
        for term, value, kind in facts(app, now)
    )
    return (
        f'<section id="app-{text(name)}" aria-label="{text(name)}">'
        f'<header class="{state}">{mark}<div><h2>{own(name)}</h2>'
        f'<p class="soft">{heading(app)}</p></div></header>{charts(slots, now)}<dl>{values}</dl>{beside(app, now)}'
        f"{deploys(app, now)}</section>"
    )


def heading(app: App) -> str:
    """Its state and its domains."""
    shown = [own(domain) for domain in app.domains[:MOST_DOMAINS]]
    more = len(app.domains) - len(shown)
    return " · ".join([STATES.get(app.state, text(app.state)), *shown, *([f"{more} more"] if more > 0 else [])])


def facts(app: App, now: float) -> Iterator[tuple[str, str, str]]:
    """Names and values, and what is bad about a value: `critical`, `warning` or nothing."""
    release = own(app.release, 40) if app.release else NOT_KNOWN
    version = f" ({own(app.version, 60)})" if app.version and app.version != app.release else ""
    yield "Release", release + version, ""
    yield "Live", moment(app.since, now), ""
    yield "Answers", answer(app), "critical" if app.state == "down" else ""
    if app.outside is not None or app.outside_error:
        bad = app.outside is None or app.outside >= 500
        yield (
            "From outside",
            own(app.outside_error, 120) if app.outside is None else str(app.outside),
            "critical" if bad else "",
        )
    if app.recent:
        yield "Last minutes", f"{counted(app.recent, 'request')}, {percent(app.error_rate or 0)} errors", ""
    yield from running(app)
    if app.certificate_expires is not None:
        left = app.certificate_expires - now
        yield (
            "Certificate",
            moment(app.certificate_expires, now).replace("in ", "ends in ", 1) if left > 0 else "has ended",
            kind_of(left),
        )
    yield "Backup", moment(app.backup, now), ""
    yield "Restore drill", moment(app.drill, now), ""
    if app.connections is not None:
        limit = f" of {app.connection_limit}" if app.connection_limit else ""
        yield "Database connections", f"{app.connections}{limit}", ""


def kind_of(left: float) -> str:
    """What is bad about the seconds that a certificate is still valid."""
    return "critical" if left < 3 * DAY else ""


def answer(app: App) -> str:
    """What its health path answered through its socket."""
    if app.status is None:
        return own(app.error or "nothing", 120) if app.state == "down" else NOT_KNOWN
    return f"{app.status} in {milliseconds(app.answered)}" if app.answered is not None else str(app.status)


def running(app: App) -> Iterator[tuple[str, str, str]]:
    """The memory of all its processes, where the host accounts for it, and the workers of its server."""
    known = [unit.memory for unit in (app.server, *app.processes.values()) if unit.memory is not None]
    if known:
        yield "Memory", size(sum(known)), ""
    if app.server.workers is not None:
        yield "Workers", str(app.server.workers), ""


def beside(app: App, now: float) -> str:
    """Its processes and jobs."""
    rows = [process_row(name, unit) for name, unit in sorted(app.processes.items())[:MOST_ROWS]]
    rows += [job_row(name, job, now) for name, job in sorted(app.jobs.items())[:MOST_ROWS]]
    return f"<h3>Processes and jobs</h3><table>{''.join(rows)}</table>" if rows else ""


def process_row(name: str, unit: Unit) -> str:
    """A process: its state, restarts and memory."""
    bad = "" if unit.state in ("active", "activating", "reloading") else ' class="critical"'
    restarts = f", {counted(unit.restarts, 'restart')}" if unit.restarts else ""
    memory_ = f"<td>{size(unit.memory)}</td>" if unit.memory is not None else "<td></td>"
    return f"<tr><td>{own(name)}</td><td{bad}>{text(unit.state) or NOT_KNOWN}{restarts}</td>{memory_}</tr>"


def job_row(name: str, job: Job, now: float) -> str:
    """A job: how its last run ended, and when the next begins."""
    bad = ' class="critical"' if job.result in ("failed", "missed") else ""
    ended = f" {moment(job.ended or job.began, now)}" if job.ended or job.began else ""
    following = f"next {moment(job.next, now)}" if job.next else ""
    return f"<tr><td>{own(name)}</td><td{bad}>{text(job.result) or 'has not run'}{ended}</td><td>{following}</td></tr>"


def deploys(app: App, now: float) -> str:
    """The last deploys, newest first."""
    rows = []
    for one in app.deploys[:MOST_DEPLOYS]:
        when = one.get("time")
        told = moment(when, now) if isinstance(when, int | float) else own(when or NOT_KNOWN, 40)
        words = [own(one[key], 60) for key in ("version", "state", "by") if one.get(key)]
        rows.append(
            f"<tr><td>{own(one.get('release') or NOT_KNOWN, 40)}</td><td>{told}</td><td>{' · '.join(words)}</td></tr>"
        )
    return (
        f"<details><summary>Last deploys ({len(rows)})</summary><table>{''.join(rows)}</table></details>"
        if rows
        else ""
    )
