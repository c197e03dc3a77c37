# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandboxes of a release's steps, made from that of the app's own unit, which is the one place that states it.

What acts for the app (import, save, release command, ``run``) sees what the app sees. What builds it sees its own cache
and the release under construction instead of the app's data, so that neither can leave anything for the other to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..common import systemd
from ..common.on_host import on_host
from ..common.systemd import Directives

# What a step states itself, beside its lifecycle.
OF_A_STEP = re.compile(
    # A short unit with a journal of its own starts and stops what keeps that journal, and another start may collide.
    r"LogNamespace|SyslogIdentifier|Environment.*|PassEnvironment|UnsetEnvironment|WorkingDirectory"
)
# What a process states itself: it logs to the app's journal under its own name.
OF_A_PROCESS = re.compile(r"SyslogIdentifier|Environment.*|PassEnvironment|UnsetEnvironment|WorkingDirectory")
# What a build does not share with the app: what either may write, and limits that are meant for a server.
APART = re.compile(
    r"TemporaryFileSystem|Bind(ReadOnly)?Paths|Read(Write|Only)Paths|(No)?ExecPaths|(State|Cache|Logs|Configuration)Directory.*"
    r"|MemoryMax|MemoryHigh|MemorySwapMax|MemoryDenyWriteExecute|UMask|OOMScoreAdjust|ProtectSystem|LoadCredential.*|SetCredential.*"
    r"|RestrictAddressFamilies|IPAddress.*|PrivateNetwork|SocketBind.*"
)
# Holds for every step, whatever the unit of an app states.
ALWAYS: Directives = [
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("RestrictSUIDSGID", "yes"),
    ("KillMode", "control-group"),
    ("TimeoutStopSec", "5"),
]
# The directories above those of the apps, and root's own runtime directory.
ABOVE_APPS = tuple(map(on_host, ("homes", "datas", "caches", "runtime")))
BUILD: Directives = [
    ("TemporaryFileSystem", " ".join(f"{above}:ro" for above in (*ABOVE_APPS, "/mnt", "/media", "/opt"))),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    # A namespace of users of its own, so that the running app, which has the same number, cannot look into it by /proc.
    ("PrivateUsers", "yes"),
    # No unix sockets, nor what gets around that: by one, a build could hand an open file over to the running app, which
    # could write to it when it is root's. A fetch needs them for its SSH agent, and runs nothing of the app's.
    ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_NETLINK"),
    ("SystemCallFilter", "~io_uring_setup io_uring_enter io_uring_register"),
    ("UMask", "0022"),
    # When memory runs out, a build goes before any site does.
    ("OOMScoreAdjust", "500"),
]


def of_unit(text: str, release: str) -> Directives:
    """The sandbox that a unit file states, with its drop-ins, as ``systemctl cat`` prints them.

    :param release: what ``%i`` stands for.
    """
    return systemd.sandbox(text, release, without=OF_A_STEP)


def for_process(text: str, release: str) -> Directives:
    """The sandbox of a release's processes: what the unit file of its server states.

    :param text: the unit file with its drop-ins, as ``systemctl cat`` prints them.
    """
    return systemd.sandbox(text, release, without=OF_A_PROCESS)


def for_app(unit: Directives, writable: Iterable[Path] = ()) -> Directives:
    """The sandbox of a step that acts for the app.

    :param writable: what it may write beside what the app may.
    """
    return [*unit, *ALWAYS, *paths("BindPaths", writable)]


def for_build(unit: Directives, writable: Iterable[Path], readable: Sequence[Path]) -> Directives:
    """The sandbox of a step that fetches or builds: the app's, apart from what the app can write.

    :param writable: the caches and directories of this step.
    :param readable: what it sees beside the system.
    """
    kept = [(name, value) for name, value in unit if not APART.fullmatch(name)]
    return [*kept, *BUILD, *ALWAYS, *paths("BindReadOnlyPaths", readable), *paths("BindPaths", writable)]


def paths(name: str, found: Iterable[Path]) -> Directives:
    """A directive for each path; one that has gone since is left out."""
    return [(name, f"-{path}") for path in found]
