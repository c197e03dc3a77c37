# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cluster of a host an app's database is on, and whether the app's account can reach it without a password."""

from __future__ import annotations

from collections.abc import Sequence

from ..common import programs
from . import settings
from .clusters import Cluster
from .errors import DatabaseError
from .superuser import Superuser

REMEDY = "local   {app}   {app}   peer"


def choose(found: Sequence[Cluster], wanted: str = "", port: int = 0) -> Cluster:
    """The cluster for an app's database.

    :param wanted: as an operator names it, ``17/main``; "" for none in particular.
    :param port: that of the app's record, if it has a database already; it stays where it is.
    :raises DatabaseError: none, or several and no reason to take one of them.
    """
    known = ", ".join(map(str, found)) or "none"
    if port:
        here = [one for one in found if one.port == port and one.is_online]
        if not here:
            down = next((one for one in found if one.port == port), None)
            start = f"Start it: systemctl start {down.unit}" if down else "Make it answer at that port again"
            raise DatabaseError(
                f"the app's database is on the PostgreSQL cluster with the port {port}, which does not run; there are: "
                f"{known}. {start}"
            )
        return here[0]
    if wanted:
        here = [one for one in found if f"{one.version}/{one.name}" == wanted]
        if not here:
            raise DatabaseError(
                f"database_cluster: {wanted!r} is no PostgreSQL cluster of this host; there are: {known}"
            )
        return running(here[0])
    if not found:
        raise DatabaseError(
            "this host has no PostgreSQL cluster: make one, as root: pg_createcluster "
            "$(ls /usr/lib/postgresql | sort -n | tail -n 1) main --start"
        )
    online = [one for one in found if one.is_online] or list(found)
    ours = [one for one in online if settings.is_ours(one)]
    if len(online) > 1 and len(ours) != 1:
        raise DatabaseError(
            f"this host has several PostgreSQL clusters: {known}. Name the one for the apps, as in "
            f"`database_cluster: {online[0].version}/{online[0].name}`"
        )
    return running(ours[0] if len(online) > 1 else online[0])


def running(cluster: Cluster) -> Cluster:
    """The same cluster.

    :raises DatabaseError: it does not run.
    """
    if not cluster.is_online:
        raise DatabaseError(f"the PostgreSQL cluster {cluster} does not run: start it: systemctl start {cluster.unit}")
    return cluster


def plain(locale: str) -> str:
    """A locale as it compares: ``de_DE.UTF-8`` is ``de_DE.utf8`` too."""
    return locale.lower().replace("-", "")


def refuse_missing_locale(app: str, locale: str) -> None:
    """Refuse a locale that the host does not have.

    :raises DatabaseError: with the commands that make it.
    """
    there = programs.run(("/usr/bin/locale", "-a"), seconds=60).stdout.split()
    if plain(locale) not in {plain(one) for one in (*there, "C", "POSIX", "C.UTF-8")}:
        raise DatabaseError(
            f"flask_apps.{app}.database.locale: this host has no locale {locale}: choose another (`locale -a` lists "
            "them), or make it, as root on the host: apt-get install locales && "
            f"echo '{locale} UTF-8' >>/etc/locale.gen && locale-gen"
        )


def refuse_unless_peer(server: Superuser, app: str) -> None:
    """Refuse a server that does not tell by the socket who asks: the app could not enter, or anybody could.

    :raises DatabaseError: with the line that is missing.
    """
    rules = server.rows(
        "SELECT line_number AS line, database, user_name, auth_method, coalesce(options, '{}') AS options "
        "FROM pg_hba_file_rules WHERE type = 'local' AND error IS NULL ORDER BY line_number"
    )
    for rule in rules:
        if {"all", app, "sameuser"} & set(rule["database"]) and {"all", app} & set(rule["user_name"]):
            if rule["auth_method"] == "peer" and not [one for one in rule["options"] if one.startswith("map=")]:
                return
            found = f"its line {rule['line']} has {rule['auth_method']}"
            break
    else:
        found = "no line is about it"
    raise DatabaseError(
        f"flask_apps.{app}.database: PostgreSQL {server.cluster} does not let the app's account in by peer, for in "
        f"pg_hba.conf {found}: put `{REMEDY.format(app=app)}` before it in {server.cluster.configuration}/pg_hba.conf "
        f"and reload it: systemctl reload {server.cluster.unit}"
    )
