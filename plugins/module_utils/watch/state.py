# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watch keeps between two looks; each file is replaced by a rename, so a killed look leaves the one before."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..common import files
from ..common.on_host import path

MOST_NOTED = 100
# Files that hold space and inodes for a full disk, which is to be told too; random, as zeros may be compressed.
RESERVE, RESERVED_FILES, RESERVED_BYTES = "reserve", 8, 2**17


class State:
    """The directory of the watch; ``root`` is / but in tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.directory = path("watch", root=root)

    @property
    def cursor(self) -> Path:
        """Up to where the journals were read."""
        return self.directory / "cursor"

    @property
    def outbox(self) -> Path:
        """Messages that wait for their receivers."""
        return self.directory / "outbox"

    @property
    def noted(self) -> Path:
        """The units that have failed since the last look, an empty file each."""
        return self.directory / "failed"

    def make_room(self) -> None:
        """Give up the reserve where the file system is full, and put it back where there is room again."""
        reserve = self.directory / RESERVE
        found, size = os.statvfs(self.directory), RESERVED_FILES * RESERVED_BYTES
        free = found.f_bfree * found.f_frsize
        has_inodes = not found.f_files or found.f_ffree > RESERVED_FILES
        held = os.listdir(reserve) if reserve.is_dir() else []
        if held and (free < size or not has_inodes):
            for name in held:
                os.unlink(reserve / name)
        elif len(held) < RESERVED_FILES and free > 4 * size and has_inodes:
            files.make_directory(reserve, 0o700)
            for number in range(RESERVED_FILES):
                files.write(reserve / str(number), os.urandom(RESERVED_BYTES), 0o600)

    def noted_units(self) -> list[str]:
        """These units; a name is what `failed` has accepted as a unit's."""
        try:
            return sorted(one for one in os.listdir(self.noted) if not one.startswith("."))[:MOST_NOTED]
        except FileNotFoundError:
            return []

    def forget_noted(self, units: Iterable[str]) -> None:
        """Forget units whose failure a look has told."""
        for unit in units:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.noted / unit)

    def read(self, name: str) -> dict[str, Any]:
        """A file of this directory; empty where there is none, or it is broken, as after a disk was full.

        :raises PermissionError: whoever runs this may not read it.
        """
        try:
            return files.read_json(self.directory / name)
        except PermissionError:
            raise
        except (OSError, ValueError):
            return {}

    def write(self, name: str, content: Any) -> None:
        """Replace a file of this directory."""
        files.write(self.directory / name, json.dumps(content, separators=(",", ":")) + "\n", 0o600)
