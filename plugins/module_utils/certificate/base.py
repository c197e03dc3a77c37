# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all providers have in common."""

from __future__ import annotations

from dataclasses import dataclass

from .config import Host, Options, Request
from .store import Facts, Pair, Store

RENEW_FRACTION, LATE_FRACTION = 1 / 3, 1 / 4


@dataclass
class Provider:
    """Who brings certificates. A provider keeps its pair in a place of its own and never touches what is served."""

    host: Host
    options: Options
    store: Store

    remedy_when_late = ""

    def pair(self, name: str) -> Pair:
        """The place where the provider keeps the name's pair."""
        raise NotImplementedError

    def objection(self, request: Request) -> str:
        """Why the provider can never bring what is asked for; empty if it can."""
        del request
        return ""

    def due(self, request: Request, now: float) -> str:
        """Why a new certificate is needed; empty if none is."""
        del request, now
        return ""

    def ready(self) -> None:
        """Refusal unless it can be asked at all."""

    def is_asked_over_http(self, request: Request) -> bool:
        """True when somebody else will look for an answer on port 80 of each domain."""
        del request
        return False

    def domains(self, name: str) -> tuple[str, ...]:
        """What the provider's pair is valid for; nothing if there is none."""
        pair = self.pair(name)
        return self.store.facts(name, pair).domains if pair.exists else ()

    def obtain(self, request: Request) -> None:
        """Put a new pair into the provider's place; Refusal if that fails."""

    def settle(self, request: Request, facts: Facts) -> None:
        """What remains to be done once the pair is in place."""

    def forget(self, name: str) -> bool:
        """Let go of a name that has another provider now, or is removed; True if there was anything."""
        del name
        return False

    def differences(self, request: Request) -> str:
        """How the names of the provider's certificate differ from those asked for."""
        has = set(self.store.facts(request.name, self.pair(request.name)).domains)
        wants = set(request.domains)
        changes = [f"+{domain}" for domain in sorted(wants - has)] + [f"-{domain}" for domain in sorted(has - wants)]
        return f"the names have changed ({' '.join(changes)})" if changes else ""
