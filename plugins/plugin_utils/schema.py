# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may write in ``flask_apps``: one record for each option, as a field of a dataclass.

From these records come the reader (``model``), what the messages call an option, what the roles are given
(``role_inputs``), ``docs/reference.md`` and ``docs/flask_apps.schema.json`` (``script/reference``). Those that the
release engine takes as they are stand in ``module_utils/release/spec.py``, because the module ``release`` gets its
arguments from them and cannot import ``plugin_utils``. The options of each server are in ``servers``, the settings of
a site in ``site_options``, the directives of the sandbox in ``sandbox_options``, where the code comes from in
``source_options``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.options import Option, option, options
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import ControllerOptions, ReleaseOptions
from ansible_collections.groundwork.flask.plugins.plugin_utils import (
    alert_options,
    certificate_rules,
    log_options,
    servers,
    service_options,
    site_options,
)
from ansible_collections.groundwork.flask.plugins.plugin_utils.source_options import Source

# A Linux user name (useradd's 32 characters less room for suffixes) that is also safe in unit names and paths.
APP_NAME = r"[a-z][a-z0-9_-]{0,29}"
HOST_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"{HOST_LABEL}(\.{HOST_LABEL})+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Certificate:
    """Where the site's certificate comes from; see :data:`certificate_rules.PROVIDER_OF`."""

    provider: str = option(
        "acme",
        choices=certificate_rules.PROVIDERS,
        doc="Who issues the certificate: `acme` (a CA such as Let's Encrypt), `self_signed`, or `files` (your own).",
        example="self_signed",
        roles=("certificate",),
    )
    fullchain: str = option(
        "",
        doc="Path of the certificate with its chain, PEM, on the controller; with provider `files` alone.",
        example="tls/shop.pem",
        roles=("certificate",),
    )
    privkey: str = option(
        "",
        doc="Path of the private key, PEM, on the controller, vaulted or not; with provider `files` alone.",
        example="tls/shop.key",
        roles=("certificate",),
    )
    challenge: str = option(
        "http-01",
        choices=certificate_rules.CHALLENGES,
        doc="How the CA is shown whose domain it is, with provider `acme` alone; a wildcard needs `dns-01`.",
        example="dns-01",
        roles=("certificate",),
    )
    profile: str = option(
        "",
        choices=certificate_rules.PROFILES,
        doc="Kind of certificate, with provider `acme` alone; by default the CA's own. An IP address needs "
        "`shortlived`.",
        example="tlsserver",
        roles=("certificate",),
    )


@dataclass(frozen=True)
class Backup:
    """What is saved beside the data directory."""

    paths: tuple[str, ...] = option(
        (),
        doc="Further paths to save; a relative one lies in the data directory, which is always saved.",
        example=["/srv/exports"],
        roles=("backup",),
    )
    before: tuple[str, ...] = option(
        (),
        doc="Shell commands to run before a backup and before a release command, such as a database dump.",
        example=["pg_dump --file $DATA_DIR/shop.sql"],
        roles=("backup", "release"),
    )
    after: tuple[str, ...] = option(
        (),
        doc="Shell commands to run after a backup.",
        example=["rm -f $DATA_DIR/shop.sql"],
        roles=("backup",),
    )
    restore: tuple[str, ...] = option(
        (),
        doc="Shell commands to run after the files of a backup were put back, before the app starts again, such as one "
        "that loads a dump which `before` has made.",
        example=["psql --file $DATA_DIR/shop.sql"],
        roles=("backup",),
    )


@dataclass(frozen=True)
class Proxy:
    """What the proxy does for the app.

    :param site: its settings, with those that the app's uploads and its health check need.
    :param media: URL prefix to a directory of uploads, below the data directory.
    :param owner: the app that owns the domains: itself, or one with which it shares them.
    """

    site: site_options.Site = field(default_factory=site_options.Site)
    media: Mapping[str, site_options.Static] = option(
        {},
        doc="URL prefix to a directory of uploads below the app's data directory, served from disk; as `static`. What "
        "is in it runs no scripts.",
        example={"/media/": "uploads"},
        roles=("proxy", "service_user"),
    )
    owner: str = ""

    @property
    def static(self) -> dict[str, str]:
        """URL prefix to directory in the source."""
        return {url: static.directory for url, static in self.site.static.items()}

    @property
    def body_limit(self) -> int:
        """Bytes of the largest body that passes anywhere on the site; 0 for no limit."""
        settings = (self.site.settings, *self.site.paths.values())
        limits = [site_options.size_in_bytes(one.client_max_body_size) for one in settings]
        return 0 if 0 in limits else max(limits)


