# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acts for an account runs as that account, in a transient systemd unit with a sandbox."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence

from ..common import beside, programs, systemd
from ..common.on_host import on_host
from ..common.systemd import HARDENED, Directives
from .errors import BackupError

OF_A_RELEASE = re.compile(r"EnvironmentFile|WorkingDirectory")
# Holds for whatever acts for an account.
ALWAYS: Directives = [
    ("NoNewPrivileges", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("LimitCORE", "0"),
    ("KillMode", "control-group"),
    ("TimeoutStopSec", "5"),
]
# For a program that reads and writes files of one account, and nothing else.
STRICT: Directives = [
    *ALWAYS,
    *HARDENED,
    ("TasksMax", "64"),
    ("MemoryMax", "50%"),
]
OFFLINE: Directives = [("PrivateNetwork", "yes"), ("RestrictAddressFamilies", "AF_UNIX")]
# restic as root: it reads every file, restores them to their owners, and reaches its repository as it was told to, for
# example by ssh. To follow no link it needs a mount namespace of its own (links.py).
RESTIC: Directives = [
    *beside.OPERATOR,
    ("ProtectSystem", "full"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("SystemCallArchitectures", "native"),
    (
        "CapabilityBoundingSet",
        "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_MKNOD CAP_SETFCAP CAP_SYS_ADMIN",
    ),
    ("NoNewPrivileges", "yes"),
    ("RestrictNamespaces", "mnt"),
    ("SystemCallFilter", "@system-service @mount"),
    ("SystemCallErrorNumber", "EPERM"),
    ("LimitCORE", "0"),
    ("UMask", "0077"),
]
# A command of a set without an account, which root runs: any that the operator wrote.
COMMAND: Directives = [*beside.OPERATOR, ("ProtectSystem", "full"), ("UMask", "0077")]
# As the backup's unit itself.
QUIET: Directives = [("Nice", "10"), ("IOSchedulingClass", "idle")]
SECRETS = "-/etc/ssl/private -/etc/letsencrypt -/root " + " ".join(
    f"-{on_host(name)}" for name in ("certificates", "configuration", "runtime")
)
NUMBERS = itertools.count(1)


def quoted(path: str) -> str:
    """A path as a word of a directive."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def account(uid: int, gid: int) -> Directives:
    """The directives for the account of a unit, which takes from it what only root needs."""
    if uid == 0:
        # It reads what is root's without being able to do anything else as root.
        return [("CapabilityBoundingSet", "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER")]
    nothing = [("CapabilityBoundingSet", ""), ("PrivateUsers", "yes"), ("InaccessiblePaths", SECRETS)]
    try:
        return [("User", pwd.getpwuid(uid).pw_name), *nothing]
    except KeyError:
        return [("User", str(uid)), ("Group", str(gid)), *nothing]


def unit_sandbox(user: str) -> Directives:
    """The sandbox that ``<user>@.service`` states, with the live release's environment; nothing where there is none."""
    if not os.path.exists(f"/etc/systemd/system/{user}@.service"):
        return []
    release = ""
    with contextlib.suppress(OSError):
        release = os.path.basename(os.readlink(on_host("current", user)))
    instance = release if re.fullmatch(r"[A-Za-z0-9_.-]+", release) else ""
    found = programs.run((systemd.SYSTEMCTL, "cat", f"{user}@{instance or 'none'}.service"))
    if found.returncode:
        raise BackupError(f"systemctl cat {user}@.service: {programs.explanation(found)}")
    return directives(found.stdout, instance)


def directives(text: str, release: str) -> Directives:
    """What a unit says of what its processes may do.

    :param text: the unit file with its drop-ins, as ``systemctl cat`` prints them.
    :param release: what ``%i`` stands for; without one, what belongs to a release is left out.
    """
    return systemd.sandbox(text, release, without=None if release else OF_A_RELEASE)


def own_unit() -> str:
    """The unit of a backup or drill that this process belongs to; "" when it was started by hand."""
    return beside.own_unit("groundwork-backup")


@contextlib.contextmanager
def free(
    argv: Sequence[str], environment: Mapping[str, str], sandbox: Directives
) -> Iterator[tuple[Sequence[str], Mapping[str, str], bytes]]:
    """Argument vector, environment and standard input for a program that needs more than the backup's unit may do."""
    if unit := own_unit():
        with beside.beside(unit, argv, environment, [*QUIET, *sandbox]) as (client, payload):
            yield client, programs.ENVIRONMENT, payload
    else:
        yield argv, environment, b""


def in_unit(
    argv: Sequence[str], sandbox: Directives, seconds: float, payload: bytes = b"", limit: int = programs.OUTPUT_LIMIT
) -> tuple[int, str]:
    """Run a command in a transient unit.

    :param seconds: after which systemd ends it, should this process have been killed; else ``limited`` does.
    :param payload: its standard input.
    :param limit: bytes of its output that are kept.
    :returns: its exit status, and the end of its output, errors included.
    """
    name = f"groundwork-backup-step-{os.getpid()}-{next(NUMBERS)}.service"
    properties = [*sandbox, systemd.runtime_limit(round(seconds + 60))]
    if unit := own_unit():
        properties.append(("BindsTo", unit))
    step = systemd.TransientUnit(name, "A step of the backup", argv, properties)
    try:
        done = programs.run(
            step.command("--pipe", "--wait", "--collect"), payload=payload, merge=True, limit=limit,
            errors="surrogateescape",
        )  # fmt: skip
    except BaseException:
        programs.run((systemd.SYSTEMCTL, "stop", name))
        raise
    return done.returncode, done.stdout
