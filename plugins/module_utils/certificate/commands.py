# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the program; each returns its exit status."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from .ca import ask_directory
from .config import NAME
from .context import Context
from .messages import QUOTE_LIMIT, CertificateError, one_line, say
from .reachability import check_domains
from .reconcile import Reconciler, always, never
from .report import not_served, warnings
from .state import IssueState

RELOAD_WAIT = 10  # seconds for a reload to reach every new connection


def prepare(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Install a usable certificate for every name without asking a CA."""
    for request in reconciler.context.requests.values():
        reconciler.reconcile(request, never)
    show(reconciler.report(), arguments.json)
    return 0


def issue(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Order whatever is due now, and deploy it."""
    requests = reconciler.context.select(list(reconciler.context.requests) if arguments.all else arguments.name)
    reconciler.from_controller = {
        domain: one_line(why, QUOTE_LIMIT) for domain, why in json.loads(arguments.from_controller or "{}").items()
    }
    reconciler.run(requests, always)
    report = reconciler.report()
    show(report, arguments.json)
    # With --json the reader judges the report; a person's shell gets a status.
    return int(not arguments.json and any(report["names"][request.name]["error"] for request in requests))


def reconcile(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Order what is due and not paused, deploy what is not deployed yet, check the dates (run by a timer)."""
    del arguments
    reconciler.run(reconciler.context.requests.values(), IssueState.is_time)
    found = warnings(reconciler.context)
    for warning in found:
        say(warning, "error")
    return int(bool(found))


def renew(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Let certbot from PyPI renew what is due, and deploy it (run by a timer)."""
    del arguments
    if problem := reconciler.context.acme.renew():
        say(problem, "error")
    reconciler.run(reconciler.context.requests.values(), never)
    return int(bool(problem))


def verify(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Print what needs the operator: dates, failed reloads, and domains that are served with another certificate."""
    context = reconciler.context
    context.paths.unchecked.unlink(missing_ok=True)
    deadline = time.monotonic() + RELOAD_WAIT
    requests = list(context.requests.values())
    while True:
        unserved = [f"{request.name}: {why}" for request in requests if (why := not_served(context, request))]
        if not unserved or time.monotonic() > deadline:
            break
        time.sleep(1)
    found = warnings(context) + unserved
    if context.paths.unchecked.exists():  # systemd did not start the unit again while it ran
        return verify(Reconciler(Context(context.paths, context.now)), arguments)
    for warning in found:
        say(warning, "error")
    return int(bool(found))


def deploy(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Install and deploy a renewed certificate (run by certbot)."""
    for request in reconciler.context.select(arguments.name):
        reconciler.reconcile(request, never)
    reconciler.deploy()
    reconciler.start_check()
    return int(any(reconciler.context.state(name).deploy_error for name in arguments.name))


def status(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Print the state of every name; nothing is changed."""
    show(reconciler.report(), arguments.json)
    return 0


def remove(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Remove names with their certificates and keys."""
    for name in arguments.name:
        if not NAME.fullmatch(name):
            raise CertificateError(f"{name!r} is not a name")
        if name in reconciler.context.requests:
            raise CertificateError(
                f"{name} is still configured", f"Remove {reconciler.context.paths.requests}/{name}.json first."
            )
        forgotten = [provider.forget(name) for provider in reconciler.context.providers.values()]
        removed = reconciler.context.store.remove(name)
        shutil.rmtree(reconciler.context.paths.state / name, ignore_errors=True)
        if removed or any(forgotten):
            reconciler.changed.append(name)
            say(f"{name}: removed")
    show(reconciler.report(), arguments.json)
    return 0


def check(reconciler: Reconciler, arguments: argparse.Namespace) -> int:
    """Print what is wrong with the configuration; nothing is changed."""
    del arguments
    problems = list(reconciler.context.problems)
    for name, request in reconciler.context.requests.items():
        if objection := reconciler.context.providers[request.provider].objection(request):
            problems.append(f"{name}: {objection}")
    for problem in problems:
        say(problem, "error")
    return int(bool(problems))


def show(report: dict[str, Any], as_json: bool) -> None:
    """Print the report, as JSON or for the operator."""
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
        return
    for name, entry in report["names"].items():
        kind = "temporary, " if entry["temporary"] else ""
        issuer, until, domains = entry["issuer"] or "none", entry["until"] or "-", " ".join(entry["domains"])
        sys.stdout.write(f"{name}: {kind}{issuer}, until {until}, {domains}\n")
        if entry["error"]:
            sys.stdout.write(f"  {entry['error']}\n")
    for problem in report["problems"]:
        sys.stdout.write(f"{problem}\n")


def ask(url: str, ca_bundle: str) -> int:
    """Print, as JSON, why the CA at a URL does not answer, and what to do; nothing when it answers."""
    try:
        ask_directory(url, ca_bundle)
    except CertificateError as error:
        sys.stdout.write(json.dumps([error.text, error.remedy]) + "\n")
        return 1
    return 0


def reach(token: str, domains: Sequence[str]) -> int:
    """Print, as JSON, why each domain does not lead to the host with the token (run on the controller)."""
    sys.stdout.write(json.dumps(check_domains(domains, token), indent=2) + "\n")
    return 0
