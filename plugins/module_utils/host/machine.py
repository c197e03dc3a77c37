# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as the parts see it: its files, its programs, what was there before them, and what they report."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import files, kernel, programs
from ..common.on_host import path
from ..common.systemd import SYSTEMCTL
from ..common.text import line

SECONDS = 120.0  # that one program may take

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def run_program(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program; one that is not there, or takes too long, has failed."""
    try:
        return programs.run(argv, seconds=SECONDS)
    except OSError as error:
        return subprocess.CompletedProcess(argv, 127, "", f"{argv[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"{argv[0]}: still running after {SECONDS:.0f} s, and ended")


@dataclass
class Machine:
    """A host.

    :param root: where its files are.
    :param run: runs a program.
    :param dry_run: report what would be changed, and change nothing.
    :ivar changed: what was changed, a short text each.
    :ivar warnings: what the operator should act on.
    :ivar notes: what a part has left alone, and why.
    """

    root: Path = Path("/")
    run: Run = run_program
    dry_run: bool = False
    changed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def container(self) -> str:
        """The kind of container that the host is, as systemd has found it; empty for a machine of its own."""
        return kernel.container(self.root)

    def path(self, name: str) -> Path:
        """A path of the host."""
        return self.root / name.lstrip("/")

    # --- what is done ------------------------------------------

    def does(self, text: str) -> bool:
        """Report a change; say whether to make it."""
        self.changed.append(text)
        return not self.dry_run

    def succeeds(self, *argv: str) -> bool:
        """Run a program that is to change something; a failure becomes a warning."""
        done = self.run(argv)
        if done.returncode:
            text = line(done.stderr or done.stdout) or f"exit status {done.returncode}"
            self.warnings.append(f"`{' '.join(argv)}` failed: {text}")
        return not done.returncode

    def unit(self, name: str) -> dict[str, str]:
        """What systemd says of a unit: LoadState, ActiveState, UnitFileState."""
        shown = self.run((SYSTEMCTL, "show", "--property=LoadState,ActiveState,UnitFileState", "--", name)).stdout
        return dict(row.split("=", 1) for row in shown.splitlines() if "=" in row)

    # --- what was there before ---------------------------------

    @property
    def record(self) -> Path:
        """The file that keeps what the parts have found before they changed it."""
        return path("state", root=self.root) / "host.json"

    def before(self, part: str) -> dict[str, Any]:
        """What a part has recorded."""
        return dict(files.read_json(self.record).get(part, {}))

    def remember(self, part: str, found: dict[str, Any]) -> None:
        """Record what a part has found, before it changes that; what is recorded already stays."""
        if found:
            self._save({**files.read_json(self.record), part: {**found, **self.before(part)}})

    def renew(self, part: str, found: Mapping[str, Mapping[str, Any]]) -> None:
        """Record what a part is about to write (``ours``), and what stood there when it came (``before``)."""
        recorded = self.before(part)
        new = {key: {**one, "before": recorded.get(key, one)["before"]} for key, one in found.items()}
        if new:
            self._save({**files.read_json(self.record), part: {**recorded, **new}})

    def forget(self, part: str, *keys: str) -> None:
        """Drop a part's record, or some keys of it, once all is put back."""
        recorded = files.read_json(self.record)
        left = {key: value for key, value in self.before(part).items() if keys and key not in keys}
        if part in recorded and recorded[part] != left:
            self._save(
                {**{name: of for name, of in recorded.items() if name != part}, **({part: left} if left else {})}
            )

    def _save(self, recorded: dict[str, Any]) -> None:
        if self.dry_run or recorded == files.read_json(self.record):
            return
        files.make_directory(self.record.parent)
        files.write(self.record, json.dumps(recorded, indent=1, sort_keys=True) + "\n", 0o600)
