# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When jobs run: systemd's own judgement of a schedule, for all of them by one program."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable

# The characters of OnCalendar=, so that a schedule adds nothing else to a unit.
SCHEDULE = re.compile(r"[A-Za-z0-9*/.,:~_+ -]{1,200}")
ANALYZE = "/usr/bin/systemd-analyze"
REFUSED = re.compile(r"^Failed to parse calendar (?:specification|expression) '(.*)': .*$", re.MULTILINE)
REMEDY = "write it as systemd's OnCalendar= has it, such as `*-*-* 03:00`, `Mon..Fri 06:30` or `hourly`"


def problems(schedules: Iterable[str], run: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, str]:
    """What is wrong with schedules, by schedule.

    :param run: runs a program, as root.
    """
    wanted = list(dict.fromkeys(schedules))
    if not wanted:
        return {}
    shown = run(ANALYZE, "calendar", "--", *wanted)
    refused = set(REFUSED.findall(shown.stderr))
    # One that lies in the past is a schedule: it was right once, and must not keep the host's apps from a deploy.
    return {one: f"is no schedule: {REMEDY}" for one in wanted if one in refused}
