# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, as it is told to whoever reads the journal or looks at a terminal."""

from __future__ import annotations

import re
import sys

LONGEST_TEXT = 1000

# C0 and C1 controls; what turns the direction of writing around or is not seen; line separators; surrogates.
UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def printable(text: str, limit: int = LONGEST_TEXT) -> str:
    r"""The text on one line of at most ``limit`` characters, with control characters as escapes such as ``\x1b``."""
    shown = UNFIT.sub(lambda found: ascii(found[0])[1:-1], text[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


class BackupError(Exception):
    """What could not be done, with the remedy where there is one; the text is for the person who reads the journal.

    File names and other programs' words come in it, so it is made printable here.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class TimeLimitError(BackupError):
    """What took longer than it may."""


class BusyError(BackupError):
    """Another run holds the lock."""


def say(text: str) -> None:
    """Tell the journal, or whoever looks on."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()
