# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program says, to a person or the journal, and the error that it says it by."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..common.text import line

# Characters that are kept of a message, and of what is quoted in one.
MESSAGE_LIMIT, QUOTE_LIMIT = 4000, 500


class Refusal(Exception):
    """Something that cannot be done now; the text is for a person.

    :param remedy: what that person can do about it.
    :param not_before: POSIX time before which another attempt is useless.
    :param kind: the authority's type of error, if it was the authority.
    :param domains: those of the names that the authority refused.
    """

    def __init__(
        self, text: str, remedy: str = "", not_before: float = 0, kind: str = "", domains: Sequence[str] = ()
    ) -> None:
        super().__init__(f"{one_line(text)}. {remedy}" if remedy else one_line(text))
        self.not_before, self.kind, self.domains = not_before, kind, tuple(domains)

    def after(self, text: str) -> Refusal:
        """The same, with another text before its own."""
        return Refusal(f"{text}; {self}", "", self.not_before, self.kind, self.domains)


def plain(text: str, limit: int = MESSAGE_LIMIT) -> str:
    r"""The text as one line that a person can read, though a stranger wrote it.

    Control characters are shown as escapes, such as ``\x1b``; what is beyond the limit is left out.
    """
    shown = line(" ".join(text[: 4 * limit].split()), limit)
    return shown if len(text) <= 4 * limit else f"{shown[: limit - 1]}…"


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The same without the full stop at its end."""
    return plain(text, limit).rstrip(".")


def to_the_journal() -> bool:
    """True when standard error is the journal, which takes a level in front of each line."""
    status = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


LEVELS = {"error": 3, "warning": 4, "notice": 5}


def say(text: str, level: str = "notice") -> None:
    """One line for the person who reads the journal or the terminal."""
    prefix = f"<{LEVELS[level]}>" if to_the_journal() else ""
    sys.stderr.write(f"{prefix}{one_line(text)}\n")
    sys.stderr.flush()
