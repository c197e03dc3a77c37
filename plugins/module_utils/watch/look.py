# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb ``look``: one look at the apps and the host, what has changed since the last one, and what is made of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from ..common import clock
from ..common.on_host import path
from . import conditions
from .ask import Question, ask
from .conditions import Found, Known, Moment
from .records import App, AppState, Condition, Look
from .settings import Settings
from .state import State


def main(_arguments: Sequence[str]) -> int:
    """Look once."""
    settings, state = Settings.load(), State()
    began = time.monotonic()
    look = Look(clock.now(), settings.host or socket.gethostname())
    apps = sockets(settings, look)
    found = list(health(look))
    before = {key: Known.of(raw) for key, raw in state.read("memory.json").get("known", {}).items()}
    known, _changes = conditions.step(before, found, Moment(look.time, look.host, apps=apps))
    look.conditions = [one.condition for one in known.values() if one.told]
    look.seconds = time.monotonic() - began
    state.write("memory.json", {"known": {key: one.plain() for key, one in known.items()}})
    state.write("look.json", look.plain())
    return 0


def sockets(settings: Settings, look: Look, root: Path = Path("/")) -> list[str]:
    """Ask each app through its own socket."""
    questions = {
        app.name: Question(app.domains[0], app.health_path, str(path("socket", app.name, root)))
        for app in settings.apps.values()
    }
    for name, answer in ask(questions).items():
        state: AppState = "up" if answer.status is not None and answer.status < 500 else "down"
        look.apps[name] = App(state, list(settings.apps[name].domains), status=answer.status, answered=answer.seconds)
    return list(questions)


def health(look: Look) -> Sequence[Found]:
    """The apps that do not answer as they should."""
    return [
        Found(Condition("health", name, message=f"It answers {app.status}.", severity="critical"), certain=True)
        for name, app in look.apps.items()
        if app.state == "down"
    ]
