# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors, and how they are shown in the journal or on a terminal."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from ..common.programs import time_limit
from ..common.text import escaped


class BackupError(Exception):
    """What could not be done, with the remedy where there is one; the text is for the person who reads the journal.

    File names and other programs' output come in it, so it is made printable here.
    """

    def __init__(self, text: str) -> None:
        super().__init__(escaped(text))


class TimeLimitError(BackupError):
    """What took longer than it may."""


def limited(seconds: float, what: str) -> AbstractContextManager[None]:
    """Raise TimeLimitError in the block when it takes longer; see :func:`time_limit`."""
    return time_limit(seconds, TimeLimitError(f"{what} took longer than {seconds:.0f} s, and was ended"))


def say(text: str) -> None:
    """Print a line to the journal or the terminal, on stderr."""
    sys.stderr.write(f"{escaped(text)}\n")
    sys.stderr.flush()
