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
from . import commands
from .config import MINUTE, Host
from .context import Context
from .messages import Refusal, say
from .processes import WITHIN_A_RUN
from .reconcile import Keeper

LOCK_WAIT = 5 * MINUTE
DESCRIPTION = "Keep a usable certificate for every configured name at /etc/ssl/groundwork/NAME/current."


@dataclass(frozen=True)
class Command:
    """A command of this program.

    :param names: how many names it takes, in argparse's notation.
    :param wait: seconds it waits for another run to end; None for a command that only looks.
    """

    function: Callable[[Keeper, argparse.Namespace], int]
    names: str = ""
    json: bool = False
    all: bool = False
    wait: float | None = LOCK_WAIT


COMMANDS = {
    "prepare": Command(commands.prepare, json=True),
    "issue": Command(commands.issue, names="*", json=True, all=True),
    "tend": Command(commands.tend, wait=0),
    "deploy": Command(commands.deploy, names="+"),
    "renew": Command(commands.renew),
    "verify": Command(commands.verify, wait=None),
    "status": Command(commands.status, json=True, wait=None),
    "remove": Command(commands.remove, names="+", json=True),
    "check": Command(commands.check, wait=None),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="certificate", description=DESCRIPTION)
    subparsers = top.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        one = subparsers.add_parser(name, help=command.function.__doc__, description=command.function.__doc__)
        if command.names:
            one.add_argument("name", nargs=command.names)
        if command.all:
            one.add_argument("--all", action="store_true", help="every configured name")
            one.add_argument("--seen", metavar="JSON", help="what `try` said elsewhere")
        if command.json:
            one.add_argument("--json", action="store_true", help="for a program to read")
    trial = subparsers.add_parser("try", help=commands.show_trial.__doc__, description=commands.show_trial.__doc__)
    trial.add_argument("--token", required=True)
    trial.add_argument("domain", nargs="+")
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; the status is 0 if all is well, 1 if not, 2 if it could not be tried."""
    arguments = parser().parse_args(words)
    if arguments.command == "try":
        return commands.show_trial(arguments.token, arguments.domain)
    command = COMMANDS[arguments.command]
    if arguments.command == "deploy" and os.environ.get(WITHIN_A_RUN):
        return 0  # the run that started certbot puts the pair in place itself
    os.umask(0o022)
    host = Host()
    try:
        if command.wait is None:
            return command.function(Keeper(Context(host)), arguments)
        with locked(host.lock, command.wait):
            return command.function(Keeper(Context(host)), arguments)
    except BusyError:
        if command.function is commands.tend:
            return 0  # that run sees to the same; the timer comes again
        say(f"another run of this program has been at work for {command.wait:.0f} s", "error")
    except Refusal as refusal:
        say(str(refusal), "error")
    return 2
