# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of a database server, as they are shown to a person."""

from __future__ import annotations

from ..common.text import line

SHOWN = 1000  # characters of a message


class DatabaseError(Exception):
    """What could not be done, with the remedy where there is one; what a server says is in it, made printable here."""

    def __init__(self, text: str) -> None:
        super().__init__(line(text, SHOWN))
