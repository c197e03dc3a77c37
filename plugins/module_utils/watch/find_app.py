# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an app, judged from what a look has read: a function for each kind, which yields findings."""

from __future__ import annotations

from collections.abc import Iterator

from ..common import clock
from ..common.on_host import on_host
from . import outside as outside_of
from .conditions import Found
from .facts import Facts, critical, level
from .records import App, Condition, Look

LEAST_REQUESTS = 20  # below which a share of errors, or a percentile, says nothing
MOST_DAYS = 30.0  # a certificate of a year is not told of for three months
CRITICAL_DAYS = 3.0
CERTIFICATE = f"{on_host('programs')}/certificate"


def of_app(name: str, app: App, look: Look, facts: Facts, is_proxy_down: bool) -> Iterator[Found]:
    """What is wrong with one app."""
    down = list(health(name, app, facts))
    yield from down
    if not down:
        if not is_proxy_down:
            yield from from_outside(name, app, facts)
        yield from requests(name, app, facts)
    yield from processes(name, app, facts)
    yield from jobs(name, app)
    yield from certificate(name, look, facts)
    yield from release(name, facts)
    yield from backup(name, name, look, facts)


def health(name: str, app: App, facts: Facts) -> Iterator[Found]:
    """An app that does not answer on its own socket, asked twice."""
    if app.state != "down":
        return
    how = f"answers {app.status}" if app.status else f"does not answer: {app.error or 'no answer'}"
    command = f"{name} status; {name} logs"
    if app.status is None and app.server.state == "inactive":
        how, command = (
            "does not run: its server is stopped",
            f"systemctl start {facts.running.parts[name].server}; {command}",
        )
    yield Found(critical("health", name, f"The app {how}.", command), certain=True)


def from_outside(name: str, app: App, facts: Facts) -> Iterator[Found]:
    """A site that does not answer by its name, though its app does, asked twice."""
    here, there = facts.outside.here.get(name), facts.outside.there.get(name)
    if not outside_of.is_bad(outside_of.verdict(here, there)):
        return
    domain = app.domains[0]
    how = f"answers {app.outside}" if app.outside else f"does not answer: {app.outside_error}"
    if outside_of.is_bad(here):
        message = f"{domain} {how}. The app itself answers."
        command = f"{name} logs; journalctl -u nginx -u apache2 -n 20"
    else:
        message = f"{domain} {how}. This host's own web server answers for it: look at DNS, firewall and balancer."
        command = f"getent ahosts {domain}; ip -br address; nft list ruleset"
    yield Found(critical("outside", name, message, command), certain=True)


def requests(name: str, app: App, facts: Facts) -> Iterator[Found]:
    """Many errors, or slow answers, in the last minutes."""
    alerts = facts.settings.apps[name].alerts
    if app.recent < LEAST_REQUESTS:
        return
    if alerts.error_percent and app.error_rate is not None and app.error_rate * 100 >= alerts.error_percent:
        message = f"{app.error_rate:.0%} of {app.recent} requests in five minutes were answered with 5xx."
        yield Found(critical("error_rate", name, message, f"{name} logs"))
    if alerts.p95_ms and app.p95 is not None and app.p95 * 1000 > alerts.p95_ms:
        message = f"One in twenty of {app.recent} requests in five minutes took more than {app.p95:.2f} s."
        yield Found(
            Condition(
                "latency", name, message=f"{message} The limit is {alerts.p95_ms / 1000:g} s.", command=f"{name} status"
            )
        )


def processes(name: str, app: App, facts: Facts) -> Iterator[Found]:
    """Units of the release that do not run, or do not stay up."""
    for process, unit in {"web": app.server, **app.processes}.items():
        command = f"{name} status; {name} logs"
        if (times := facts.restarts.get(f"{name}/{process}", 0)) >= facts.settings.restarts:
            message = f"{process} does not stay up: systemd has restarted it {times} times within ten minutes."
            yield Found(Condition("process", name, process, message, command=command), certain=True)
        elif unit.state in ("failed", "inactive") and process != "web":
            message = f"The process {process} does not run ({unit.state})."
            yield Found(Condition("process", name, process, message, command=f"{name} restart {process}"))


def jobs(name: str, app: App) -> Iterator[Found]:
    """Jobs whose last run failed, or that did not run when they were due."""
    for job, found in app.jobs.items():
        run = f"{name} jobs run {job}"
        if found.result == "failed":
            at = f" at {clock.timestamp(found.ended)}" if found.ended else ""
            message = f"The last run of the job {job} failed{at}."
            yield Found(Condition("job", name, job, message, command=run), certain=True)
        elif found.result == "missed":
            message = f"The job {job} does not run on its schedule: its timer is stopped."
            if found.next:
                message = f"The job {job} was due at {clock.timestamp(found.next)} and has not run."
            yield Found(Condition("job", name, job, message, command=f"systemctl restart {name}.{job}.timer"))


def certificate(name: str, look: Look, facts: Facts) -> Iterator[Found]:
    """A certificate, as it is served, that ends soon."""
    if name not in facts.certificates:
        return
    begins, ends = facts.certificates[name]
    days = (ends - look.time) / clock.DAY
    if days > min(MOST_DAYS, facts.settings.certificate_percent / 100 * (ends - begins) / clock.DAY):
        return
    message = f"The certificate that is served expires in {days:.1f} days, on {clock.date(ends)}."
    if days < 0:
        message = f"The certificate that is served expired on {clock.date(ends)}."
    command = f"{CERTIFICATE} reconcile {name}"
    severity = level(days < CRITICAL_DAYS)
    yield Found(Condition("certificate", name, "", message, command=command, severity=severity))


def release(name: str, facts: Facts) -> Iterator[Found]:
    """A new release that was taken back on the host, or is not well and stays."""
    if texts := facts.releases.get(name):
        message = f"{texts[0][:1].upper()}{texts[0][1:]}"
        yield Found(Condition("release", name, message=message, command=f"{name} releases"), certain=True)


def backup(name: str, subject: str, look: Look, facts: Facts) -> Iterator[Found]:
    """A set that was not backed up in time, or whose restore drill failed or is overdue."""
    if (found := facts.saved.get(name)) is None:
        return
    which, run = f" of {name}" if name != subject else "", "systemctl start groundwork-backup"
    age = (look.time - (found.last or facts.backup_since)) / 3600
    if age > facts.backup_hours:
        what = f"is {age:.0f} hours old" if found.last else "is due: there is none"
        message = f"The last backup{which} {what}; it may be {facts.backup_hours:.0f} hours old."
        why = f" The last attempt failed: {found.error}" if found.error else ""
        yield Found(Condition("backup", subject, which and name, f"{message}{why}", command=run))
    elif found.error:
        yield Found(
            Condition("backup", subject, which and name, f"The last backup{which} failed: {found.error}", command=run),
            certain=True,
        )
    days = (look.time - (found.drill or facts.backup_since)) / clock.DAY
    drill = "systemctl start groundwork-backup-drill"
    if found.drill_error:
        message = f"The last restore drill{which} failed: {found.drill_error}"
        yield Found(Condition("drill", subject, which and name, message, command=drill), certain=True)
    elif days > facts.settings.drill_days:
        message = f"There was no restore drill{which} for {days:.0f} days; it may be {facts.settings.drill_days}."
        yield Found(Condition("drill", subject, which and name, message, command=drill))
