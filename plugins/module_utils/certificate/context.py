# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every command works with: the configuration, the providers, the installed certificates and the state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .base import Provider
from .certbot import Acme
from .config import CertificateRequest, HostOptions, Paths, is_covered, load_requests
from .files import OwnFiles
from .messages import CertificateError
from .self_signed import SelfSigned
from .state import IssueState
from .store import CertificateStore, InstalledCertificate

TEMPORARY = "self_signed"


@dataclass
class Context:
    """A host at the beginning of a run.

    :ivar now: the clock; POSIX time.
    :ivar requests: the valid requests, by name.
    :ivar problems: an error message for each invalid request.
    """

    paths: Paths = field(default_factory=Paths)
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.options = HostOptions.load(self.paths.options)
        self.requests, self.problems = load_requests(self.paths.requests)
        self.store = CertificateStore(self.paths.served, self.options.key_group)
        shared = (self.paths, self.options, self.store)
        self.acme = Acme(*shared)
        self.providers: dict[str, Provider] = {
            "acme": self.acme,
            "self_signed": SelfSigned(*shared),
            "files": OwnFiles(*shared),
        }

    def state(self, name: str) -> IssueState:
        """Return the state of a name."""
        return IssueState.load(self.paths.state_of(name))

    def served(self, name: str) -> InstalledCertificate | None:
        """Return the installed certificate of a name; None if there is no usable one."""
        return self.store.current(name)

    def lent(self, request: CertificateRequest) -> InstalledCertificate | None:
        """The valid certificate of another name that covers the most of a request's domains; None if none does.

        Self-signed ones are left out: visitors' browsers trust none of them more than one made for the name.
        """
        others = [served for name in self.requests if name != request.name and (served := self.served(name))]
        good = [one for one in others if one.provider != TEMPORARY and one.facts.not_after > self.now()]

        def covered(one: InstalledCertificate) -> int:
            return sum(is_covered(domain, one.facts.domains) for domain in request.domains)

        best = max(good, key=covered, default=None)
        return best if best and covered(best) else None

    def select(self, names: Sequence[str]) -> list[CertificateRequest]:
        """Return the requests of these names.

        :raises CertificateError: a name is not configured.
        """
        if unknown := [name for name in names if name not in self.requests]:
            raise CertificateError(f"{', '.join(unknown)}: not configured in {self.paths.requests}")
        return [self.requests[name] for name in names]
