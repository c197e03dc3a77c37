# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role has written for the watch: thresholds of the host, and the apps that are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ..common.files import read_json
from ..common.on_host import path

Record = TypeVar("Record")


class SettingsError(Exception):
    """A file of the configuration cannot be used; the message says which, and what to do."""


@dataclass(frozen=True)
class Alerts:
    """What an app is alerted of; ``alerts`` in the schema says what each option means."""

    enabled: bool = True
    outside: bool = True
    error_percent: int = 5
    p95_ms: int = 0


@dataclass(frozen=True)
class Watched:
    """An app that is looked at.

    :ivar health_path: as a visitor asks for it, and as the app is asked through its socket.
    """

    name: str
    domains: tuple[str, ...] = ()
    health_path: str = "/"
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def host(self) -> str:
        """The name that the app is asked by through its socket."""
        return self.domains[0] if self.domains else "localhost"


@dataclass(frozen=True)
class Settings:
    """What holds for the host; the role's README says what each means, and where its default comes from."""

    apps: Mapping[str, Watched] = field(default_factory=dict)
    host: str = ""
    interval: int = 30
    boot_grace: int = 180
    disk_percent: int = 90
    memory_percent: int = 5
    swap_percent: int = 80
    certificate_percent: int = 25
    connections_percent: int = 85
    restarts: int = 3
    drill_days: int = 9
    page: bool = False
    receivers: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def load(cls, root: Path = Path("/")) -> Settings:
        """Read it.

        :raises SettingsError: a file is broken.
        """
        directory = path("configuration", root=root)
        try:
            general = read_json(directory / "watch.json")
            apps = [read_json(file) for file in sorted((directory / "watch.d").glob("*.json"))]
            return record(cls, general, apps={one.name: one for one in map(watched, apps)})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise SettingsError(
                f"the configuration in {directory} cannot be used: {error}. Run the play again"
            ) from None


def watched(raw: Mapping[str, Any]) -> Watched:
    """One app."""
    alerts = record(Alerts, raw.get("alerts") or {})
    return record(Watched, raw, name=str(raw["name"]), domains=tuple(raw.get("domains") or ()), alerts=alerts)


def record(kind: type[Record], raw: Mapping[str, Any], **ready: Any) -> Record:
    """A record of those keys that it knows; what others of the program read in the same file is left out."""
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # a dataclass, as all callers have it
    return kind(**({name: value for name, value in raw.items() if name in known} | ready))
