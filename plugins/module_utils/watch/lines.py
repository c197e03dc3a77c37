# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log line that says most about a condition: read when it is told, and not before."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..common import programs
from ..common.files import read_text
from ..common.on_host import path
from ..common.text import line
from .records import Condition

JOURNALCTL = "/usr/bin/journalctl"
SECONDS = 3.0  # that one reading may take
LIMIT = 300  # characters of a line
READ = 2**16  # bytes
SINCE = "-15min"  # what is older says nothing about what has just begun
JUST_NOW = 35.0  # seconds before a look has found something, one look or so: what a unit has printed since is about it
ROWS = 8  # of what systemd has said of a unit: more than one end of it
# What systemd says of the end of a unit, by how much it tells; "Triggering OnFailure=" tells nothing.
ENDS = (
    "OOM killer",
    "timed out",
    "code=killed",
    "code=dumped",
    "Main process exited",
    "Control process exited",
    "Stopped ",
)
KILLED = ENDS[:4]  # by which a process has had no say
# Settings whose values an app may log: what is behind these names is not told. A URL has its password between : and @.
SECRET = re.compile(
    r"^(\w*(?:KEY|SECRET|TOKEN|PASSWORD|PASSWD|DSN|CREDENTIALS?)\w*)=(.+)$", re.MULTILINE | re.IGNORECASE
)
PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+@")
PRINTED = "_TRANSPORT=stdout"
OF_THE_APP = ("health", "error_rate", "process", "job")  # of which the app's own lines may tell the reason
LEAST = 6  # characters of a secret: a shorter one stands in ordinary words


def of(condition: Condition, unit: str = "") -> str:
    """The line for a condition; "" where there is none, or it could not be read in time.

    :param unit: the unit that it is about, if it is about one.
    """
    if condition.subject == "host":
        # What a unit has printed says more than systemd's words about its end.
        since = f"@{max(0.0, condition.since - JUST_NOW):.0f}"
        return line(last(f"_SYSTEMD_UNIT={unit}", since=since) or end_of(unit), LIMIT) if unit else ""
    if condition.kind not in OF_THE_APP:
        return ""
    namespace = f"--namespace={condition.subject}"
    if unit:
        end = end_of(unit)
        is_killed = any(word in end for word in KILLED)
        found = end if is_killed else last(namespace, f"_SYSTEMD_UNIT={unit}") or end
    else:
        # Of the rest what the app has printed: not "Journal stopped" of journald itself, nor the proxy's lines.
        found = last(namespace, "--priority=err", PRINTED) or last(namespace, PRINTED)
    # A secret is taken out before the line is cut, or what is left of one would be told.
    return line(without_secrets(found, condition.subject), LIMIT)


def last(*options: str, since: str = SINCE) -> str:
    """The last line that a journal has of these, whole."""
    # A traceback is one entry of many lines, whose last names the error.
    found = rows(1, *options, since=since)
    return found[-1] if found else ""


def end_of(unit: str) -> str:
    """What systemd has said of how a unit ended, which most says why."""
    found = rows(ROWS, f"UNIT={unit}", "_PID=1")
    return next((row for word in ENDS for row in found if word in row), "")


def rows(most: int, *options: str, since: str = SINCE) -> list[str]:
    """The last entries that a journal has of these, the newest first; without --reverse, --since gives the first."""
    lines = ("--reverse", f"--lines={most}", f"--since={since}")
    try:
        shown = programs.run(
            (JOURNALCTL, "--quiet", "--no-pager", "--output=cat", *lines, *options), seconds=SECONDS, limit=READ
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [row for row in shown.stdout.splitlines() if row.strip()] if shown.returncode == 0 else []


def without_secrets(text: str, app: str, root: Path = Path("/")) -> str:
    """A line of an app without what its environment keeps secret."""
    if not text:
        return ""
    for value in secrets_of(read_text(path("current", app, root) / "env")):
        text = text.replace(value, "[secret]")
    return PASSWORD.sub(r"\1[secret]@", text)


def secrets_of(environment: str) -> Sequence[str]:
    """The values in an environment file that are secrets by their names, the longest first."""
    values = {match[2].strip().strip("\"'") for match in SECRET.finditer(environment)}
    return sorted((value for value in values if len(value) >= LEAST), key=len, reverse=True)
