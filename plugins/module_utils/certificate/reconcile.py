# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconcile the host with the requests: order what is due, install what providers have, deploy it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..common import clock
from ..common.files import make_directory, make_parents, write
from .base import Provider
from .config import CertificateRequest
from .context import TEMPORARY, Context
from .messages import CertificateError, say
from .order import Order, unverified
from .processes import run
from .reachability import ReachabilityFile
from .report import describe, warnings
from .served import run_deploy_command
from .state import IssueState

SYSTEMCTL = "/usr/bin/systemctl"
CHECK_UNIT = "groundwork-certificate-check.service"

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

    def run(self, requests: Iterable[CertificateRequest], may_order: MayOrder) -> None:
        """Reconcile these names, deploy what is new, and let the check see it.

        :param may_order: whether to order a certificate that is due: :func:`never`, :func:`always`, or unless paused.
        """
        for request in requests:
            self.reconcile(request, may_order)
        self.reachability.end()
        self.deploy()
        self.start_check()

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
                self.order(provider, request, due, state).place()
            elif provider.is_validated_over_http(request):
                self.to_check += unverified(provider, request, due)
            if provider.files(name).exists or request.provider == "files":
                self.install(request, request.provider)
                served = self.context.served(name)
                if served and served.provider == request.provider:
                    provider.settle(request, served.facts)
                    self.forget_others(request)
            else:
                self.install_temporary(request)
        except CertificateError as error:
            state.error = str(error)
            if state.error != before:
                say(f"{name}: {state.error}", "error")
        state.save(self.context.paths.state_of(name))

    def order(self, provider: Provider, request: CertificateRequest, due: str, state: IssueState) -> Order:
        """Return the order of a certificate that is due."""
        now = self.context.now
        return Order(provider, request, due, state, now, self.reachability, self.from_controller)

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
        """Install what serves until the provider has one, unless something better is installed.

        That is a copy of another name's certificate that browsers trust for a domain of this one, as when an app takes
        over another's domains; else a self-signed one.
        """
        served = self.context.served(request.name)
        if served and served.provider != TEMPORARY:
            return
        if request.provider != TEMPORARY and (other := self.context.lent(request)):
            if self.context.store.install(request.name, other.files, other.provider):
                self.changed.append(request.name)
                say(f"{request.name}: serves a copy of another name's certificate until its own is there")
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
            make_directory(path.parent, 0o700)
            write(path, after.encode(), 0o600)
        elif not self.changed:
            return
        make_parents(self.context.paths.unchecked)
        write(self.context.paths.unchecked, b"", 0o644)
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
