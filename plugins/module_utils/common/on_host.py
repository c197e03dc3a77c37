# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths and accounts on a host that roles, programs and tests agree on: one table, which Jinja reads by a filter.

What a program keeps below one of these directories is its own business, and stands in its package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

OF_AN_APP: Mapping[str, str] = MappingProxyType(
    {
        "home": "/srv/{app}",  # root's: releases, environments, and the symlink that says which release is live
        "releases": "/srv/{app}/releases",
        "current": "/srv/{app}/current",
        "socket": "/srv/{app}/current/app.sock",
        "undeployed": "/srv/{app}/undeployed.html",  # what its site shows while no release of it is live
        "data": "/var/lib/{app}",
        "cache": "/var/cache/{app}",
        "redis_data": "/var/lib/{app}.redis",  # what its queue keeps; the app's, as all that Redis writes
        "services": "/etc/groundwork/services/{app}",  # how the app reaches its database and its Redis
        "pooler": "/run/{app}.pooler",  # the directory of its pooler's socket
        "journal": "/run/systemd/journal.{app}",  # the sockets of its journal
        "maintenance": "/etc/groundwork/maintenance/{app}",  # there while its site is in maintenance
        "certificate": "/etc/ssl/groundwork/{app}/current",  # of the app that owns the domains
        "shipped": "/var/lib/groundwork-ship/{app}",  # how far its journal is shipped; what ships it owns it
        "log_group": "groundwork-logs-{app}",  # whose members may read its journal; see log_group()
    }
)
OF_THE_HOST: Mapping[str, str] = MappingProxyType(
    {
        "homes": "/srv",  # the directories above those of the apps
        "datas": "/var/lib",
        "caches": "/var/cache",
        "configuration": "/etc/groundwork",
        "outgoing": "/etc/groundwork/outgoing",  # what each app may talk to
        "logs": "/etc/groundwork/logs",  # who reads the journal of each app, and where it is shipped
        "ship_user": "groundwork-ship",  # what ships journals
        "state": "/var/lib/groundwork",
        "metrics": "/var/lib/groundwork/metrics",  # of the last look, for node-exporter
        "watch": "/var/lib/groundwork/watch",  # what the last look has found, and messages that wait
        "status": "/var/lib/groundwork/status",  # the operator's status page
        "status_site": "groundwork-status",  # the site that serves it
        "runtime": "/run/groundwork",
        "build_caches": "/var/cache/groundwork",
        "certificates": "/etc/ssl/groundwork",
        "programs": "/usr/local/lib/groundwork",
        "packages": "/usr/local/lib/groundwork/python",  # of these programs
        "sshd_settings": "/etc/ssh/sshd_config.d/00-groundwork.conf",  # read before the files of images and providers
        "ca_bundle": "/etc/ssl/certs/ca-certificates.crt",  # of the certificate authorities that the host trusts
        "acme_webroot": "/var/www/acme",
        "build_group": "groundwork-build",  # of what builds releases; the outgoing rules know it by that
        "alerts_account": "groundwork-alerts",  # sends alerts, and runs the commands that take them
        "proxy_user": "www-data",  # Debian's account and group for web servers; either provider runs as it
    }
)

# How the groups of readers begin; no app's name does (``reserved.TAKEN_PREFIXES``).
LOG_GROUP = "groundwork-logs"
LONGEST_GROUP = 31  # characters that systemd-sysusers takes


def log_group(app: str) -> str:
    """The group that may read an app's journal.

    A name that is too long ends in a digest behind another sign, so that it is no other app's.
    """
    name = OF_AN_APP["log_group"].format(app=app)
    if len(name) <= LONGEST_GROUP:
        return name
    return f"{LOG_GROUP}_{app[:6]}{hashlib.sha256(app.encode()).hexdigest()}"[:LONGEST_GROUP]


def on_host(name: str, app: str = "") -> str:
    """A path or account, by its name in the tables above.

    :param app: the app's name, for what is an app's.
    :raises ValueError: for a name that is in no table, for an app's without the app, and for the host's with one.
    """
    if name == "log_group" and app:
        return log_group(app)
    if name in OF_AN_APP and app:
        return OF_AN_APP[name].format(app=app)
    if name in OF_THE_HOST and not app:
        return OF_THE_HOST[name]
    known = ", ".join(sorted(OF_AN_APP if app else OF_THE_HOST))
    raise ValueError(f"{name!r} is not known of {'an app' if app else 'a host'}; known are {known}")


def path(name: str, app: str = "", root: Path = Path("/")) -> Path:
    """The same as a path below another root, as tests have it."""
    return root / on_host(name, app).lstrip("/")
