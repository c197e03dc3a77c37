# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remedies for errors that many apps meet on a host that is new to them."""

from __future__ import annotations

import re

from ..common.on_host import on_host

# Errors of an app that relied on something of the machine it was made on, and their remedies.
RUNTIME_HINTS = (
    (
        r"No module named 'pkg_resources'",
        "it uses setuptools without asking for it: add setuptools<81 to its requirements",
    ),
    (
        r"No module named '(psycopg2|psycopg|MySQLdb|pymysql)'",
        "the database's driver is missing: add it to its requirements",
    ),
    (
        r"no such table|relation \"[^\"]*\" does not exist|Table '[^']*' doesn't exist",
        "its tables are not there: have setup_command make them, which runs before the first import, such as "
        "`flask db upgrade`",
    ),
    (
        r"unable to open database file|Read-only file system|Permission denied: '" + on_host("homes"),
        "it may write below DATA_DIR alone ({data}): have it keep its files there",
    ),
    (
        r"write\+execute memory|ffi\.callback",
        "its sandbox forbids memory that it both writes and executes: allow it by "
        "`sandbox: {{MemoryDenyWriteExecute: false}}` in flask_apps.{app}, then run groundwork.flask.site",
    ),
    (
        r"Address family not supported by protocol",
        "its sandbox forbids a kind of socket: allow it by `sandbox: {{RestrictAddressFamilies: …}}` in "
        "flask_apps.{app}, then run groundwork.flask.site",
    ),
)

# Errors of a build that has to compile, and the apt packages that it needs.
BUILD_HINTS = (
    (r"pg_config", "libpq-dev, gcc, libc6-dev and python3-dev"),
    (
        r"mysql_config|mysqlclient|mariadb_config",
        "default-libmysqlclient-dev, pkg-config, gcc, libc6-dev and python3-dev",
    ),
    (r"ffi\.h", "libffi-dev, gcc, libc6-dev and python3-dev"),
    (r"xmlsec|libxml/|xslt-config", "libxml2-dev, libxslt1-dev, gcc, libc6-dev and python3-dev"),
    (
        r"jpeglib\.h|zlib\.h|The headers or library files could not be found for",
        "libjpeg-dev, zlib1g-dev, gcc and python3-dev",
    ),
    (r"ldap\.h|lber\.h", "libldap-dev, libsasl2-dev, gcc and python3-dev"),
    (r"apxs", "apache2-bin, apache2-dev, gcc, libc6-dev and python3-dev"),
    (r"Python\.h", "python3-dev (and gcc, libc6-dev)"),
    (r"can't find Rust|rustc|cargo", "rustc and cargo, or a version of the package that has wheels"),
    (
        r"g?cc.*(No such file|not found|failed)|No such file.*gcc'|execute '[^']*gcc|No C compiler|Unknown compiler",
        "gcc, libc6-dev and python3-dev",
    ),
)


def runtime_hint(app: str, output: str) -> str:
    """The remedy for an app's error, to follow the message; "" for an error that is not known."""
    for pattern, remedy in RUNTIME_HINTS:
        if re.search(pattern, output):
            return f"; {remedy.format(app=app, data=on_host('data', app))}"
    return ""


def build_hint(app: str, output: str) -> str:
    """The apt packages that a failed build asks for, to follow the message; "" when it asks for none."""
    for pattern, packages in BUILD_HINTS:
        if re.search(pattern, output):
            return (
                f"; it has to compile: add {packages} to flask_apps.{app}.packages, unless its server asks for them "
                "itself, and run groundwork.flask.site"
            )
    return ""
