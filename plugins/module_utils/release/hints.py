# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remedies for errors that many apps meet on a host that is new to them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..common import trees
from ..common.on_host import on_host
from ..common.text import line
from . import apt_packages

# Errors of an app that relied on something of the machine it was made on, and their remedies.
RUNTIME_HINTS = (
    (
        r"No module named 'pkg_resources'",
        "it uses setuptools without asking for it: add setuptools<81 to its requirements",
    ),
    (
        r"no pq wrapper available",
        "psycopg does not find PostgreSQL's library: have the app install psycopg[binary], or add libpq5 to "
        "flask_apps.{app}.packages and run groundwork.flask.site",
    ),
    (
        r"NoSuchModuleError: Can't load plugin: sqlalchemy\.dialects:postgres\b",
        "its address of the database begins with postgres://, which SQLAlchemy 1.4 and later do not know: name the "
        "database in `database` instead, for which DATABASE_URL is right, or write postgresql://",
    ),
    (
        r"prepared statement .{0,8}_pg3_\w+.{0,8} (does not exist|already exists)",
        "psycopg 3 prepares statements, which the pooler does not know: have it install psycopg2-binary, or connect "
        "with prepare_threshold=None",
    ),
    (
        r"permission denied for schema public",
        "its tables or its database belong to another role: let {app} be the owner of the database, as "
        "`ALTER DATABASE {app} OWNER TO {app}` makes it, or load a dump with groundwork.flask.database",
    ),
    (
        r'connection to server on socket "[^"]*" failed: (No such file or directory|Connection refused)'
        r"|Can't connect to (local )?(MySQL |MariaDB )?server [^\n]*(No such file|Connection refused|\((2|111)\))",
        "the database server, or the pooler before it, does not run: `systemctl status postgresql mariadb` and "
        "`systemctl status {app}.pooler` say why; groundwork.flask.site sets up what is missing",
    ),
    (
        r"No module named '(psycopg2|psycopg|MySQLdb|pymysql)'",
        "the database's driver is missing: add it to its requirements",
    ),
    (
        r"no such table|relation \"[^\"]*\" does not exist|Table '[^']*' doesn't exist",
        "its tables are not there: have setup_command make them where its import needs them, else release_command, "
        "such as `flask db upgrade`",
    ),
    (
        r"Unable to load configuration file|The environment variable '\w+' is not set",
        "its file of settings is missing: give it by `settings`, and its path as in "
        "`environment: {{SHOP_SETTINGS: $RELEASE_DIR/settings.py}}`",
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
        r"No module named 'packaging'",
        "Celery needs that for Redis: ask for celery[redis] in its requirements",
    ),
    (
        r"Error \d+ connecting to \S+:6379",
        "its Redis does not answer: `redis: {{purpose: queue}}` in flask_apps.{app} gives it one, whose address is "
        "REDIS_URL",
    ),
    (
        r"Error \d+ (while )?connecting to (unix://)?/run/[\w.-]*redis",
        "its Redis does not run: `systemctl status {app}.redis {app}.redis-cache` says why; groundwork.flask.site sets "
        "up what is missing",
    ),
    (
        r"unknown storage scheme ?: unix://",
        "Flask-Limiter writes the address of a socket redis+unix://, not unix:// as REDIS_URL is: "
        "where the app has a variable for it alone, give it redis+unix:///run/{app}.redis/redis.sock "
        "(of a cache: /run/{app}.redis-cache); else see docs/redis.md, Flask-Limiter",
    ),
    (
        r"line \d+: \S+: command not found",
        "a program of its command is not in its environment: add the package that has it to its requirements",
    ),
    (
        r"Address family not supported by protocol",
        "its sandbox forbids a kind of socket: allow it by `sandbox: {{RestrictAddressFamilies: …}}` in "
        "flask_apps.{app}, then run groundwork.flask.site",
    ),
)

