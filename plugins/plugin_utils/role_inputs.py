# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each role takes, made from the apps as plain data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.options import options
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import ControllerOptions, ReleaseOptions
from ansible_collections.groundwork.flask.plugins.plugin_utils import log_options, servers
from ansible_collections.groundwork.flask.plugins.plugin_utils.certificate_rules import PROVIDER_OF
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import plain
from ansible_collections.groundwork.flask.plugins.plugin_utils.schema import App
from ansible_collections.groundwork.flask.plugins.plugin_utils.site_options import written
from ansible_collections.groundwork.flask.plugins.plugin_utils.source import needed_by

# The options of an app that the role release takes as they are.
HANDED_ON = (*options(ReleaseOptions), *options(ControllerOptions))

# SQLAlchemy's reading of a database URL, as far as the host.
DATABASE = re.compile(
    r"(?:postgres|postgresql|mysql|mariadb|mssql|oracle|cockroachdb)(?:\+\w+)?://"
    r"(?:[^:/@]*(?::[^@]*)?@)?(?P<host>\[[^]]*\]|[^:/?,]*)",
    re.IGNORECASE,
)


def accounts(app: App) -> dict[str, Any]:
    """For service_user."""
    logs = {"readers": list(app.logs.readers), "ship": app.logs.ship}
    return {
        "name": app.name,
        "readable": [media.directory for media in app.proxy.media.values()],
        **({} if app.outgoing is None else {"outgoing": plain(app.outgoing)}),
        **({"instance_metadata": True} if app.instance_metadata else {}),
        **({"logs": logs} if any(logs.values()) else {}),
    }


def units(app: App) -> dict[str, Any]:
    """For wsgi_server. The unit waits ten seconds longer than the server's own graceful stop."""
    return {
        "name": app.name,
        "stop_timeout": servers.seconds(app.server, app.server_options)[1] + 10,
        "sandbox": dict(app.sandbox),
    }


def journal(app: App) -> dict[str, Any]:
    """The limits of an app's journal that are not the role's own."""
    limits = {"max_use": app.logs.max_use, "retention": app.logs.retention}
    rate = {} if app.logs.rate_limit == log_options.RATE_LIMIT else {"rate_limit": app.logs.rate_limit}
    return {**{key: value for key, value in limits.items() if value}, **rate}


def units_and_journal(app: App) -> dict[str, Any]:
    """For wsgi_server: the units, of which a release keeps a copy, and the journal, of which it does not."""
    return {**units(app), "journal": journal(app)}


def releases(app: App) -> dict[str, Any]:
    """For release: everything that defines the running process, but the secrets."""
    prefix = app.proxy.site.prefix
    wsgi_app = app.wsgi_app if ":" in app.wsgi_app else f"{app.wsgi_app}:application"
    return {
        **{name: plain(getattr(app, name)) for name in HANDED_ON},
        "name": app.name,
        "source": app.source.given,
        "requirements": [*servers.SERVERS[app.server].requirements(app.server_options), *app.requirements],
        "environment": {
            **app.environment,
            "WSGI_APP": app.wsgi_app,
            "FLASK_APP": app.environment.get("FLASK_APP", wsgi_app),
            "FLASK_DEBUG": "1" if app.debug else "0",
            "GROUNDWORK_DEBUG": "1" if app.debug else "0",
            "GROUNDWORK_PROXY_FIX": "1" if app.proxy_fix else "0",
            **({"GROUNDWORK_PREFIX": prefix} if prefix else {}),
            **({} if app.logs.levels else {"GROUNDWORK_LOG_LEVELS": "0"}),
        },
        "settings": {path: dict(setting) for path, setting in app.settings.items()},
        "processes": plain(app.processes),
        "jobs": plain(app.jobs),
        "database": {key: value for key in ("provider", "url") if (value := getattr(app.database, key))},
        "redis": {"purpose": app.redis.purpose} if app.redis.purpose else {},
        "files": servers.release_files(app.server, app.server_options),
        "unit": units(app),
        "static": app.proxy.static,
        "save_commands": list(app.backup.before),
        "body_limit": app.proxy.body_limit,
        "health": {
            "host": app.domains[0],
            "path": prefix + app.health_path,
            "timeout": app.health_timeout,
            **({"prefix": prefix} if prefix else {}),
        },
    }


def site(app: App) -> dict[str, Any]:
    """For proxy: the site as it was read, its directories at their places on the host.

    The proxy waits five seconds longer than the server, whose error is the better one.
    """
    static = {
        url: replace(one, directory=f"{app.current}/public{url.rstrip('/')}")
        for url, one in app.proxy.site.static.items()
    }
    media = {url: replace(one, directory=f"{app.data}/{one.directory}") for url, one in app.proxy.media.items()}
    return {
        **written(replace(app.proxy.site, static={**static, **media})),
        "read_timeout": app.proxy.site.settings.read_timeout,
        "name": app.name,
        "domains": list(app.domains),
        "socket": f"{app.current}/app.sock",
        "certificate": on_host("certificate", app.proxy.owner),
        "journal": app.name,
        **({"replaces": app.replaced} if app.replaced else {}),
    }


