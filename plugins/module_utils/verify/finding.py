# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check says: the one form in which the host and the controller report, and from which every report is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warning", "problem", "unchecked"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param check: name of the check, such as ``sshd`` or ``certificate``: lower case, with underscores.
    :param subject: what it is about: an app's name, or ``host``.
    :param state: ``problem`` makes the run fail; ``unchecked`` could not be looked at here, and the message says why.
    :param message: one plain sentence with what was found, the value included.
    :param remedy: one sentence with what to do; empty where nothing is to be done.
    """

    check: str
    subject: str
    state: State
    message: str
    remedy: str = ""

    def plain(self) -> dict[str, Any]:
        """As a module returns it."""
        return asdict(self)
