# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a release from going live, as it is reported."""

from __future__ import annotations

import textwrap

from ..common.text import printable

TRACEBACK = "Traceback (most recent call last)"
CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
TRACEBACK_LINES = 100  # lines of a traceback that are shown beyond those asked for
LOG_LIMIT = 50_000  # characters; a line may have any length


class ReleaseError(Exception):
    """A release that did not go live. The old one serves on.

    :param step: the step that failed.
    :param message: what happened and what to do.
    :param log: the output of the program that failed.
    :param reference: what the operator finds this failure by: the id of the refused release, or of the attempt where
        no release was determined (``refusal.py``); "" when the engine did not run.
    """

    def __init__(self, step: str, message: str, log: str = "", reference: str = "") -> None:
        message, log = printable(message), printable(log)
        super().__init__(f"{message}\n{indented(log)}".strip())
        self.step, self.message, self.log, self.reference = step, message, log, reference


def indented(log: str) -> str:
    """What a program has printed, so that none of its lines reads like one of Ansible's or of this engine."""
    return textwrap.indent(log, "  ", lambda _line: True)


def tail(output: str, lines: int = 30) -> str:
    """The end of a program's output, where the reason stands; more of it if a traceback begins before that.

    Less of it if the same error ended an earlier traceback, as where a page was asked for again and again.

    :param lines: how many lines to return at least.
    """
    found = output.strip().splitlines()
    begin = max(0, len(found) - lines)
    for number in range(len(found) - 1, max(0, begin - TRACEBACK_LINES) - 1, -1):
        if TRACEBACK in found[number]:
            begin = max(min(begin, number), end_of_the_same(found, number))
            break
    return "\n".join(found[begin:])[-LOG_LIMIT:]


def end_of_the_same(lines: list[str], begin: int) -> int:
    """The line after an earlier traceback that ended with the same error as the one that begins here; 0 if none.

    The exceptions that led to this one, whose tracebacks come before its own, belong to it.
    """
    error = next((line for line in lines[begin + 1 :] if line and not line[0].isspace()), "")
    while begin and any(line.startswith(CHAINED) for line in lines[max(0, begin - 3) : begin]):
        begin = next((number for number in range(begin - 1, -1, -1) if TRACEBACK in lines[number]), 0)
    return next((number + 1 for number in range(begin - 1, -1, -1) if error and lines[number] == error), 0)


def megabytes(size: float) -> str:
    """A number of bytes as a message states it."""
    return f"{size / 2**20:.0f} MB"
