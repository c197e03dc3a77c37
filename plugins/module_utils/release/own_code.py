# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an environment leads into the code of a release, in place of a copy of it: what editable packages leave."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common import trees

LIMIT = 16 * 2**20  # bytes
# What Python reads to find more packages, and the modules by which the build backends do so.
LEADING = re.compile(r".*\.(pth|egg-link)|_.*editable.*\.py", re.IGNORECASE)


@dataclass(frozen=True)
class Lead:
    """A file of an environment that leads into a release.

    :ivar file: its path in the environment.
    :ivar target: where it leads.
    :ivar release: the release; or a directory beside those, which the build needed.
    """

    file: str
    target: str
    release: str


def leads(venv: Path, releases: Path) -> Iterator[Lead]:
    """What of an environment leads below the releases; root may call it for what a build can still write."""
    found = re.compile(re.escape(str(releases)) + r"/+([^/\s'\"]+)[^\s'\"]*")
    for file in files(venv):
        try:
            text = trees.read_text(venv, file, LIMIT)
        except OSError:  # as Python could not either
            continue
        if file.endswith(".json") and not re.search(r'"editable":\s*true', text):
            continue  # where a copy was made from, which may be gone
        for match in found.finditer(text):
            yield Lead(file, match[0], match[1])


def files(venv: Path) -> Iterator[str]:
    """The files of an environment that may lead elsewhere."""
    for python in trees.names(venv, "lib"):
        packages = f"lib/{python}/site-packages"
        for name in trees.names(venv, packages):
            if LEADING.fullmatch(name):
                yield f"{packages}/{name}"
            elif name.endswith(".dist-info"):
                yield f"{packages}/{name}/direct_url.json"