# Errors of a build that no package of the host mends.
BUILD_HINTS = (
    (
        r"not possible in non-package mode",
        "its pyproject.toml says package-mode = false, so it cannot be installed itself: commit poetry.lock or "
        "requirements.txt, which say what it needs",
    ),
    (
        r"Multiple top-level (packages|modules) discovered|Unable to determine which files to ship",
        'its pyproject.toml does not say which of its directories are packages: name them, as `packages = ["shop"]` in '
        "[tool.setuptools], or commit a requirements.txt, with which the app runs from its directory",
    ),
)
CONFLICT = re.compile(r"requirements are unsatisfiable|ResolutionImpossible|conflicting dependencies|No solution found")
# Lines that say only that something has failed, and those that say what.
GENERAL = re.compile(
    r"subprocess-exited|metadata-generation|Failed to build|hint:|returned non-zero|failed to prepare", re.I
)
FRAME = " \u00d7\u2500\u2502\u2570\u251c\u25b6"  # what uv draws around its messages
# The end of a traceback, where a file of an installed package has an import statement.
PACKAGE_IMPORT = re.compile(
    r'^  File "[^"]*/site-packages/[^"]*", line .*\n    (from|import) .*\n(    .*\n)?\w+: $', re.MULTILINE
)
SPECIFIC = re.compile(r"^\W*(error|\w*(Error|Exception))\b:? ", re.MULTILINE)


def runtime_hint(app: str, output: str) -> str:
    """The remedy for an app's error, to follow the message; "" for an error that is not known."""
    for pattern, remedy in RUNTIME_HINTS:
        if re.search(pattern, output):
            return f"; {remedy.format(app=app, data=on_host('data', app))}"
    return ""


def build_hint(app: str, output: str) -> str:
    """The remedy for a failed build, to follow the message; "" when it is not known."""
    for pattern, remedy in BUILD_HINTS:
        if re.search(pattern, output):
            return f"; {remedy}"
    if packages := apt_packages.found_in(output):
        return (
            f"; it needs more of the host: add {packages} to flask_apps.{app}.packages, unless its server asks for "
            "them itself, and run groundwork.flask.site"
        )
    return ""


def conflict_hint(app: str, own: Sequence[str], texts: Sequence[str], output: str) -> str:
    """Who asks for what, where the app's requirements and those of its server exclude each other; "" if they do not.

    :param own: what ``flask_apps`` asks for: the server and ``requirements``.
    :param texts: what the source says.
    """
    if not CONFLICT.search(output):
        return ""
    for requirement in own:
        name = re.split(r"[\W]", requirement.replace("-", "_"), maxsplit=1)[0].replace("_", "[-_.]")
        wanted = re.compile(rf"^{name}\b(?!-).*$", re.IGNORECASE | re.MULTILINE)
        lines = [match[0].strip() for text in texts for match in wanted.finditer(text) if match[0] != requirement]
        if lines and re.search(rf"\b{name}\b", output, re.IGNORECASE):
            return (
                f"; {requirement!r} is asked for by flask_apps.{app} (its `server` or `requirements`), and "
                f"{line(lines[0])!r} by the source: let the source ask for a version that fits, or for none"
            )
    return ""


def reason(output: str) -> str:
    """The line of a failed build that says why, as far as one can tell."""
    lines = [text for text in output.splitlines() if text.strip()]
    telling = [text for text in lines if SPECIFIC.match(text) and not GENERAL.search(text)]
    return line((telling or lines or [""])[-1]).strip(FRAME)


def missing_module_hint(code: Path, below: str, output: str) -> str:
    """Where to get a module that was not found, to follow the message; "" where that is not known."""
    match = re.search(r"No module named '(\w+)", output)
    if not match:
        return ""
    for directory in nested(code, below):
        if any(trees.is_file(code, f"{directory}/{one}") for one in (f"{match[1]}.py", f"{match[1]}/__init__.py")):
            where = os.path.relpath(directory, below or ".")
            return (
                f"; the source has {match[1]} in {where}/, where Python does not look for it: let a [build-system] in "
                f"pyproject.toml install it, or name the directory, `python_path: [{where}]`"
            )
    if PACKAGE_IMPORT.search(output[: match.start()]):
        return (
            f"; an installed package imports {match[1]} without asking for it: name the package that has it, such as "
            f"`requirements: [{match[1]}]`"
        )
    return ""


def nested(code: Path, below: str) -> Iterator[str]:
    """The directories of the code, two levels of them."""
    for name in trees.names(code, below or "."):
        directory = os.path.join(below, name)
        yield directory
        yield from (os.path.join(directory, inner) for inner in trees.names(code, directory))
