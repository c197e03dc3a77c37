# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units that ship journals: one for each that has a command, with the command and the program as they are now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..common import files, programs, trees
from ..common.on_host import path
from .config import Journal

SYSTEMCTL = "/usr/bin/systemctl"
UNIT = "groundwork-ship@{}.service"
WANTS = "etc/systemd/system/multi-user.target.wants"
UNITS = "etc/systemd/system"
STARTED = "ship.json"  # below the state of groundwork: for each journal, what its unit was started with
SECONDS = 60  # that a call of systemctl may take; a unit has 20 s to stop


class ShippersError(Exception):
    """A unit that could not be brought into its state."""


def hold(journals: Mapping[str, Journal], dry_run: bool, root: Path = Path("/")) -> Iterator[str]:
    """Start, restart and stop the units, and have them start at boot or no more; a sentence for each change.

    :raises ShippersError: when systemd refuses.
    """
    wanted = {name: digest(journal, root) for name, journal in journals.items() if journal.ship}
    record = path("state", root=root) / STARTED
    started = files.read_json(record)
    enabled = {file.name.partition("@")[2].removesuffix(".service") for file in (root / WANTS).glob(UNIT.format("*"))}
    down = stopped(sorted(set(wanted) & set(started)))
    gone = sorted((enabled | set(started)) - set(wanted))
    due = sorted(name for name in wanted if started.get(name) != wanted[name] or name not in enabled or name in down)
    if not gone and not due:
        return
    for name in gone:
        yield f"The journal of {name} is shipped no more."
    for name in due:
        yield f"The journal of {name} is shipped by {UNIT.format(name)}, which is started with what is asked for now."
    if dry_run:
        return
    systemctl("daemon-reload")
    if gone:
        systemctl("disable", "--now", *map(UNIT.format, gone))
        trees.remove(*(path("shipped", name, root) for name in gone if name not in journals))
    files.make_parents(record)
    files.write(record, json.dumps({name: value for name, value in wanted.items() if name not in due}), 0o600)
    if due:
        systemctl("enable", *map(UNIT.format, due))
        systemctl("restart", *map(UNIT.format, due))
    files.write(record, json.dumps(wanted), 0o600)


def digest(journal: Journal, root: Path) -> str:
    """What its unit is started with: the command, the unit and the program."""
    found = hashlib.sha256(journal.ship.encode())
    unit = UNIT.format(journal.name)
    for file in (
        root / UNITS / UNIT.format(""),
        *sorted((root / UNITS / f"{unit}.d").glob("*.conf")),
        *(Path(__file__).parent / name for name in ("batch.py", "delivery.py", "ship.py")),
    ):
        found.update(files.read_text(file).encode())
    return found.hexdigest()


def stopped(names: Sequence[str]) -> set[str]:
    """Those of some units that do not run and are not about to be started again."""
    if not names:
        return set()
    argv = (SYSTEMCTL, "show", "--property=ActiveState", "--value", *map(UNIT.format, names))
    states = programs.run(argv, seconds=SECONDS).stdout.split()
    return {name for name, state in zip(names, states, strict=False) if state in ("inactive", "failed")}


def systemctl(*words: str) -> None:
    """Call systemctl.

    :raises ShippersError: when it fails.
    """
    done = programs.run((SYSTEMCTL, *words), seconds=SECONDS)
    if done.returncode:
        raise ShippersError(f"systemctl {' '.join(words)} has failed: {done.stderr.strip() or done.returncode}")
