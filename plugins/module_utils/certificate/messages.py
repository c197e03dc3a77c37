# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages for the operator: the error that carries one, and how they are written to the journal or a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ..common.text import line

# Characters that are kept of a message, and of what is quoted in one.
MESSAGE_LIMIT, QUOTE_LIMIT = 4000, 500


class CertificateError(Exception):
    """Something cannot be done now.

    :param text: what happened, for the operator.
    :param remedy: what to do about it; empty by default.
    :param not_before: POSIX time before which another attempt is useless; 0 if it is not known.
    :param kind: the CA's error type (RFC 8555), empty if the error is not the CA's.
    :param domains: the domains that the CA refused.
    """

    def __init__(
        self, text: str, remedy: str = "", not_before: float = 0, kind: str = "", domains: Sequence[str] = ()
    ) -> None:
        super().__init__(f"{one_line(text)}. {remedy}" if remedy else one_line(text))
        self.text, self.remedy = text, remedy
        self.not_before, self.kind, self.domains = not_before, kind, tuple(domains)

    def after(self, text: str) -> CertificateError:
        """The same error with another text before its own."""
        return CertificateError(f"{text}; {self}", "", self.not_before, self.kind, self.domains)


def plain(text: str, limit: int = MESSAGE_LIMIT) -> str:
    r"""Return untrusted text as one printable line of at most ``limit`` characters.

    Control characters become escapes such as ``\x1b``, and white space becomes a space.
    """
    shown = line(" ".join(text[: 4 * limit].split()), limit)
    return shown if len(text) <= 4 * limit else f"{shown[: limit - 1]}…"


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return the same without the full stop at its end."""
    return plain(text, limit).rstrip(".")


def to_the_journal() -> bool:
    """Whether standard error is the journal, which reads a level in front of each line."""
    status = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


LEVELS = {"error": 3, "warning": 4, "notice": 5}


def say(text: str, level: str = "notice") -> None:
    """Write one line to the journal or the terminal.

    :param level: a key of :data:`LEVELS`.
    """
    prefix = f"<{LEVELS[level]}>" if to_the_journal() else ""
    sys.stderr.write(f"{prefix}{one_line(text)}\n")
    sys.stderr.flush()
