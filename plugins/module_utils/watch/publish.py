# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the last day of each app and the status page up to date, where the host has a page."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ..common import files
from ..common.on_host import path
from . import history
from .page import html
from .records import App, Look, Requests
from .settings import Settings
from .state import State


def publish(look: Look, before: Mapping[str, Any], settings: Settings, state: State) -> None:
    """Write the page, or remove one that is no longer wanted.

    :param before: the look before this one, as it is kept; empty if there is none.
    :raises OSError: it cannot be written; the one before stays, and says by itself when it is old.
    """
    page = path("status", root=state.root) / "index.html"
    days = state.directory / "history.json"
    if not settings.page:
        for file in (page, days):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
        return
    try:
        kept = history.loads(days.read_text())
    except (OSError, ValueError):
        kept = {}
    kept = history.add(kept, earlier(before), look)
    files.write(days, history.dumps(kept), 0o600)
    # The directory lets in the proxy's group, and nobody else.
    files.write(page, html(look, kept, settings.interval), 0o644)


def earlier(raw: Mapping[str, Any]) -> Look | None:
    """What the history needs of a look that was kept: how many requests it had counted of each app."""
    try:
        apps = {name: App(requests=Requests(**app["requests"])) for name, app in raw["apps"].items()}
        return Look(raw["time"], raw["host"], apps=apps)
    except (KeyError, TypeError, AttributeError):
        return None
