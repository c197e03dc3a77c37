# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells: whether the clock is kept right, and whether memory ran out."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator

from ..common.text import line
from .expected import Expected
from .finding import Finding
from .look import Look
from .updates import is_container

TIME_ERROR = 5  # what adjtimex(2) returns while nothing keeps the clock right
KILLED = re.compile(r"Killed process \d+ \(([^)]{1,40})\)")


def clock(_expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether something keeps the clock right, as the kernel was told; the clock of a container is its machine's."""
    if is_container(look) or is_synchronized():
        yield Finding("clock", "host", "ok", "The clock is kept right.")
        return
    text = "Nothing keeps the clock right: certificates, cookies and logs will be wrong by and by."
    yield Finding(
        "clock", "host", "warning", text, "`systemctl status systemd-timesyncd chrony`; keep host's part time."
    )


def is_synchronized() -> bool:
    """Whether something keeps the clock right; true where the kernel does not say."""
    try:
        # struct timex, zeroed: a question that changes nothing.
        return bool(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024)) != TIME_ERROR)
    except (OSError, AttributeError):
        return True


def out_of_memory(_expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the kernel has ended processes for want of memory since the boot."""
    match = re.search(r"^oom_kill (\d+)$", look.read("/proc/vmstat"), re.MULTILINE)
    if not match or match[1] == "0":
        yield Finding("out_of_memory", "host", "ok", "No process was ended for want of memory since the boot.")
        return
    names = sorted({line(name) for name in KILLED.findall(kernel_log(look))})
    which = f": {', '.join(names)}" if names else ""
    text = f"The kernel has ended {match[1]} processes for want of memory since the boot{which}."
    remedy = "Lower `workers` of an app, add swap, or take a larger server; `journalctl -k -g 'Killed process'`."
    yield Finding("out_of_memory", "host", "warning", text, remedy)


def kernel_log(look: Look) -> str:
    """The lines of the kernel's log about it."""
    command = (
        "/usr/bin/journalctl",
        "--dmesg",
        "--boot",
        "--quiet",
        "--no-pager",
        "--lines=20",
        "--grep=Killed process",
    )
    return look.run(*command).stdout
