# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the program."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..common.locks import BusyError, locked
from ..common.on_host import on_host
from . import commands
from .config import MINUTE, Paths
from .context import Context
from .messages import CertificateError, say
from .processes import WITHIN_A_RUN
from .reconcile import Reconciler

LOCK_WAIT = 5 * MINUTE
# Far less than certbot is waited for (certbot_program.py): while its hook waits, certbot holds a lock of its own, and
# the run that holds ours may be waiting for that one.
HOOK_WAIT = 5
DESCRIPTION = f"Keep a usable certificate for every configured name at {on_host('certificate', 'NAME')}."


@dataclass(frozen=True)
class Command:
    """A command of this program.

    :ivar names: how many names it takes, in argparse's notation; none by default.
    :ivar json: it has the option ``--json``.
    :ivar all: it has the options ``--all`` and ``--from-controller``.
    :ivar wait: seconds to wait for the lock; None for a command that changes nothing.
    """

    function: Callable[[Reconciler, argparse.Namespace], int]
    names: str = ""
    json: bool = False
    all: bool = False
    wait: float | None = LOCK_WAIT


COMMANDS = {
    "prepare": Command(commands.prepare, json=True),
    "issue": Command(commands.issue, names="*", json=True, all=True),
    "reconcile": Command(commands.reconcile, wait=0),
    "deploy": Command(commands.deploy, names="+", wait=HOOK_WAIT),
    "renew": Command(commands.renew),
    "verify": Command(commands.verify, wait=None),
    "status": Command(commands.status, json=True, wait=None),
    "remove": Command(commands.remove, names="+", json=True),
    "check": Command(commands.check, wait=None),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="certificate", description=DESCRIPTION)
    subparsers = top.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        one = subparsers.add_parser(name, help=command.function.__doc__, description=command.function.__doc__)
        if command.names:
            one.add_argument("name", nargs=command.names)
        if command.all:
            one.add_argument("--all", action="store_true", help="every configured name")
            one.add_argument("--from-controller", metavar="JSON", help="what `reach` printed on the controller")
        if command.json:
            one.add_argument("--json", action="store_true", help="print the report as JSON")
    ask = subparsers.add_parser("ask", help=commands.ask.__doc__, description=commands.ask.__doc__)
    ask.add_argument("url")
    ask.add_argument("ca_bundle", nargs="?", default="")
    reach = subparsers.add_parser("reach", help=commands.reach.__doc__, description=commands.reach.__doc__)
    reach.add_argument("--token", required=True)
    reach.add_argument("domain", nargs="+")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit status is 0 if all is well, 1 if not, and 2 if it could not start."""
    arguments = parser().parse_args(argv)
    if arguments.command == "reach":
        return commands.reach(arguments.token, arguments.domain)
    if arguments.command == "ask":
        return commands.ask(arguments.url, arguments.ca_bundle)
    command = COMMANDS[arguments.command]
    if arguments.command == "deploy" and os.environ.get(WITHIN_A_RUN):
        return 0  # the run that started certbot installs the certificate itself
    os.umask(0o022)
    host = Paths()
    try:
        if command.wait is None:
            return command.function(Reconciler(Context(host)), arguments)
        with locked(host.lock, command.wait):
            return command.function(Reconciler(Context(host)), arguments)
    except BusyError:
        if command.function is commands.reconcile:
            return 0  # that run does the same, and the timer starts the next
        if command.function is commands.deploy:
            say(f"{', '.join(arguments.name)}: another run is under way; the timer's next run deploys the certificate")
            return 0
        say(f"another run of this program has held the lock for {command.wait:.0f} s", "error")
    except CertificateError as error:
        say(str(error), "error")
    return 2


# On the controller, which needs no installation: python -m module_utils.certificate.cli
if __name__ == "__main__":
    raise SystemExit(main())
