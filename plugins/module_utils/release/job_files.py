# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit files of an app's jobs on its host: which there are, whose they are, how they come and go."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from . import job_units
from .context import Context
from .job_units import Job

WANTS = "timers.target.wants"
STAMPS = "var/lib/systemd/timers"  # of persistent timers: their modification is when a timer elapsed last


class JobFiles:
    """The files of one app's jobs."""

    def __init__(self, context: Context) -> None:
        self.context, self.system, self.at, self.app = context, context.system, context.at, context.app

    def service(self, job: str) -> str:
        """The unit that runs a job."""
        return f"{self.app}.{job}.service"

    def timer(self, job: str) -> str:
        """The unit that starts a job on its schedule."""
        return f"{self.app}.{job}.timer"

    def of_release(self, release: str | None) -> dict[str, Job]:
        """The jobs of a release, by name."""
        return dict(self.at.facts(release).get("jobs") or {}) if release else {}

    def files(self) -> list[Path]:
        """The unit files of jobs that are on the host."""
        found = self.at.units.glob(f"{self.app}.*") if self.at.units.exists() else ()
        return sorted(file for file in found if file.suffix in (".service", ".timer") and self.is_own(file))

    def is_own(self, file: Path) -> bool:
        """Whether a file is the unit of a job of this app."""
        return job_units.is_own(file, self.app)

    def is_foreign(self, file: Path) -> bool:
        """Whether a unit file was written by another."""
        return os.path.lexists(file) and not self.is_own(file)

    def named(self, suffix: str) -> list[str]:
        """The names of the jobs that have a file of a kind on the host, such as ``.timer``."""
        return [file.name[len(self.app) + 1 : -len(suffix)] for file in self.files() if file.suffix == suffix]

    def on_host(self) -> list[str]:
        """The names of the jobs that have a service on the host."""
        return self.named(".service")

    def says(self, file: Path, text: str) -> bool:
        """Whether a file of ours says this."""
        return self.is_own(file) and file.read_text(errors="replace") == text

    def is_enabled(self, timer: str) -> bool:
        """Whether a boot starts a timer."""
        return os.path.lexists(self.at.units / WANTS / timer)

    def stamp(self, timer: str) -> Path:
        """The file whose time is when a timer elapsed last."""
        return self.at.root / STAMPS / f"stamp-{timer}"

    def take_off(self, files: Iterable[Path]) -> None:
        """Remove unit files, and what systemd keeps of timers."""
        files = list(files)
        timers = [file.name for file in files if file.suffix == ".timer"]
        if timers:
            self.system.systemctl("disable", "--now", *timers)
        for file in files:
            file.unlink(missing_ok=True)
        for timer in timers:
            self.stamp(timer).unlink(missing_ok=True)
        if services := [file.name for file in files if file.suffix == ".service"]:
            self.system.systemctl("reset-failed", *services)

    def begin_anew(self, timers: list[str]) -> None:
        """Have timers whose schedule is another one now count from now."""
        for timer in timers:
            if self.stamp(timer).exists():
                os.utime(self.stamp(timer))
        if timers:
            self.system.systemctl("stop", *timers)
