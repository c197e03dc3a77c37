# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconcile the host with the requests: order what is due, install what providers have, deploy it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.files import write
from .base import Provider
from .certbot import LATE
from .config import CertificateRequest
from .context import TEMPORARY, Context
from .messages import CertificateError, one_line, say
from .processes import run
from .reachability import ReachabilityFile, check_domains
from .report import describe, warnings
from .served import run_deploy_command
from .state import IssueState

SYSTEMCTL = "/usr/bin/systemctl"
CHECK_UNIT = "groundwork-certificate-check.service"
DAY_OF_FAILURES = 10  # by then attempts are half a day apart

MayOrder = Callable[[IssueState, float], bool]


def never(_state: IssueState, _now: float) -> bool:
    """Order nothing."""
    return False


def always(_state: IssueState, _now: float) -> bool:
    """Order at once, even within a pause."""
    return True


class Reconciler:
    """One run that reconciles names with their requests, as far as that is possible now.

    :ivar changed: names that anything was changed for.
    :ivar from_controller: the controller's reachability check: by domain, the reason or an empty text.
    :ivar to_check: domains that are due to be ordered over http-01, for the controller to check.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.changed: list[str] = []
        self.from_controller: dict[str, str] = {}
        self.to_check: list[str] = []
        self.reachability = ReachabilityFile(Path(context.options.webroot))

    def reconcile(self, request: CertificateRequest, may_order: MayOrder) -> None:
        """Order a certificate if one is due and may be ordered, and install the best that there is.

        An error is stored in the state of the name, and logged when it is a new one.
        """
        name, now = request.name, self.context.now()
        provider = self.context.providers[request.provider]
        state = self.context.state(name)
        before = state.error
        try:
            due = provider.due(request, now)
            if not due:
                state.settled()
            elif may_order(state, now):
                self.obtain(provider, request, due, state)
            elif provider.is_validated_over_http(request):
                self.to_check += self.unverified(provider, request, due)
            if provider.files(name).exists or request.provider == "files":
                self.install(request, request.provider)
                served = self.context.served(name)
                if served and served.provider == request.provider:
                    provider.settle(request, served.facts)
                    self.forget_others(request)
            else:
                self.install_temporary(request)
        except CertificateError as refusal:
            state.error = str(refusal)
            if state.error != before:
                say(f"{name}: {state.error}", "error")
        state.save(self.context.paths.state_of(name))

    def obtain(self, provider: Provider, request: CertificateRequest, due: str, state: IssueState) -> None:
        """Let the provider obtain a certificate; an error is stored in the state."""
        say(f"{request.name}: asking for a certificate ({request.provider}), because {due}")
        try:
            provider.ready()
            left_out = self.left_out(provider, request, due, state) if provider.is_validated_over_http(request) else {}
            refusal = self.order(provider, request, left_out)
            if left_out:
                reasons = "; ".join(f"{domain}: {why}" for domain, why in left_out.items())
                refusal = refusal.after(reasons) if refusal else CertificateError(reasons)
            if refusal:
                raise refusal
            state.settled()
        except CertificateError as refusal:
            state.failed(refusal, self.context.now())
            seen = [
                f"{domain}: {self.from_controller[domain]}"
                for domain in refusal.domains
                if self.from_controller.get(domain)
            ]
            if seen:
                state.error = one_line(f"{state.error.rstrip('.')}. Seen from the controller: {'; '.join(seen)}")
            verb = "left out of the certificate" if provider.domains(request.name) else "no new certificate"
            say(f"{request.name}: {verb}: {state.outlook}", "warning")

    def order(
        self, provider: Provider, request: CertificateRequest, left_out: dict[str, str]
    ) -> CertificateError | None:
        """Obtain a certificate for the domains that are not left out, unless there is one; returns the error.

        If the CA refuses domains of the first certificate, a second order leaves these out.
        """
        subset = replace(request, domains=tuple(domain for domain in request.domains if domain not in left_out))
        if not subset.domains or not provider.due(subset, self.context.now()):
            return None
        try:
            provider.obtain(subset)
        except CertificateError as refusal:
            rest = tuple(domain for domain in subset.domains if domain not in refusal.domains)
            if rest and len(rest) < len(subset.domains) and not provider.domains(request.name):
                provider.obtain(replace(request, domains=rest))
            return refusal
        return None

    @staticmethod
    def unverified(provider: Provider, request: CertificateRequest, due: str) -> list[str]:
        """Return the domains by which the CA has not reached this host yet."""
        certified = () if due == LATE else provider.domains(request.name)
        return [domain for domain in request.domains if domain not in certified]

    def left_out(self, provider: Provider, request: CertificateRequest, due: str, state: IssueState) -> dict[str, str]:
        """Return the domains to leave out of the order, with the reason why they do not lead to this host.

        One such domain would fail the whole order and count against the CA's rate limits. A domain that the controller
        reaches stays in. A domain of the present
        certificate stays in as long as that is valid. After a day of failures the check no longer counts: behind some
        routers a host can never reach itself by its name.
        """
        domains = self.unverified(provider, request, due)
        if not domains or state.failures >= DAY_OF_FAILURES:
            state.left_out = {}
            return {}
        found = check_domains(domains, self.reachability.token())
        state.reached = [
            domain
            for domain in domains
            if (not self.from_controller[domain] if domain in self.from_controller else domain in state.reached)
        ]
        state.left_out = {}
        for domain in domains:
            if found[domain] and domain in state.reached:
                say(f"{domain}: the controller reaches this host and this host does not: a router without hairpin NAT?")
            elif found[domain]:
                outside = self.from_controller.get(domain)
                beside = f" Seen from the controller: {outside}" if outside and outside != found[domain] else ""
                state.left_out[domain] = found[domain] + beside
        return state.left_out

    def install(self, request: CertificateRequest, provider: str) -> None:
        """Install the provider's certificate."""
        name = request.name
        if self.context.store.install(name, self.context.providers[provider].files(name), provider):
            self.changed.append(name)
            if served := self.context.served(name):
                facts = served.facts
                kind = "temporary certificate" if provider != request.provider else "certificate"
                say(f"{name}: the {kind} of {facts.issuer}, valid until {clock.date(facts.not_after)}, is in place")

    def install_temporary(self, request: CertificateRequest) -> None:
        """Install a temporary self-signed certificate, unless a better one is installed."""
        served = self.context.served(request.name)
        if served and served.provider != TEMPORARY:
            return
        temporary = self.context.providers[TEMPORARY]
        if temporary.due(request, self.context.now()):
            temporary.obtain(request)
        self.install(request, TEMPORARY)

    def forget_others(self, request: CertificateRequest) -> None:
        """Delete what other providers have, now that the right one's certificate is installed."""
        for name, provider in self.context.providers.items():
            if name != request.provider and provider.forget(request.name):
                self.changed.append(request.name)

    def deploy(self) -> None:
        """Run the deploy command, once, if there is a certificate with which it has not succeeded yet."""
        waiting = {}
        for name in self.context.requests:
            state, served = self.context.state(name), self.context.served(name)
            if served and state.deployed != served.fingerprint:
                waiting[name] = (state, served)
        if not waiting:
            return
        error = run_deploy_command(self.context.options.deploy_command)
        for name, (state, served) in waiting.items():
            state.deploy_error = error
            if not error:
                state.deployed = served.fingerprint
                self.changed.append(name)
            state.save(self.context.paths.state_of(name))
        command, names = self.context.options.deploy_command, ", ".join(waiting)
        if error:
            say(f"{names}: {error}", "error")
        elif command:
            say(f"{names}: now in use (`{command}`)")

    def start_check(self) -> None:
        """Start the unit that raises alerts, if a certificate or the warnings have changed."""
        found, path = warnings(self.context), self.context.paths.warnings
        before = path.read_text() if path.exists() else "[]"
        after = json.dumps(found, indent=2)
        if json.loads(before) != found:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(path, after.encode(), 0o600)
        elif not self.changed:
            return
        self.context.paths.unchecked.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.context.paths.unchecked.touch()
        if self.context.paths.root == Path("/"):
            run(SYSTEMCTL, "start", "--no-block", CHECK_UNIT)

    def report(self) -> dict[str, Any]:
        """Return what was done and the state of each name, for JSON."""
        return {
            "changed": sorted(set(self.changed)),
            "names": {name: describe(self.context, request) for name, request in self.context.requests.items()},
            "problems": self.context.problems,
            **(
                {"reachability": {"domains": self.to_check, "token": self.reachability.token()}}
                if self.to_check
                else {}
            ),
        }
