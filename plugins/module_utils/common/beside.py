# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that need more than the unit may do that starts them: each runs beside it, in a transient unit of its own.

A unit of ours that a timer starts has no network, few capabilities and a system that it cannot write. What the operator
has chosen (certbot with its hooks, the commands of a backup set, a repository behind ssh) cannot work there, and cannot
be foreseen. It runs with what it needs, and nothing else of the unit does. What is started by hand or by a play has no
such unit, and starts its programs itself.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from . import programs
from .systemd import SYSTEMCTL, Directives, TransientUnit, runtime_limit

# Executes what it reads from its standard input, in one expression without ; and $: a program, its argument
# vector and its environment. They may hold secrets. Every account can read a unit's command line and its directives.
EXECUTE_INPUT = (
    "(lambda given, os: (os.dup2(os.open('/dev/null', 0), 0), os.execve(*given)))"
    "(__import__('json').load(__import__('sys').stdin), __import__('os'))"
)
NUMBERS = itertools.count(1)
# For what the operator has chosen: it keeps out of the kernel's settings, and is not confined beyond that.
OPERATOR: Directives = [
    ("KillMode", "control-group"),
    ("TimeoutStopSec", "10"),
    ("PrivateTmp", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectControlGroups", "yes"),
    ("RestrictRealtime", "yes"),
    ("LockPersonality", "yes"),
]


def own_unit(prefix: str, cgroups: Path = Path("/proc/self/cgroup")) -> str:
    """The unit of ours that this process belongs to; "" when it was started by hand or by a play.

    :param prefix: what its name begins with, such as ``groundwork-backup``.
    """
    with contextlib.suppress(OSError):
        found = re.search(rf"/({re.escape(prefix)}[\w-]*\.service)$", cgroups.read_text(), re.MULTILINE)
        if found:
            return found[1]
    return ""


@contextlib.contextmanager
def beside(
    unit: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    sandbox: Directives,
    seconds: float = math.inf,
) -> Iterator[tuple[list[str], bytes]]:
    """The argument vector and the standard input of what runs a program beside a unit, and ends as the program ends.

    An exception in the block stops the program; the end of the unit, however it comes, stops it too.

    :param unit: the unit of this process, from :func:`own_unit`.
    :param argv: its argument vector; a program without a directory is looked up in the environment's PATH.
    :param sandbox: the directives of the program's unit.
    :param seconds: after which systemd ends it, should this process have been killed.
    :raises FileNotFoundError: there is no such program.
    """
    program = shutil.which(argv[0], path=environment.get("PATH"))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    given = json.dumps([program, list(argv), dict(environment)]).encode()
    name = f"{unit.removesuffix('.service')}-step-{os.getpid()}-{next(NUMBERS)}.service"
    # What the program prints goes to this process. systemd's own "Started" and "Deactivated" would fill the journal.
    properties = [*sandbox, ("LogLevelMax", "notice"), runtime_limit(seconds), ("BindsTo", unit)]
    called = os.path.basename(argv[0])
    step = TransientUnit(name, f"{called}, for {unit}", ("/usr/bin/python3", "-I", "-c", EXECUTE_INPUT), properties)
    try:
        yield step.command("--pipe", "--wait", "--collect"), given
    except BaseException:
        programs.run((SYSTEMCTL, "stop", name))
        raise
