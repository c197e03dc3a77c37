# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acts for an app on its database runs as the app, in a transient systemd unit that reaches only the socket."""

from __future__ import annotations

import itertools
import json
import os
import pwd
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

from ..common import programs, systemd
from ..common.on_host import on_host
from ..common.systemd import HARDENED, Directives
from ..common.text import line
from .errors import DatabaseError

if TYPE_CHECKING:
    from .server import Server

SANDBOX: Directives = [
    *HARDENED,
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("RestrictSUIDSGID", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX"),
    ("PrivateNetwork", "yes"),
    ("PrivateUsers", "yes"),
    ("ProtectHome", "yes"),
    ("InaccessiblePaths", f"-/etc/ssl/private -/root -{on_host('configuration')} -{on_host('certificates')}"),
    ("KillMode", "control-group"),
    ("TimeoutStopSec", "5"),
    ("TasksMax", "64"),
    ("LimitCORE", "0"),
]
SECONDS = 6 * 3600.0
ANSWER_LIMIT = 2**22  # bytes of what it prints
NUMBERS = itertools.count(1)


def has_account(app: str) -> bool:
    """Whether there is an account as which an app's steps run."""
    try:
        pwd.getpwnam(app)
    except KeyError:
        return False
    return True


def unit_of(app: str, what: str, argv: Sequence[str], seconds: float = SECONDS) -> systemd.TransientUnit:
    """The unit that runs a command as an app.

    :param what: in a word, what it does.
    """
    name = f"groundwork-database-{what}-{os.getpid()}-{next(NUMBERS)}.service"
    properties = [("User", app), ("Group", app), *SANDBOX, systemd.runtime_limit(seconds)]
    return systemd.TransientUnit(name, f"{what} of the database of {app}", argv, properties)


def output_of(
    app: str,
    what: str,
    argv: Sequence[str],
    *,
    payload: str = "",
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    seconds: float = SECONDS,
    limit: int = ANSWER_LIMIT,
) -> str:
    """Run one of :class:`.server.Server`'s commands; the end of what it prints, which is data.

    :param what: in a word, what it does.
    :param payload: its standard input.
    :param stdin: what it reads, opened by root, in place of a payload: the app needs no right to the file.
    :param stdout: where what it prints goes; none of it is returned then.
    :param seconds: the time limit.
    :param limit: bytes that are returned; one more tells of a longer output.
    :raises DatabaseError: with what it says.
    """
    unit = unit_of(app, what, argv, seconds)
    command = unit.command("--pipe", "--wait", "--collect")
    try:
        done = programs.run(command, payload=payload.encode(), stdin=stdin, stdout=stdout, limit=limit + 1)
    except BaseException:
        programs.run((systemd.SYSTEMCTL, "stop", unit.name))
        raise
    if done.returncode:
        raise DatabaseError(line(done.stderr, 2000) or f"{what}: it was ended")
    return done.stdout


def run(
    app: str, what: str, argv: Sequence[str], *, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
) -> dict[str, Any]:
    """Run one of :class:`.server.Server`'s commands; its answer, none where ``stdout`` takes what it prints.

    :raises DatabaseError: with what it says.
    """
    return answer_of(output_of(app, what, argv, stdin=stdin, stdout=stdout))


def answer_of(printed: str) -> dict[str, Any]:
    """The object that a command has printed; nothing where it has printed none."""
    if len(printed.encode()) > ANSWER_LIMIT:
        raise DatabaseError(f"a command printed more than {ANSWER_LIMIT} bytes")
    rows = printed.splitlines()
    try:
        found = json.loads(rows[-1]) if rows else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DatabaseError(f"a command printed no result: {line(printed[:500])}")
    return found


def counted(app: str, one: Server, database: str = "") -> dict[str, int]:
    """Count the rows of each table, by its name as a message shows it.

    :param one: the server that the database is on.
    :raises DatabaseError: it failed, or what was printed is no count.
    """
    try:
        tables = run(app, "count", one.counts(database))["tables"]
        return {line(str(name)): int(rows) for name, rows in tables.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise DatabaseError("a command did not say how many rows the tables have") from None
