# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit has loaded, kept under /run: which generation of each file set, and which content of some files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils.common.files import make_directory, read_json, write
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import path
from ansible_collections.groundwork.flask.plugins.module_utils.file_set import Manifest

LOADED_DIRECTORY = path("runtime") / "units"


@dataclass
class Record:
    """What a unit has loaded since the boot: a generation of each file set, a digest of each of ``restart_for``."""

    unit: str
    directory: Path = LOADED_DIRECTORY
    loaded: dict[str, int] | None = None
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = read_json(self.path)
        self.loaded, self.files = found.get("sets"), found.get("files", {})

    @property
    def path(self) -> Path:
        """The file that holds the record."""
        return self.directory / f"{self.unit}.json"

    def has_other_files(self, paths: Sequence[str], since: float) -> bool:
        """True when one of the files is another than the unit was started with; without a record the times decide."""
        return any(
            digest(path) != self.files[path] if path in self.files else changed_at(path) > since for path in paths
        )

    def save(self, followed: Mapping[str, Manifest], paths: Sequence[str]) -> None:
        """Remember that the unit has loaded these sets and files as they are now."""
        sets = {name: manifest.generation for name, manifest in followed.items()}
        files = {path: digest(path) for path in paths}
        make_directory(self.directory)
        write(self.path, json.dumps({"sets": sets, "files": files}), 0o644)


def digest(path: str) -> str:
    """Names the content of a file; empty for one that is not there."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def changed_at(path: str) -> float:
    """When a file was written; 0 for one that is not there."""
    try:
        return Path(path).stat().st_mtime
    except FileNotFoundError:
        return 0.0
