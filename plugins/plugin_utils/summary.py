# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person wants to know at the end of a run: how each app stands, then what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.plugin_utils import role_inputs, servers
from ansible_collections.groundwork.flask.plugins.plugin_utils.schema import App

Facts = Mapping[str, Any]


def summarize(
    apps: Sequence[App],
    release: Facts,
    certificate: Facts,
    backup: Facts,
    version: str = "",
    known: Sequence[App] = (),
    outside: Facts | None = None,
    receivers: Sequence[str] | None = None,
) -> list[str]:
    """The lines of the summary.

    :param apps: those to speak of.
    :param version: the version that was asked for on the command line, "" for the one that the inventory names.
    :param known: all apps in ``flask_apps``; a run that takes some of them knows the others.
    :param release: what the module release returned; ``certificate`` and ``backup`` what those roles registered. Each
        may be empty, when a tag or a dry run left it out.
    :param outside: what ``verify_outside`` returned, alike.
    :param receivers: the names of those who are told when something breaks; None where nothing watches.
    """
    visited = outside or {}
    lines: list[str] = []
    warnings: list[str] = []
    for app in apps:
        released = release.get("apps", {}).get(app.name, {})
        lines += [f"{app.name}: https://{app.domains[0]}{app.proxy.site.prefix}/"]
        lines += [f"  {noun:<12}{text}" for noun, text in standing(app, release, certificate, backup, visited) if text]
        if released and version not in ("", app.source.version, app.source.package.partition("==")[2]):
            warnings.append(
                f"{app.name}: {version} is deployed, and flask_apps.{app.name}.source says something else: the next "
                "run without -e version follows that. Write it there."
            )
        if app.debug:
            warnings.append(
                f"{app.name}: debug mode is on and shows visitors tracebacks. "
                f"Take `debug: true` out of flask_apps.{app.name}."
            )
        warnings += [f"{app.name}: {warning}" for warning in released.get("warnings", [])]
        if problem := certificate.get("names", {}).get(app.name, {}).get("error"):
            warnings.append(f"{app.name}: {problem}")
    warnings += unlisted_apps(release, known or apps)
    warnings += backup.get("warnings", [])
    warnings += visited.get("warned") or []
    if receivers:
        lines.append(f"alerts: told to {', '.join(receivers)}")
    elif receivers is not None:
        warnings.append("nobody is told when something breaks: name a receiver in watch_receivers (docs/alerts.md).")
    return lines + [f"WARNING {warning}" for warning in warnings]


def unlisted_apps(release: Facts, known: Sequence[App]) -> Iterator[str]:
    """What is to be said of the apps that are on the host and not in ``flask_apps``.

    :param release: what the module release returned; its ``others`` are on the host and were not in this run.
    """
    successors = {name: app.name for app in known for name in app.replaced}
    for name in release.get("others", []):
        remedy = f"To take it off: ansible-playbook groundwork.flask.remove -e app={name}"
        successor = successors.get(name, "")
        if successor in (release.get("not_live") or ()):
            yield (
                f"{name}: serves on, because {successor}, which is to take over domains of it (replaces), is not live."
            )
        elif successor:
            yield (
                f"{name}: {successor} has taken over domains of it (replaces). It runs on, and its data in "
                f"{on_host('data', name)} was not moved. {remedy}"
            )
        elif name not in [app.name for app in known]:
            yield f"{name}: is on this host but not in flask_apps. It was left alone. {remedy}"


def standing(app: App, release: Facts, certificate: Facts, backup: Facts, outside: Facts) -> list[tuple[str, str]]:
    """How one app stands, noun by noun; an empty text is left out."""
    released = release.get("apps", {}).get(app.name, {})
    if failed := failed_line(app.name, release):
        released = {}
    kind = certificate.get("names", {}).get(app.name, {})
    saved = backup.get("sets", {}).get(app.name, {})
    return [
        ("release", failed or release_line(released)),
        ("changed", ", ".join(released.get("changes", []))),
        ("would run", "; ".join(released.get("commands", []))),
        ("workers", released.get("workers", "")),
        ("processes", released.get("processes", "")),
        ("jobs", released.get("jobs", "")),
        ("database", database_line(app, released.get("database", ""))),
        ("redis", f"{app.redis.purpose}, {app.redis.maxmemory}" if released and app.redis.purpose else ""),
        ("connections", connections_line(app, released)),
        ("certificate", certificate_line(kind)),
        ("backup", backup_line(saved)),
        ("visitors", (outside.get("visits") or {}).get(app.name, "")),
    ]


def failed_line(name: str, release: Facts) -> str:
    """That the app was not deployed, and by which number its reason is found; "" when it was."""
    if name not in (release.get("failed_apps") or ()):
        return ""
    number = (release.get("references") or {}).get(name)
    state = "; none is live" if name in (release.get("not_live") or ()) else ""
    return f"not deployed: see the message below{f' for number {number}' if number else ''}{state}"


def release_line(released: Facts) -> str:
    """The release, what was done, and from which source."""
    if not released:
        return ""
    took = f" in {released['seconds']:.0f} s" if released.get("seconds") else ""
    previous = (
        f", after {released['previous']}" if released.get("previous") not in ("", released.get("release")) else ""
    )
    source = released["source"] or "its source"
    return f"{released.get('release') or 'new'}, {released['action']}{took}{previous}, from {source}"


def connections_line(app: App, released: Facts) -> str:
    """How many connections at once the app can have, where some may be held open: on a path that is not buffered."""
    held = [one for one in (app.proxy.site.settings, *app.proxy.site.paths.values()) if not one.buffering]
    workers = re.match(r"\d+", released.get("workers", ""))
    if not workers or not held:
        return ""
    option = servers.SERVERS[app.server].at_once(app.server_options)
    each = role_inputs.threads(app)
    return (
        f"at most {int(workers[0]) * each} at once ({workers[0]} workers x {each} {option or 'request'}). "
        "Each WebSocket, event stream or long poll takes one while it is open, and ends after "
        f"{min(one.read_timeout for one in held)} s of silence (proxy.read_timeout). "
        + (f"For more, raise server.{option}" if option else "For more, take a server with threads")
    )


def database_line(app: App, reached: str) -> str:
    """How the app reaches its database, and the settings of SQLAlchemy's pool that fit.

    With fewer connections kept than there are threads it would open and close one for many a request.
    """
    way, by_sqlalchemy, _rest = reached.partition(", by SQLAlchemy")
    if not by_sqlalchemy:
        return way
    fitting = f"pool_size {role_inputs.threads(app)}, max_overflow 0, pool_pre_ping True"
    return f"{way}; what fits in SQLALCHEMY_ENGINE_OPTIONS: {fitting}"


def certificate_line(kind: Facts) -> str:
    """Who issued the certificate, and until when it is valid."""
    if not kind:
        return ""
    temporary = "temporary, no browser trusts it; " if kind.get("temporary") else ""
    return f"{temporary}issued by {kind.get('issuer', 'unknown')}, until {kind.get('until', 'unknown')}"


def backup_line(saved: Facts) -> str:
    """The last backup, and where it is."""
    if not saved or not saved.get("last"):
        return ""
    return f"{saved['last']} in {', '.join(str(name) for name in saved.get('repositories', []))}"
