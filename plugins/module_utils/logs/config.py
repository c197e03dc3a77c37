# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of each journal, as the role ``service_user`` writes it, a file for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..common.files import read_json
from ..common.on_host import path

HOST = "host"  # the name of the host's own journal, which no app can have


@dataclass(frozen=True)
class Journal:
    """What is asked of one journal.

    :ivar name: of its namespace, which is the app's; HOST for the host's own.
    :ivar readers: accounts that may read it.
    :ivar ship: shell command that is fed its lines; empty for none.
    """

    name: str
    readers: tuple[str, ...] = ()
    ship: str = ""

    @property
    def where(self) -> str:
        """How messages name it."""
        return "service_user_host_ship" if self.name == HOST else f"flask_apps.{self.name}.logs"


def read_all(root: Path = Path("/")) -> Mapping[str, Journal]:
    """The journals of this host, by their names.

    :raises ValueError: for a file that is none of the role's, with its path.
    """
    found = {}
    for file in sorted(path("logs", root=root).glob("*.json")):
        given = read_json(file)
        try:
            found[file.stem] = Journal(file.stem, tuple(map(str, given.get("readers", ()))), str(given.get("ship", "")))
        except TypeError as error:
            raise ValueError(f"{file} is not as the role service_user writes it: {error}") from error
    return found