@dataclass(frozen=True, kw_only=True)
class App(ReleaseOptions, ControllerOptions):
    """One app, complete."""

    name: str
    source: Source = option(
        Source(),
        required="source: {git: URL, version: v1.2} or source: {directory: PATH}",
        doc="Where the code comes from; exactly one of `git`, `directory`, `archive` and `package`.",
        example={"package": "shop==1.4"},
        roles=("release",),
        defines=True,
    )
    wsgi_app: str = option(
        "",
        required="wsgi_app: module:app or wsgi_app: module:create_app()",
        doc="The WSGI callable as Gunicorn takes it: `module:app`, or a factory, `module:create_app()`.",
        example="shop:app",
        roles=("release",),
        defines=True,
    )
    domains: tuple[str, ...] = option(
        (),
        required="domains: [www.example.org]",
        doc="Names and addresses that the site answers under; the first is the canonical one, the others redirect to "
        "it, but for wildcards.",
        example=["other.example.org"],
        roles=("certificate", "proxy", "release", "watch"),
    )
    replaces: str = option(
        "",
        pattern=rf"{APP_NAME}(\s*,\s*{APP_NAME})*",
        remedy="is not the name of an app: write the one from which this app takes over domains",
        doc="App from which this one takes over the domains that both have, without a lost request, once this one is "
        "live. It is on the host, and not in `flask_apps`: an app of another inventory, or this one under its former "
        "name. Several with commas. See `docs/proxy.md`.",
        example="shop-old",
        roles=("proxy",),
    )
    requirements: tuple[str, ...] = option(
        (),
        pattern=r"[A-Za-z0-9][\w.-]*(\[[\w., -]*\])?\s*([<>=!~].*|@ .+|;.+)?",
        remedy='write each as "name" or "name>=1.2", in quotes (the app\'s own project is installed anyway)',
        doc="Requirements to install beside those that the app asks for.",
        example=["psycopg"],
        roles=("release",),
        defines=True,
    )
    packages: tuple[str, ...] = option(
        (),
        pattern=r"[a-z0-9][a-z0-9+.:-]+",
        remedy="write the names of apt packages",
        doc="apt packages to build or to run the app.",
        example=["libpq-dev"],
        roles=("packages",),
    )
    environment: Mapping[str, str] = option(
        {},
        doc="Environment variables, as text; secret ones belong into `flask_app_secrets`. `$DATA_DIR` and "
        "`$RELEASE_DIR` (the directory of the release's code), also written `${DATA_DIR}`, are replaced by the path; "
        "everything else, and all of a secret, stays as it is.",
        example={"MAIL_SERVER": "mail.example.org"},
        roles=("release",),
        defines=True,
    )
    settings: Mapping[str, Mapping[str, Any]] = option(
        {},
        doc="Files of settings that the app gets beside its code, by their path below the code's directory, which "
        "`$RELEASE_DIR` in `environment` leads to. Each is a `template`, a `file` or `content`, readable by the app "
        "alone, and never shown, for it may hold passwords.",
        example={"instance/config.py": {"content": "THEME = 'dark'\n"}},
        roles=("release",),
        defines=True,
    )
    health_path: str = option(
        "/",
        pattern=r"/\S*",
        remedy="is not a path: begin it with /",
        doc="Path that tells whether the app is healthy: any status below 500 is.",
        example="/healthz",
        roles=("proxy", "release", "watch"),
    )
    health_timeout: int = option(
        60,
        at_least=1,
        at_most=3600,
        doc="Seconds until a new release must have answered at `health_path`.",
        example=90,
        roles=("release",),
    )
    server: str = option(
        servers.DEFAULT,
        kind=dict,
        doc="The WSGI server and its options, in its own names.",
        example={"threads": 4},
        roles=("release",),
        defines=True,
    )
    server_options: Mapping[str, Any] = field(default_factory=dict)
    processes: Mapping[str, Mapping[str, Any]] = option(
        {},
        doc="Processes beside the WSGI server, such as workers, by name: units of the release, which start, are "
        "checked and end with it. Each is a map; see below.",
        example={"worker": {"command": "rq worker -u $REDIS_URL", "kind": "rq"}},
        roles=("release",),
        defines=True,
    )
    jobs: Mapping[str, Mapping[str, Any]] = option(
        {},
        doc="Commands that run on a schedule in the live release, by name. Each is a map; see below.",
        example={"nightly": {"command": "flask report", "schedule": "*-*-* 03:00"}},
        roles=("release",),
        defines=True,
    )
    database: service_options.Database = option(
        service_options.Database(),
        doc="A database on this host, or the address of one elsewhere. SQLite databases in the data directory need "
        "nothing of this.",
        example={"provider": "postgresql"},
        roles=("backup", "database", "release"),
        defines=True,
    )
    redis: service_options.Redis = option(
        service_options.Redis(),
        doc="Redis of the app's own, for a queue or a cache.",
        example={"purpose": "queue"},
        roles=("backup", "redis", "release"),
        defines=True,
    )
    proxy: Proxy = option(
        Proxy(),
        doc="What the proxy does for the app; see `docs/proxy.md`.",
        example={"buffering": False},
        roles=("proxy",),
    )
    certificate: Certificate = option(
        Certificate(),
        doc="Where the certificate comes from.",
        example={"provider": "self_signed"},
        roles=("certificate",),
    )
    logs: log_options.Logs = option(
        log_options.Logs(),
        doc="The app's journal: how much it keeps, and who reads it; see `docs/logs.md`.",
        example={"max_use": "500M", "readers": ["ada"]},
        roles=("release", "service_user", "wsgi_server"),
    )
    alerts: alert_options.Alerts = option(
        alert_options.Alerts(),
        doc="When somebody is told of the app; see `docs/alerts.md`.",
        example={"p95_ms": 1500},
        roles=("watch",),
    )
    backup: Backup = option(
        Backup(),
        doc="What is saved beside the data directory and the SQLite databases in it.",
        example={"paths": ["/srv/exports"]},
        roles=("backup",),
    )
    sandbox: Mapping[str, Any] = option(
        {},
        doc="systemd directives that replace those of the app's sandbox.",
        example={"MemoryDenyWriteExecute": False},
        roles=("release", "wsgi_server"),
        defines=True,
    )
    outgoing: Sequence[Mapping[str, Any]] | None = option(
        None,
        kind=list,
        doc="Where the app may connect to, as a list of maps, see below; by default everywhere but to the cloud's "
        "metadata addresses. The host itself is always open, and name servers are if the list has an entry; `[]` "
        "leaves the host alone. Builds are not held to it. See `docs/outgoing.md`.",
        example=[{"to": ["192.0.2.7"], "ports": [443]}],
        roles=("service_user",),
    )
    instance_metadata: bool = option(
        False,
        doc="Whether the app may reach the cloud's metadata addresses, such as 169.254.169.254, which hand out the "
        "credentials of the server's role. boto3 needs it where it takes these.",
        example=True,
        roles=("service_user",),
    )
    proxy_fix: bool = option(
        True,
        doc="Whether the app sees the visitor's address and https; false for one that applies werkzeug's ProxyFix.",
        example=False,
        roles=("release",),
        defines=True,
    )
    debug: bool = option(
        False,
        doc="Whether Flask's debug mode is on, which shows tracebacks to visitors.",
        example=True,
        roles=("release",),
        defines=True,
    )

    @property
    def replaced(self) -> list[str]:
        """The apps from which this one takes over domains."""
        return [name.strip() for name in self.replaces.split(",") if name]

    @property
    def data(self) -> str:
        """The directory of the app's data."""
        return on_host("data", self.name)

    @property
    def current(self) -> str:
        """The symlink that leads to the live release."""
        return on_host("current", self.name)


PROVIDER = Option(
    str,
    servers.DEFAULT,
    choices=tuple(servers.SERVERS),
    doc="The WSGI server.",
    example="waitress",
    roles=("release",),
    defines=True,
)
SERVER_OPTIONS = Option(
    dict,
    {},
    doc="Options of the server that are not listed here, as they are, in its own names.",
    roles=("release",),
    defines=True,
)


def section(key: str) -> Mapping[str, Option]:
    """The options below one of an app's, those of the default server for ``server``; empty for one that is no map."""
    return {
        "source": options(Source),
        "server": {"provider": PROVIDER, **servers.options_of(servers.DEFAULT), "options": SERVER_OPTIONS},
        "proxy": {**site_options.OPTIONS, **options(Proxy)},
        "certificate": options(Certificate),
        "logs": options(log_options.Logs),
        "alerts": options(alert_options.Alerts),
        "backup": options(Backup),
        "database": options(service_options.Database),
        "redis": options(service_options.Redis),
    }.get(key, {})


# What to do about an option that stands beside the section that it belongs to.
MISPLACED = {
    key: f"it belongs below {place}, as `{place}: {{{key}: …}}`"
    for place in ("source", "server", "proxy")
    for key in section(place)
    if key not in ("package", "provider", "options")
}
