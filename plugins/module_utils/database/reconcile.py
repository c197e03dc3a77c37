# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconciles the databases of all apps of a host in one call: everything is looked at before anything is changed."""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.on_host import path
from . import access, extensions, maria_setup, ours, server, settings
from .clusters import SOCKETS, Cluster, clusters
from .errors import DatabaseError
from .mariadb import MariaDB
from .postgresql import PostgreSQL
from .superuser import Superuser

DEFAULT_LOCALE = "C.UTF-8"


@dataclass(frozen=True)
class Wanted:
    """What an operator wants of a host's PostgreSQL.

    :ivar apps: those on PostgreSQL, maps with ``name``, ``extensions`` and ``locale``.
    :ivar mariadb: those on MariaDB.
    :ivar cluster: see :func:`access.choose`.
    :ivar settings: what is set beside, or in place of, what follows from the memory.
    :ivar restart: whether the server may restart.
    """

    apps: Sequence[Mapping[str, Any]]
    cluster: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    restart: bool = False
    mariadb: Sequence[Mapping[str, Any]] = ()


@dataclass
class Report:
    """What was done, or would be.

    :ivar changed: sentences.
    :ivar warnings: what the operator should know.
    :ivar problems: what kept it from going on. Nothing has been changed for those that were found beforehand.
    :ivar servers: where the database of each app is.
    """

    changed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note what the block fails with."""
        try:
            yield
        except DatabaseError as error:
            self.problems += [] if str(error) in self.problems else [str(error)]


def reconcile(wanted: Wanted, dry_run: bool = False) -> Report:
    """Have role and database of each app as they are to be, and settings in a cluster that is ours."""
    report = Report()
    places: dict[str, Cluster] = {}
    for app in wanted.apps:
        with report.noting():
            refuse_without_account(app["name"], dry_run)
            places[app["name"]] = place_of(app["name"], wanted.cluster)
            look(Superuser(places[app["name"]]), app, report)
    for app in wanted.mariadb:
        with report.noting():
            refuse_without_account(app["name"], dry_run)
            look_at_mariadb(app)
    if not report.problems:
        report.warnings += moved(wanted.apps, "postgresql") + moved(wanted.mariadb, "mariadb")
        for app in wanted.mariadb:
            with report.noting():
                on_mariadb(app, report, dry_run)
        for cluster in dict.fromkeys(places.values()):
            with report.noting():
                on_cluster(
                    cluster, [app for app in wanted.apps if places[app["name"]] == cluster], wanted, report, dry_run
                )
    return report


def on_cluster(
    cluster: Cluster, apps: Sequence[Mapping[str, Any]], wanted: Wanted, report: Report, dry_run: bool
) -> None:
    """The same for the apps of one cluster."""
    superuser = Superuser(cluster)
    is_ours = settings.is_ours(cluster) or settings.is_untouched(superuser)
    if is_ours:
        set_up(superuser, wanted, report, dry_run)
    elif wanted.settings:
        report.warnings.append(
            f"PostgreSQL {cluster} was there before, so database_settings are not applied to it: it is left as it is, "
            "but for the roles and databases of the apps"
        )
    found = superuser.rows("SELECT current_setting('max_connections')::int AS most")[0]
    for app in apps:
        one = PostgreSQL({"name": app["name"], "socket": SOCKETS, "port": cluster.port}, cluster)
        with report.noting():  # a database that its app has spoilt keeps no other app from having its own
            report.changed += one.create(
                app.get("extensions") or (), app.get("locale") or DEFAULT_LOCALE, dry_run=dry_run
            )
        report.servers[app["name"]] = {
            "socket": SOCKETS,
            "port": cluster.port,
            "version": cluster.version,
            "cluster": cluster.name,
            "is_ours": is_ours,
            "max_connections": found["most"],
        }


def look_at_mariadb(app: Mapping[str, Any]) -> None:
    """Refuse what cannot be had on MariaDB, before anything is changed."""
    MariaDB({"name": app["name"]}).root.look(app["name"]).refuse_if_foreign()


def on_mariadb(app: Mapping[str, Any], report: Report, dry_run: bool) -> None:
    """Have account and database of an app on MariaDB."""
    one = MariaDB({"name": app["name"]})
    if not dry_run:
        report.changed += one.create(app.get("extensions") or ())
        report.warnings += [text for text in maria_setup.warnings(one.root) if text not in report.warnings]
    elif not one.exists():
        report.changed.append(f"create the database {app['name']} on MariaDB")
    report.servers[app["name"]] = {"socket": one.socket}


def moved(apps: Sequence[Mapping[str, Any]], provider: str) -> list[str]:
    """What is said of apps whose database has been on another server so far."""
    records = {app["name"]: server.read(app["name"]) or {} for app in apps}
    return [
        f"flask_apps.{app}.database.provider was {record['provider']} and is {provider} now: nothing is copied. The "
        f"database {app} on {record['provider']} stays as it is and is not backed up any more; a rollback to a release "
        "of before uses it again. Bring its data over, or change the provider back"
        for app, record in records.items()
        if record.get("provider", provider) != provider
    ]


def place_of(app: str, wanted: str) -> Cluster:
    """The cluster of an app's database: that of its record, or the one for new ones."""
    record = server.read(app) or {}
    port = int(record.get("port") or 0) if record.get("provider") == "postgresql" else 0
    try:
        return access.choose(clusters(), wanted, port)
    except DatabaseError as error:
        raise DatabaseError(f"flask_apps.{app}.database: {error}") if port else error from None


