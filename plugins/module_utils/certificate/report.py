# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a name, and the warnings that the operator should act on."""

from __future__ import annotations

from typing import Any

from ..common import clock
from .base import LATE_FRACTION
from .config import CertificateRequest, is_covered
from .context import TEMPORARY, Context
from .messages import plain
from .served import REMEDY_NOT_SERVED, served_problem


def late(context: Context, request: CertificateRequest) -> str:
    """Return a warning if the certificate should have been renewed by now; else empty."""
    served = context.served(request.name)
    if served is None:
        return "there is no usable certificate"
    if not served.facts.has_less_than(LATE_FRACTION, context.now()):
        return ""
    end = served.facts.not_after
    remedy = context.providers[request.provider].remedy_when_late.format(name=request.name)
    verb = "expired" if end < context.now() else "has less than a quarter of its lifetime left and expires"
    return f"the certificate {verb} on {clock.date(end)}. {remedy}"


def not_served(context: Context, request: CertificateRequest) -> str:
    """Return a warning if a domain is served with another certificate than the installed one; else empty."""
    served, address = context.served(request.name), context.options.check_address
    if served is None or not address:
        return ""
    problems: dict[str, str] = {}
    for domain in served.facts.domains:
        problem = served_problem(domain, address, served.files.fullchain)
        if problem and not has_moved(context, request, domain, address):
            problems[domain] = problem
    if not problems:
        return ""
    reason = next(iter(problems.values()))
    return f"{reason} for {', '.join(problems)} than {served.files.fullchain}. {REMEDY_NOT_SERVED}"


def has_moved(context: Context, request: CertificateRequest, domain: str, address: str) -> bool:
    """Whether a domain is served with the certificate of another name, which has taken it over."""
    others = [one.name for one in context.requests.values() if one is not request and domain in one.domains]
    return any((one := context.served(name)) and not served_problem(domain, address, one.files.fullchain)
               for name in others)  # fmt: skip


def warnings(context: Context) -> list[str]:
    """Return what the operator should act on; what is retried in time is left out."""
    found = list(context.problems)
    for name, request in context.requests.items():
        state = context.state(name)
        found += [f"{name}: {problem}" for problem in (state.deploy_error, late(context, request)) if problem]
    return found


def describe(context: Context, request: CertificateRequest) -> dict[str, Any]:
    """Return the entry of a name in the report."""
    state, served = context.state(request.name), context.served(request.name)
    problems = []
    if state.error:
        problems.append(state.outlook)
    elif served and (missing := [name for name in request.domains if not is_covered(name, served.facts.domains)]):
        problems.append(f"The certificate is not valid for {', '.join(missing)}.")
    problems += [state.deploy_error] if state.deploy_error else []
    problems += [problem] if (problem := late(context, request)) else []
    return {
        "provider": request.provider,
        "issuer": plain(served.facts.issuer, 200) if served else "",
        "until": clock.date(served.facts.not_after) if served else "",
        "temporary": served is not None and served.provider == TEMPORARY != request.provider,
        "error": plain(" ".join(problems)),
        "domains": [plain(domain, 255) for domain in (served.facts.domains if served else ())],
    }