def certificates(app: App) -> dict[str, Any]:
    """For certificate; nothing where another app's is served."""
    if app.proxy.owner != app.name:
        return {}
    given = {key: getattr(app.certificate, key) for key in PROVIDER_OF}
    own = {key: value for key, value in given.items() if value and PROVIDER_OF[key] == app.certificate.provider}
    return {"name": app.name, "domains": list(app.domains), "provider": app.certificate.provider, **own}


def backup_sets(app: App) -> dict[str, Any]:
    """For backup: the data directory, and what the user adds; a relative path lies in the data directory already."""
    return {
        "name": app.name,
        "paths": [app.data, *(path for path in app.backup.paths if path.startswith("/"))],
        "before": list(app.backup.before),
        "after": list(app.backup.after),
        "restore": list(app.backup.restore),
        "services": [*local_provider(app), *(["redis"] if app.redis.purpose in ("queue", "both") else ())],
        "user": app.name,
        "owner": app.name,
    }


def local_provider(app: App) -> list[str]:
    """The server on the host that the app's database is on, if there is one."""
    return [app.database.provider] if app.database.provider and not app.database.url else []


def databases(app: App) -> dict[str, Any]:
    """For database; nothing where the app has none on the host. The last five say how many connections it opens."""
    if not local_provider(app):
        return {}
    return {
        "name": app.name,
        "provider": app.database.provider,
        "pool": app.database.pool,
        "extensions": list(app.database.extensions),
        "locale": app.database.locale,
        "workers": app.server_options.get("workers"),
        "worker_memory": app.server_options.get("worker_memory"),
        "threads": threads(app),
        "processes": sum(process["count"] for process in app.processes.values()),
        "jobs": len(app.jobs),
    }


def threads(app: App) -> int:
    """How many requests a worker of the app's server answers at a time."""
    record = servers.SERVERS[app.server]
    return int(app.server_options.get(record.at_once(app.server_options)) or 1)


def redis(app: App) -> dict[str, Any]:
    """For redis; nothing where the app has none."""
    if not app.redis.purpose:
        return {}
    return {"name": app.name, "purpose": app.redis.purpose, "maxmemory": app.redis.maxmemory}


def watched(app: App) -> dict[str, Any]:
    """For watch."""
    return {
        "name": app.name,
        "domains": list(app.domains),
        "health_path": app.proxy.site.prefix + app.health_path,
        "alerts": plain(asdict(app.alerts)),
    }


# Empty for an app for which a role has nothing to do.
ROLE_INPUTS: Mapping[str, Callable[[App], dict[str, Any]]] = {
    "service_user": accounts,
    "wsgi_server": units_and_journal,
    "release": releases,
    "proxy": site,
    "certificate": certificates,
    "backup": backup_sets,
    "database": databases,
    "redis": redis,
    "watch": watched,
}


def packages(apps: Sequence[App]) -> list[str]:
    """The apt packages that the apps and their servers need to be fetched, built and run, without repetition."""
    wanted: set[str] = set()
    for app in apps:
        if app.source.git:
            wanted.add("git")
        if app.source.is_ssh:
            wanted.add("openssh-client")
        if app.source.directory:
            wanted.update(needed_by(app.source.directory))
        wanted.update(app.packages, servers.SERVERS[app.server].packages(app.server_options))
    return sorted(wanted)


def schedules(apps: Sequence[App]) -> list[str]:
    """The schedules of the apps' jobs, without repetition."""
    return sorted({job["schedule"] for app in apps for job in app.jobs.values()})


def log_readers(apps: Sequence[App]) -> list[str]:
    """The accounts that read the apps' journals, without repetition."""
    return sorted({name for app in apps for name in app.logs.readers})


# --- where a release command runs ----------------------------------------


def shares_database(environment: Mapping[str, Any], secrets: Mapping[str, Any]) -> bool:
    """Whether the app's variables name a database on another machine, which all hosts of the app share then."""
    for value in (*environment.values(), *secrets.values()):
        if found := DATABASE.match(str(value)):
            host = found["host"].strip("[]").lower()
            # libpq takes the path of a local socket in the host's place, with its / as %2F.
            if host not in ("", "localhost", "::1") and not host.startswith(("127.", "%2f")):
                return True
    return False


def releases_once(apps: Iterable[Mapping[str, Any]], secrets: Mapping[str, Any]) -> list[str]:
    """The names of the apps whose release command runs on the first of several hosts only.

    :param apps: as :func:`releases` makes them.
    :param secrets: secret environment variables by app.
    """
    return [
        app["name"]
        for app in apps
        if (app.get("release_command") or app.get("setup_command"))
        and (
            app.get("release_command_hosts") == "first"
            or (
                not app.get("release_command_hosts")
                and shares_database(
                    {**(app.get("environment") or {}), "database.url": (app.get("database") or {}).get("url", "")},
                    secrets.get(app["name"]) or {},
                )
            )
        )
    ]
