# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An order: which domains it is for, what the provider makes of it, and what an error means for the next attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .asking import check_domains
from .base import Provider
from .certbot import LATE
from .config import CertificateRequest
from .messages import CertificateError, one_line, say
from .reachability import ReachabilityFile
from .state import IssueState

DAY_OF_FAILURES = 10  # by then attempts are half a day apart


def unverified(provider: Provider, request: CertificateRequest, due: str) -> list[str]:
    """Return the domains by which the CA has not reached this host yet."""
    certified = () if due == LATE else provider.domains(request.name)
    return [domain for domain in request.domains if domain not in certified]


@dataclass
class Order:
    """An order of a certificate that is due.

    :ivar due: why it is due.
    :ivar state: the state of the name, which is changed and not saved.
    :ivar now: the clock; POSIX time.
    :ivar reachability: the file that the domains must lead to.
    :ivar from_controller: the controller's reachability check: by domain, the reason or an empty text.
    """

    provider: Provider
    request: CertificateRequest
    due: str
    state: IssueState
    now: Callable[[], float]
    reachability: ReachabilityFile
    from_controller: Mapping[str, str]

    def place(self) -> None:
        """Let the provider obtain a certificate; the state has the error, or that there is none."""
        name = self.request.name
        say(f"{name}: asking for a certificate ({self.request.provider}), because {self.due}")
        try:
            self.provider.ready()
            over_http = self.provider.is_validated_over_http(self.request)
            self.state.left_out = self.unreachable() if over_http else {}
            if error := self.obtain():
                raise error
            self.state.settled()
        except CertificateError as error:
            self.state.failed(error, self.now())
            if seen := [f"{domain}: {self.from_controller[domain]}" for domain in self.contradicted(error.domains)]:
                text = f"{self.state.error.rstrip('.')}. Seen from the controller: {'; '.join(seen)}"
                self.state.error = one_line(text)
            verb = "left out of the certificate" if self.provider.domains(name) else "no new certificate"
            say(f"{name}: {verb}: {self.state.outlook}", "warning")

    def contradicted(self, domains: Sequence[str]) -> list[str]:
        """Return those of the domains that the controller could not reach either."""
        return [domain for domain in domains if self.from_controller.get(domain)]

    def unreachable(self) -> dict[str, str]:
        """Return the domains to leave out, with the reason why they do not lead to this host.

        One such domain would fail the whole order and count against the CA's rate limits. A domain that the controller
        reaches stays in, and so does one of the present certificate as long as that is valid. After a day of failures
        the check no longer counts: behind some routers a host can never reach itself by its name.
        """
        domains = unverified(self.provider, self.request, self.due)
        if not domains or self.state.failures >= DAY_OF_FAILURES:
            return {}
        found = check_domains(domains, self.reachability.token())
        self.state.reached = [domain for domain in domains if self.controller_reaches(domain)]
        left_out = {}
        for domain, reason in found.items():
            if reason and domain in self.state.reached:
                say(f"{domain}: the controller reaches this host and this host does not: a router without hairpin NAT?")
            elif reason:
                outside = self.from_controller.get(domain)
                beside = f" Seen from the controller: {outside}" if outside and outside != reason else ""
                left_out[domain] = reason + beside
        return left_out

    def controller_reaches(self, domain: str) -> bool:
        """Whether the controller reached this host by the domain: in this run, else the last time that it tried."""
        return not self.from_controller[domain] if domain in self.from_controller else domain in self.state.reached

    def obtain(self) -> CertificateError | None:
        """Obtain a certificate for the domains that are not left out; return what keeps any domain out of it."""
        left_out = self.state.left_out
        error = self.obtain_for([domain for domain in self.request.domains if domain not in left_out])
        if not left_out:
            return error
        reasons = "; ".join(f"{domain}: {why}" for domain, why in left_out.items())
        return error.after(reasons) if error else CertificateError(reasons)

    def obtain_for(self, domains: Sequence[str]) -> CertificateError | None:
        """Obtain a certificate for these domains, unless there is one; return why that failed.

        If the CA refuses domains of the first certificate, a second order leaves these out.

        :raises CertificateError: the second order failed too.
        """
        subset = replace(self.request, domains=tuple(domains))
        if not domains or not self.provider.due(subset, self.now()):
            return None
        try:
            self.provider.obtain(subset)
        except CertificateError as error:
            rest = tuple(domain for domain in domains if domain not in error.domains)
            if rest and len(rest) < len(domains) and not self.provider.domains(self.request.name):
                self.provider.obtain(replace(self.request, domains=rest))
            return error
        return None
