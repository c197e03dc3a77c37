# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each command of the program does. The result is its exit status."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from .config import NAME
from .context import Context
from .messages import QUOTE_LIMIT, Refusal, one_line, say
from .reachability import try_names
from .reconcile import Keeper, always, never
from .report import not_served, troubles
from .state import State

RELOAD_WAIT = 10  # seconds for a reload to reach every new connection


def prepare(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Give every name a usable pair, asking nobody."""
    for request in keeper.context.requests.values():
        keeper.bring(request, never)
    show(keeper.report(), arguments.json)
    return 0


def issue(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Ask for whatever is due now, and put it to use."""
    requests = keeper.context.select(list(keeper.context.requests) if arguments.all else arguments.name)
    keeper.seen = {domain: one_line(why, QUOTE_LIMIT) for domain, why in json.loads(arguments.seen or "{}").items()}
    for request in requests:
        keeper.bring(request, always)
    keeper.trial.end()
    keeper.deploy()
    keeper.have_checked()
    report = keeper.report()
    show(report, arguments.json)
    # With --json the reader judges the report; a person's shell gets a status.
    return int(not arguments.json and any(report["names"][request.name]["error"] for request in requests))


def tend(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """What the timer does: ask for what is due if its pause is over, put to use what nobody has, look at the dates."""
    del arguments
    for request in keeper.context.requests.values():
        keeper.bring(request, State.is_time)
    keeper.trial.end()
    keeper.deploy()
    keeper.have_checked()
    found = troubles(keeper.context)
    for trouble in found:
        say(trouble, "error")
    return int(bool(found))


def renew(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """What the timer of certbot from PyPI does: have certbot renew what is due, and put it to use."""
    del arguments
    if problem := keeper.context.acme.renew():
        say(problem, "error")
    for request in keeper.context.requests.values():
        keeper.bring(request, never)
    keeper.trial.end()
    keeper.deploy()
    keeper.have_checked()
    return int(bool(problem))


def verify(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Say what needs a person: dates, reloads that failed, and names served with another certificate than their own."""
    keeper.context.host.unseen.unlink(missing_ok=True)
    deadline = time.monotonic() + RELOAD_WAIT
    requests = list(keeper.context.requests.values())
    while True:
        unserved = [f"{request.name}: {why}" for request in requests if (why := not_served(keeper.context, request))]
        if not unserved or time.monotonic() > deadline:
            break
        time.sleep(1)
    found = troubles(keeper.context) + unserved
    if keeper.context.host.unseen.exists():  # a check was asked for meanwhile; systemd does not start what runs
        return verify(Keeper(Context(keeper.context.host, keeper.context.now)), arguments)
    for trouble in found:
        say(trouble, "error")
    return int(bool(found))


def deploy(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """What certbot calls after a renewal."""
    for request in keeper.context.select(arguments.name):
        keeper.bring(request, never)
    keeper.deploy()
    keeper.have_checked()
    return int(any(keeper.context.state(name).deploy_error for name in arguments.name))


def status(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Say how things are; nothing is changed."""
    show(keeper.report(), arguments.json)
    return 0


def remove(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Take names off the host: nothing of them is renewed any more, nothing of them is left."""
    for name in arguments.name:
        if not NAME.fullmatch(name):
            raise Refusal(f"{name!r} is not a name")
        if name in keeper.context.requests:
            raise Refusal(f"{name} is still configured", f"Remove {keeper.context.host.requests}/{name}.json first.")
        forgotten = [provider.forget(name) for provider in keeper.context.providers.values()]
        removed = keeper.context.store.remove(name)
        shutil.rmtree(keeper.context.host.state / name, ignore_errors=True)
        if removed or any(forgotten):
            keeper.changed.append(name)
            say(f"{name}: removed")
    show(keeper.report(), arguments.json)
    return 0


def check(keeper: Keeper, arguments: argparse.Namespace) -> int:
    """Say what is wrong with the configuration; nothing is changed."""
    del arguments
    problems = list(keeper.context.problems)
    for name, request in keeper.context.requests.items():
        if objection := keeper.context.providers[request.provider].objection(request):
            problems.append(f"{name}: {objection}")
    for problem in problems:
        say(problem, "error")
    return int(bool(problems))


def show(report: dict[str, Any], as_json: bool) -> None:
    """Print the report, for a program or for a person."""
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


def show_trial(token: str, domains: Sequence[str]) -> int:
    """Print, as JSON, why each domain does not lead to the host that has the token; empty if it does. Runs anywhere."""
    sys.stdout.write(json.dumps(try_names(domains, token), indent=2) + "\n")
    return 0
