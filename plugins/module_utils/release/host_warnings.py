# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the other programs of the host warn of, where they are installed: certificates and backups."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

from ..common import programs
from ..common.on_host import path
from ..common.text import line

SECONDS = 30.0  # that one program may take


def warnings_of(app: str, root: Path) -> list[str]:
    """The warnings that are about an app, and those that are about the whole host."""
    certificate, backup = report("certificate", root), report("backup", root)
    error = certificate.get("names", {}).get(app, {}).get("error")
    of_sets = {name: one.get("warnings", []) for name, one in backup.get("sets", {}).items()}
    of_others = {text for name, texts in of_sets.items() if name != app for text in texts}
    found = [text for text in backup.get("warnings", []) if text not in of_others]
    own = [f"certificate: {error}"] if error else []
    return [line(text, 1000) for text in [*own, *(f"backup: {one}" for one in found)]]


@functools.cache
def report(name: str, root: Path) -> dict[str, Any]:
    """What a program says of its state; empty where it is not installed or cannot say."""
    program = path("programs", root=root) / name
    if not program.exists():
        return {}
    try:
        found = json.loads(programs.run([str(program), "status", "--json"], seconds=SECONDS, limit=2**24).stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return found if isinstance(found, dict) else {}
