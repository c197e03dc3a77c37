# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of an app: how much it keeps, who reads it, where it is shipped."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import option

RATE_LIMIT = 20_000  # lines in 30 s. journald's own 10,000 drop what a busy app says when it matters
# Two files are the least that journald keeps, and below 8 MB one holds little more than its index.
LEAST_MEGABYTES = 16
SIZE = r"([1-9]\d{0,5})([MG])"
SPAN = r"0|[1-9]\d{0,5} ?(min|minutes?|h|hours?|d|days?|w|weeks?|months?|y|years?)"
# As systemd takes names: those of directory services have capitals and dots.
ACCOUNT = r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"


@dataclass(frozen=True)
class Logs:
    """The app's journal, a namespace of systemd-journald."""

    max_use: str = option(
        "",
        pattern=SIZE,
        remedy="is not a size: write it in M or G, as 200M",
        doc="Disk space of the journal, at least `16M`; the oldest lines go first. By default that of "
        "`wsgi_server_journal_max_use`, 200M.",
        example="500M",
        roles=("wsgi_server",),
    )
    retention: str = option(
        "",
        pattern=SPAN,
        remedy="is not a time: write it as 90day, 12h or 6month; 0 keeps all that fits",
        doc="Age at which lines go, such as `90day`; `0` keeps all that fits into `max_use`. By default that of "
        "`wsgi_server_journal_retention`, 90day.",
        example="30day",
        roles=("wsgi_server",),
    )
    rate_limit: int = option(
        RATE_LIMIT,
        at_most=100_000_000,
        doc="Lines that each unit of the app may write in 30 s, more where much of the disk is free; journald drops "
        "further ones and says how many. 0 is no limit.",
        example=0,
        roles=("wsgi_server",),
    )
    levels: bool = option(
        True,
        doc="Whether what the app writes by Python's `logging` has its level in the journal; false for an app that "
        "writes levels itself.",
        example=False,
        roles=("release",),
        defines=True,
    )
    readers: tuple[str, ...] = option(
        (),
        pattern=ACCOUNT,
        remedy="write login names, as ada",
        doc="Accounts of people who may read this journal without being root, and no other one by it: all members of "
        "the group of its readers. They exist already, or are in `host_admins`.",
        example=["ada"],
        roles=("service_user",),
    )
    ship: str = option(
        "",
        doc="Shell command that ships the journal: it runs for each batch of new lines, which it reads as JSON from "
        "its standard input, and they are offered again unless it exits with 0. It runs as `groundwork-ship`, which "
        "may read this journal.",
        example="curl --fail --silent --data-binary @- https://logs.example.org/shop",
        roles=("service_user",),
    )


def problems(name: str, logs: Logs, apps: Collection[str]) -> list[str]:
    """What a record cannot say of an app's journal.

    :param name: the app's.
    :param apps: the names of all apps, whose accounts run them.
    """
    where, found = f"flask_apps.{name}.logs", []
    size = re.fullmatch(SIZE, logs.max_use)
    if size and int(size[1]) * (1024 if size[2] == "G" else 1) < LEAST_MEGABYTES:
        found.append(f"{where}.max_use: {logs.max_use!r} is too little for a journal: take {LEAST_MEGABYTES}M or more")
    for reader in logs.readers:
        if reader == "root":
            found.append(f"{where}.readers: 'root' reads every journal already: take it out")
        elif reader in apps:
            found.append(
                f"{where}.readers: {reader!r} is the account of an app, and whoever breaks into that app would read "
                "this journal: name accounts of people, or feed it to a program by `ship`"
            )
    return found
