# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb ``status``: what the last look has found, for people or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..common import clock
from ..common.text import escaped
from .state import State

OLD = 300.0  # seconds since the last look from which on something keeps the watch from looking: ten looks


def main(arguments: Sequence[str]) -> int:
    """Print it."""
    found = State().read("look.json")
    if "--json" in arguments:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.writelines(f"{escaped(row)}\n" for row in lines(found))
    return 0


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """A look as a person reads it."""
    if not found:
        yield "There was no look yet. See `systemctl status groundwork-watch.timer`."
        return
    yield f"Looked at {clock.timestamp(found['time'])}, for {found['seconds']:.1f} s."
    age = clock.now() - found["time"]
    if age > OLD:
        yield f"THAT IS {age / 60:.0f} MINUTES AGO: nobody is told of anything."
        yield "  try: systemctl status groundwork-watch.timer; journalctl -t watch -n 20"
    for name, app in found["apps"].items():
        answered = f", answers {app['status']} in {app['answered'] * 1000:.0f} ms" if app["status"] else ""
        met, why = app["outside"], app["outside_error"]
        outside = f"; visitors meet {met or why}" if why or (met and met >= 500) else ""
        yield f"{name}: {app['state']}{answered}{outside}"
    for one in found["conditions"]:
        since = clock.timestamp(one["since"])
        yield f"{one['severity']}: {one['subject']}: {one['message']} (since {since})"
        if one["command"]:
            yield f"  try: {one['command']}"
    if not found["conditions"]:
        yield "Nothing is wrong."
