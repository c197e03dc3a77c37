# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and directories that root alone can enter."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from ..common import files, paths, trees


def write_private(path: Path, content: Any) -> None:
    """Write JSON that only root reads, by a rename, and onto the disk."""
    files.write(path, json.dumps(content, indent=1, sort_keys=True) + "\n", 0o600)


def private_directory(path: Path) -> Path:
    """The directory, made if need be, which only root enters."""
    files.make_directory(path, 0o700)
    return path


def clear(path: Path) -> None:
    """Remove what is at a path of root's own, if it is there."""
    with contextlib.suppress(FileNotFoundError), paths.parent_of(str(path)) as (parent, name):
        trees.remove_at(parent, name)
