# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an app keeps in a database server and in Redis: a part of its set, saved with its files and restored with them.

A dump or a copy is made, loaded and counted by the app, in a sandbox; root moves the files. A snapshot's manifest says
how many rows each table and how many keys each Redis had at the very moment of the dump, which a restore and a restore
drill compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import service_database, service_redis
from .config import BackupSet, Config
from .private import private_directory
from .service_database import TITLES
from .service_steps import AsTheApp

DIRECTORY = "services"  # in a stage
NAMES = {**TITLES, "redis": "Redis"}


def save_services(config: Config, item: BackupSet, stage: Path, seconds: float) -> dict[str, Any]:
    """Dump and copy what the services of a set hold, and say what was saved, by service."""
    if not item.services:
        return {}
    app, place = AsTheApp(config, item, seconds), private_directory(stage / DIRECTORY)
    saved = {}
    for service in item.services:
        target = place / service
        if service == "redis":
            saved[service] = service_redis.save(app, target)
        else:
            saved[service] = service_database.save(app, service, target)
    return saved


def not_touched(item: BackupSet, saved: Mapping[str, Any]) -> list[str]:
    """Which of the services a restore in place leaves as they are, in sentences.

    :param saved: what the snapshot has of services.
    """
    sentences = []
    for service in item.services:
        if service not in saved:
            sentences.append(f"{NAMES[service]} was not touched: the snapshot was made before the set saved it.")
    for service in saved:
        if service not in item.services:
            sentences.append(
                f"The snapshot has a copy of what the app had in {NAMES[service]}, which is none of the set's services "
                "(any more): it was not restored. Restore to a directory (without --in-place) to get at it."
            )
    return sentences
