# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The group of each app's readers: its members are those that the configuration names, and no others.

``systemd-sysusers`` makes the groups. It could make them members too, but would take nobody out of a group, and makes
an account for every name that it does not know.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..common import programs
from ..common.on_host import LOG_GROUP, log_group
from ..common.ownership import FIRST_OF_PEOPLE
from . import acl
from .config import HOST, Journal

GPASSWD, GROUPDEL = "/usr/bin/gpasswd", "/usr/sbin/groupdel"
SECONDS = 30  # that each may take: it waits for a lock that other programs may have


class ReadersError(Exception):
    """What could not be done for readers; the message has the remedy."""


def has_account(name: str) -> bool:
    """Whether an account has this name, be it from LDAP or another source of NSS."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def unknown(journals: Mapping[str, Journal]) -> list[str]:
    """Readers without an account, a sentence for each."""
    return [
        f"{journal.where}.readers: {name!r} has no account on this host: create it, or take the name out"
        for journal in journals.values()
        for name in journal.readers
        if not has_account(name)
    ]


def hold(journals: Mapping[str, Journal], dry_run: bool, root: Path = Path("/")) -> Iterator[str]:
    """Bring the members of all groups in line, and remove the groups of apps that are gone; a sentence for each change.

    :raises ReadersError: when a program fails.
    """
    groups = {log_group(name): journal for name, journal in journals.items() if name != HOST}
    for group, journal in groups.items():
        wanted = sorted({name for name in journal.readers if has_account(name)})
        try:
            there = sorted(grp.getgrnam(group).gr_mem)
        except KeyError:  # in check mode; else systemd-sysusers has made it
            there = []
        if wanted != there:
            yield f"Readers of the journal of {journal.name}: {', '.join(wanted) or 'none'}."
            if not dry_run:
                call(GPASSWD, "--members", ",".join(wanted), group)
    for stale in grp.getgrall():
        # One that was made by hand is not of an app.
        if stale.gr_name.startswith(LOG_GROUP) and stale.gr_name not in groups and stale.gr_gid < FIRST_OF_PEOPLE:
            yield f"The group {stale.gr_name} is gone, for its app is."
            if not dry_run:
                remove(stale, root)


def remove(group: grp.struct_group, root: Path) -> None:
    """Remove a group, and first its rights of all journals: the next group may get its number."""
    for kind in ("var/log", "run/log"):
        for directory in (root / kind / "journal").glob("*.*"):
            for place in (directory, *directory.glob("*")):
                acl.revoke(place, group.gr_gid)
    call(GROUPDEL, group.gr_name)


def call(*argv: str) -> None:
    """Run a program.

    :raises ReadersError: when it fails.
    """
    done = programs.run(argv, seconds=SECONDS)
    if done.returncode:
        raise ReadersError(f"{' '.join(argv)} has failed: {done.stderr.strip() or done.returncode}")