def refuse_without_account(app: str, dry_run: bool) -> None:
    """Refuse an app without an account, as which it would ask; in a dry run the account is yet to be made."""
    try:
        pwd.getpwnam(app)
    except KeyError:
        if dry_run:
            return
        raise DatabaseError(
            f"database_apps: there is no account {app} on this host: run the role service_user for it first"
        ) from None


def look(superuser: Superuser, app: Mapping[str, Any], report: Report) -> None:
    """Refuse what cannot be had, before anything is changed."""
    name = app["name"]
    found = ours.look(superuser, name)
    found.refuse_if_foreign(str(superuser.cluster))
    access.refuse_unless_peer(superuser, name)
    extensions.refuse_missing(superuser, name, app.get("extensions") or ())
    locale = app.get("locale") or found.locale or DEFAULT_LOCALE
    if not found.owner:
        access.refuse_missing_locale(name, locale)
    if found.locale and access.plain(found.locale) != access.plain(locale):
        report.warnings.append(
            f"flask_apps.{name}.database.locale is {locale}, and the database was created with {found.locale}, which "
            f"cannot be changed in place: write `locale: {found.locale}`; or take a dump (groundwork.flask.database -e "
            f"app={name} -e dump=FILE), drop it, as root on the host: {path('programs')}/database drop {name}, run "
            "this again and load the dump"
        )


def set_up(superuser: Superuser, wanted: Wanted, report: Report, dry_run: bool) -> None:
    """Write the settings of a cluster of ours, and keep the apps out of its maintenance databases."""
    cluster = superuser.cluster
    all_settings = {
        **settings.settings_for(settings.memory_of_host()),
        **{name: settings.written(value) for name, value in wanted.settings.items()},
    }
    done, waiting = settings.apply(superuser, all_settings, restart=wanted.restart, dry_run=dry_run)
    report.changed += done
    if waiting:
        report.warnings.append(
            f"PostgreSQL {cluster} has new settings that wait for a restart ({', '.join(waiting)}). Restart it when "
            "it suits you, with `-e database_restart=true`: apps with a pooler lose nothing, the connections of "
            "others break"
        )
    if not dry_run:
        open_ones = superuser.rows(
            "SELECT datname::text AS name FROM pg_database WHERE datname IN ('postgres', 'template1') AND EXISTS ("
            "SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a WHERE a.grantee = 0)"
        )
        for row in open_ones:
            superuser.sql(f'REVOKE ALL ON DATABASE "{row["name"]}" FROM PUBLIC')
