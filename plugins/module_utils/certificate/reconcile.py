# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconcile what is on the host with what is asked for."""

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
from .config import Request
from .context import TEMPORARY, Context
from .messages import Refusal, one_line, say
from .processes import run
from .reachability import Trial, try_names
from .report import describe, troubles
from .served import run_deploy_command
from .state import State

SYSTEMCTL = "/usr/bin/systemctl"
CHECK_UNIT = "groundwork-certificate-check.service"
DAY_OF_FAILURES = 10  # by then attempts are half a day apart

MayAsk = Callable[[State, float], bool]


def never(_state: State, _now: float) -> bool:
    """Ask no CA."""
    return False


def always(_state: State, _now: float) -> bool:
    """Ask at once, whatever the pause."""
    return True


class Keeper:
    """Brings every name to what is asked for, as far as it can be done now.

    :ivar changed: names of which anything was changed.
    :ivar seen: why the controller did not reach this host under a domain; empty if it did.
    :ivar to_try: domains that somebody will look for on port 80.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.changed: list[str] = []
        self.seen: dict[str, str] = {}
        self.to_try: list[str] = []
        self.trial = Trial(Path(context.options.webroot))

    def bring(self, request: Request, may_ask: MayAsk) -> None:
        """Obtain what is due if it may be asked for, and serve the best pair there is. Never raises Refusal."""
        name, now = request.name, self.context.now()
        provider = self.context.providers[request.provider]
        state = self.context.state(name)
        before = state.error
        try:
            due = provider.due(request, now)
            if not due:
                state.settled()
            elif may_ask(state, now):
                self.obtain(provider, request, due, state)
            elif provider.is_asked_over_http(request):
                self.to_try += self.untried(provider, request, due)
            if provider.pair(name).exists or request.provider == "files":
                self.install(request, request.provider)
                served = self.context.served(name)
                if served and served.provider == request.provider:
                    provider.settle(request, served.facts)
                    self.let_go(request)
            else:
                self.tide_over(request)
        except Refusal as refusal:
            state.error = str(refusal)
            if state.error != before:
                say(f"{name}: {state.error}", "error")
        state.save(self.context.host.state_of(name))

    def obtain(self, provider: Provider, request: Request, due: str, state: State) -> None:
        """Ask the provider for a new pair; what it says if it refuses is kept."""
        say(f"{request.name}: asking for a certificate ({request.provider}), because {due}")
        try:
            provider.ready()
            left_out = self.left_out(provider, request, due, state) if provider.is_asked_over_http(request) else {}
            refusal = self.order(provider, request, left_out)
            if left_out:
                untold = "; ".join(f"{domain}: {why}" for domain, why in left_out.items())
                refusal = refusal.after(untold) if refusal else Refusal(untold)
            if refusal:
                raise refusal
            state.settled()
        except Refusal as refusal:
            state.failed(refusal, self.context.now())
            seen = [f"{domain}: {self.seen[domain]}" for domain in refusal.domains if self.seen.get(domain)]
            if seen:
                state.error = one_line(f"{state.error.rstrip('.')}. Seen from the controller: {'; '.join(seen)}")
            verb = "left out of the certificate" if provider.domains(request.name) else "no new certificate"
            say(f"{request.name}: {verb}: {state.outlook}", "warning")

    def order(self, provider: Provider, request: Request, left_out: dict[str, str]) -> Refusal | None:
        """Obtain a certificate for what is not left out, unless there is one; why that failed, or failed at first.

        The first certificate is worth a second order: what the authority refuses in the first is left out of it.
        """
        subset = replace(request, domains=tuple(domain for domain in request.domains if domain not in left_out))
        if not subset.domains or not provider.due(subset, self.context.now()):
            return None
        try:
            provider.obtain(subset)
        except Refusal as refusal:
            rest = tuple(domain for domain in subset.domains if domain not in refusal.domains)
            if rest and len(rest) < len(subset.domains) and not provider.domains(request.name):
                provider.obtain(replace(request, domains=rest))
            return refusal
        return None

    @staticmethod
    def untried(provider: Provider, request: Request, due: str) -> list[str]:
        """The domains of which it is not known whether the authority would reach this host under them."""
        certified = () if due == LATE else provider.domains(request.name)
        return [domain for domain in request.domains if domain not in certified]

    def left_out(self, provider: Provider, request: Request, due: str, state: State) -> dict[str, str]:
        """Domains not to ask for now, and why: neither the controller nor this host reaches this host under them.

        One such domain would fail the whole order, and count against the authority's limits. What is certified already
        stays in, as long as its certificate is good. After a day of failures this host's own view counts no more:
        behind some routers it can never reach itself by its name.
        """
        domains = self.untried(provider, request, due)
        if not domains or state.failures >= DAY_OF_FAILURES:
            state.left_out = {}
            return {}
        found = try_names(domains, self.trial.token())
        state.seen = [
            domain for domain in domains if (not self.seen[domain] if domain in self.seen else domain in state.seen)
        ]
        state.left_out = {}
        for domain in domains:
            if found[domain] and domain in state.seen:
                say(f"{domain}: reached from the controller, not from this host: a router that does not send it back?")
            elif found[domain]:
                outside = self.seen.get(domain)
                beside = f" Seen from the controller: {outside}" if outside and outside != found[domain] else ""
                state.left_out[domain] = found[domain] + beside
        return state.left_out

    def install(self, request: Request, provider: str) -> None:
        """Serve the provider's pair."""
        name = request.name
        if self.context.store.install(name, self.context.providers[provider].pair(name), provider):
            self.changed.append(name)
            if served := self.context.served(name):
                facts = served.facts
                kind = "temporary certificate" if provider != request.provider else "certificate"
                say(f"{name}: the {kind} of {facts.issuer}, valid until {clock.date(facts.not_after)}, is in place")

    def tide_over(self, request: Request) -> None:
        """A temporary self-signed pair, unless a better one is in place from before."""
        served = self.context.served(request.name)
        if served and served.provider != TEMPORARY:
            return
        temporary = self.context.providers[TEMPORARY]
        if temporary.due(request, self.context.now()):
            temporary.obtain(request)
        self.install(request, TEMPORARY)

    def let_go(self, request: Request) -> None:
        """Now that the right provider's pair is served, the others need not keep theirs."""
        for name, provider in self.context.providers.items():
            if name != request.provider and provider.forget(request.name):
                self.changed.append(request.name)

    def deploy(self) -> None:
        """Run the deploy command, once, if any name has a pair with which it has not succeeded yet."""
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
            state.save(self.context.host.state_of(name))
        command, names = self.context.options.deploy_command, ", ".join(waiting)
        if error:
            say(f"{names}: {error}", "error")
        elif command:
            say(f"{names}: now in use (`{command}`)")

    def have_checked(self) -> None:
        """Let the unit that raises the alert look, if there is anything new to see: a pair, a trouble, or its end."""
        found, path = troubles(self.context), self.context.host.troubles
        before = path.read_text() if path.exists() else "[]"
        after = json.dumps(found, indent=2)
        if json.loads(before) != found:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(path, after.encode(), 0o600)
        elif not self.changed:
            return
        self.context.host.unseen.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.context.host.unseen.touch()
        if self.context.host.root == Path("/"):
            run(SYSTEMCTL, "start", "--no-block", CHECK_UNIT)

    def report(self) -> dict[str, Any]:
        """What was done, and how things are, for JSON."""
        return {
            "changed": sorted(set(self.changed)),
            "names": {name: describe(self.context, request) for name, request in self.context.requests.items()},
            "problems": self.context.problems,
            **({"trial": {"domains": self.to_try, "token": self.trial.token()}} if self.to_try else {}),
        }
