# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program ``host``, which the role of that name calls; its result is JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..common import privileges
from . import journal, logins, modules, swap, sysctl, time_sync, updates
from .machine import Machine


@dataclass(frozen=True)
class Part:
    """What a part does beside its files.

    :ivar keep: brings it into effect.
    :ivar put_back: leaves the host as it was before.
    """

    keep: Callable[[Machine, Mapping[str, Any]], None]
    put_back: Callable[[Machine], None]


PARTS: Mapping[str, Part] = {
    "updates": Part(updates.keep, updates.put_back),
    "time": Part(time_sync.keep, time_sync.put_back),
    "journal": Part(journal.keep, journal.put_back),
    "swap": Part(swap.keep, swap.put_back),
    "sysctl": Part(sysctl.keep, sysctl.put_back),
    "core_dumps": Part(partial(sysctl.keep, part="core_dumps"), partial(sysctl.put_back, part="core_dumps")),
    "modules": Part(modules.keep, modules.put_back),
    "logins": Part(logins.keep, logins.put_back),
}


def parser() -> argparse.ArgumentParser:
    """The one verb and its arguments."""
    top = argparse.ArgumentParser(prog="host", description="The settings of this machine.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser("apply", help="bring the parts into effect, and put back what the others have changed")
    one.add_argument("wanted", help="a map as JSON: parts, apt, swap_mb, modules, login_defs, issue")
    one.add_argument("--dry-run", action="store_true", help="say what would be done")
    return top


def apply(machine: Machine, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the parts that are wanted into effect, and put back what the others have changed."""
    for name, part in PARTS.items():
        if name in wanted["parts"]:
            part.keep(machine, wanted)
        else:
            part.put_back(machine)
    return {"changed": machine.changed, "warnings": machine.warnings, "notes": machine.notes}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the result as JSON; without root's rights the exit status is 1."""
    given = parser().parse_args(argv)
    if not privileges.is_root():
        sys.stderr.write(f"{privileges.not_root()}\n")
        return 1
    sys.stdout.write(f"{json.dumps(apply(Machine(dry_run=given.dry_run), json.loads(given.wanted)))}\n")
    return 0
