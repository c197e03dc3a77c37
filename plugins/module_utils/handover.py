# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a file set that takes over from another one: what the former part loses belongs to the same change."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.placement import Change, Entry, Found, owners

OPTIONS: dict[str, dict[str, Any]] = {
    "part": {"type": "str", "required": True},
    "former": {"type": "str", "required": True},
    "lines": {"type": "dict", "default": {}},
    "socket": {"type": "str", "default": ""},
}
SECONDS = 5.0  # that a socket may take to accept
WAITS = "it takes over from"  # begins the reason for which a part is refused that cannot take over yet


@dataclass(frozen=True)
class Handover:
    """One part takes over from another.

    :param part: the part that takes over; what the other one loses is kept or put back with it.
    :param former: the part that loses.
    :param lines: lines in the files of ``former`` and what stands in their place; none for all of its files to go.
    :param socket: Unix socket that must accept connections; "" for none.
    """

    part: str
    former: str
    lines: Mapping[str, str] = field(default_factory=dict)
    socket: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the former part stays."""
        return not self.lines

    def obstacle(self) -> str:
        """Why the part cannot take over now; empty when it can."""
        if not self.socket:
            return ""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(SECONDS)
                client.connect(self.socket)
        except OSError as error:
            return (
                f"{WAITS} {self.former}, but nothing answers at {self.socket} ({error}). "
                f"{self.former} serves on. Deploy {self.part} first"
            )
        return ""

    def changes(self, files: Iterable[str], keep: Collection[str]) -> Iterator[Change]:
        """What becomes of the files of the former part, as changes of the part that takes over.

        :param files: the files of the former part.
        :param keep: paths that the new part writes itself.
        """
        for path in files:
            if path in keep or (found := Found.at(path)) is None:
                continue
            if self.is_whole:
                yield Change(path, self.part, found, None)
            elif (content := self.edited(found.content or b"")) != found.content:
                owner, group = owners(found)
                yield Change(path, self.part, found, Entry(path, content, owner, group, found.mode, part=self.part))

    def edited(self, content: bytes) -> bytes:
        """The content with the lines replaced, each with its indentation."""
        lines = content.decode(errors="surrogateescape").splitlines(keepends=True)
        new = [line.replace(text, self.lines[text]) if (text := line.strip()) in self.lines else line for line in lines]
        return "".join(new).encode(errors="surrogateescape")
