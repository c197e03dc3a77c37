# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every command works with: what is asked for, the providers, what is served, and what is remembered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .base import Provider
from .certbot import Acme
from .config import Host, Options, Request, load_requests
from .files import Files
from .messages import Refusal
from .self_signed import SelfSigned
from .state import State
from .store import Served, Store

TEMPORARY = "self_signed"


@dataclass
class Context:
    """A host as it is at the beginning of a run.

    :ivar now: the clock; POSIX time.
    :ivar requests: what is asked for, by name.
    :ivar problems: what is wrong with the requests that cannot be read.
    """

    host: Host = field(default_factory=Host)
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.options = Options.load(self.host.options)
        self.requests, self.problems = load_requests(self.host.requests)
        self.store = Store(self.host.served, self.options.key_group)
        shared = (self.host, self.options, self.store)
        self.acme = Acme(*shared)
        self.providers: dict[str, Provider] = {
            "acme": self.acme,
            "self_signed": SelfSigned(*shared),
            "files": Files(*shared),
        }

    def state(self, name: str) -> State:
        """What is remembered of a name."""
        return State.load(self.host.state_of(name))

    def served(self, name: str) -> Served | None:
        """The pair in place; None if there is none that can be used."""
        return self.store.current(name)

    def select(self, names: Sequence[str]) -> list[Request]:
        """The requests of these names; Refusal for one that is not configured."""
        if unknown := [name for name in names if name not in self.requests]:
            raise Refusal(f"{', '.join(unknown)}: not configured in {self.host.requests}")
        return [self.requests[name] for name in names]
