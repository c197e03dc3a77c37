# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts what journalctl prints into lines, and lines into batches, with a bound on what is kept in memory."""

from __future__ import annotations

import json
import re

# A line of a journal in JSON. What an app writes is kept whole up to this size; journald takes 768 MB for one field.
LINE_LIMIT = 2**18
BATCH_BYTES, BATCH_LINES = 2**20, 5000
FORM = r"s=[0-9a-f]{32};i=[0-9a-f]+;b=[0-9a-f]{32};m=[0-9a-f]+;t=[0-9a-f]+;x=[0-9a-f]+"
# It may stand anywhere in a line. Nobody can forge it: no field that is written to journald begins with an underscore,
# and within a text each quote has a backslash before it.
CURSOR = re.compile(rf'"__CURSOR" ?: ?"({FORM})"'.encode())
LONGEST_CURSOR = 300  # bytes, its name included


def cursor_of(line: bytes) -> str:
    """The cursor of a line, which says where it stands in the journal; empty for what is no such line."""
    found = CURSOR.search(line)
    return found[1].decode() if found else ""


class Lines:
    """Cuts a stream into lines. One that is too long is replaced by one that says so."""

    def __init__(self) -> None:
        self.rest, self.cursor, self.dropped = b"", "", 0

    def add(self, chunk: bytes) -> list[bytes]:
        """The lines that this piece of the stream completes, each with its newline."""
        *complete, self.rest = (self.rest + chunk).split(b"\n")
        lines = [self.completed(line) for line in complete]
        if len(self.rest) > LINE_LIMIT:
            self.cursor = self.cursor or cursor_of(self.rest)
            self.dropped += len(self.rest) - LONGEST_CURSOR
            self.rest = self.rest[-LONGEST_CURSOR:]
        return [line + b"\n" for line in lines if line]

    def completed(self, line: bytes) -> bytes:
        """A line, or what stands for it."""
        if not self.dropped and len(line) <= LINE_LIMIT:
            return line
        size, cursor = self.dropped + len(line), self.cursor or cursor_of(line)
        self.cursor, self.dropped = "", 0
        text = f"[a line of {size} bytes is in the journal of the host alone: it is too long to be shipped]"
        return json.dumps({"__CURSOR": cursor, "MESSAGE": text}).encode()


class Batch:
    """Lines that are handed over together."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.size = 0

    def add(self, lines: list[bytes]) -> None:
        """Take further lines."""
        self.lines += lines
        self.size += sum(map(len, lines))

    @property
    def is_full(self) -> bool:
        """Whether it is to be handed over now."""
        return self.size >= BATCH_BYTES or len(self.lines) >= BATCH_LINES

    @property
    def cursor(self) -> str:
        """That of its last line; empty if it has none."""
        return next((found for line in reversed(self.lines) if (found := cursor_of(line))), "")
