# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies every backup set into its repositories by restic, and restores it."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ..common.locks import BusyError, locked
from ..common.on_host import path
from ..common.privileges import is_root, not_root
from ..common.text import escaped
from .config import Config
from .copies import forget_copies
from .drill import drill
from .errors import BackupError, say
from .report import report
from .repositories import check, list_snapshots, validate
from .restore import restore
from .run import missing, run
from .space import shown_size
from .status import Status

EXIT_FAILED, EXIT_BUSY = 1, 75


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main_parser = argparse.ArgumentParser(prog="backup", description=__doc__)
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, *options: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        if "set" in options:
            command.add_argument(
                "--set", action="append", default=[], metavar="NAME", help="only this set (repeatable)"
            )
        if "json" in options:
            command.add_argument("--json", action="store_true", help="print the outcome as JSON")
        if "wait" in options:
            command.add_argument(
                "--wait", type=float, default=0.0, metavar="SECONDS", help="wait for another run to end"
            )
        return command

    command = add("run", "Back up", "set", "json", "wait")
    command.add_argument("--missing", action="store_true", help="only what has no backup yet")
    command.add_argument(
        "--dry-run", action="store_true", help="say whether anything would be backed up, and do nothing"
    )
    add("list", "List the snapshots of this host", "json", "wait")
    command = add("check", "Check the repositories for errors", "wait")
    command.add_argument("--all", action="store_true", help="read all data, not the quarter whose week it is")
    command = add("restore", "Restore a set, by default beside the live files", "json", "wait")
    command.add_argument("name", metavar="SET")
    command.add_argument("--snapshot", default="latest", metavar="ID", help="default: latest")
    command.add_argument("--repository", default="", metavar="NAME", help="default: the first that has the snapshot")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--target", type=Path, metavar="DIR", help=f"default: {path('state')}/restore/SET-ID")
    where.add_argument("--in-place", action="store_true", help="to where it was; what is there is put aside")
    command.add_argument(
        "--stop",
        default="",
        metavar="NAME",
        help="an app, with all that runs for it, or a unit, as shop.service, to stop while files are replaced",
    )
    add(
        "drill",
        "Restore drill: restore the newest snapshot of each set to a temporary directory and compare",
        "set",
        "wait",
    )
    command = add("forget-copies", "Remove what restores of a set have left on this host", "json", "wait")
    command.add_argument("name", metavar="SET")
    add("status", "Show the last backup and restore drill of each set, and warnings", "json")
    add("validate", "Check the configuration and the password")
    return main_parser


def write(text: str) -> None:
    """Print a line with its control characters escaped."""
    sys.stdout.write(f"{escaped(text)}\n")


def write_json(outcome: Mapping[str, Any]) -> None:
    """Print an outcome for a program."""
    sys.stdout.write(json.dumps(outcome) + "\n")


def write_report(outcome: Mapping[str, Any]) -> None:
    """Print a report for a person."""
    for name, item in outcome["sets"].items():
        drill_of_set = item["drill"] or {}
        last_drill = (
            f"restore drill passed {drill_of_set['time']}" if drill_of_set.get("ok") else "no restore drill passed yet"
        )
        size = f"{item['files']} files, {shown_size(item['size'])}" if item["last"] else "never"
        places = ", ".join(item["repositories"]) or "-"
        write(f"{name}: {item['last'] or 'no backup'} ({size}) in {places}; {last_drill}")
    for name, found in outcome["copies"].items():
        for copy in found:
            write(f"left by a restore of {name}: {copy}")
    for warning in outcome["warnings"]:
        write(f"warning: {warning}")


def write_restored(outcome: Mapping[str, Any]) -> None:
    """Print for a person what was restored, and where."""
    write(f"{outcome['set']} as of {outcome['time']} (snapshot {outcome['snapshot']} of {outcome['repository']})")
    for item in outcome.get("restored", ()):
        aside = f"; what was there is now {item['previous']}" if item["previous"] else ""
        write(f"  {item['path']}{', what Redis keeps' if item.get('service') else ''}{aside}")
    for item in outcome.get("loaded", ()):
        write(f"  the {item['service']} database {item['database']}; what was there is now {item['previous']}")
    for sentence in (*outcome.get("not_restored", ()), *outcome.get("notices", ())):
        write(f"  {sentence}")
    if "target" in outcome:
        write(f"  is in {outcome['target']}")


def write_snapshots(outcome: Mapping[str, Any]) -> None:
    """Print the snapshots of each set for a person."""
    for name, snapshots in outcome.items():
        for item in snapshots:
            write(f"{name}  {item['snapshot']}  {item['time'][:19]}  {item['repository']}")


def write_removed(outcome: Mapping[str, Any]) -> None:
    """Print for a person which paths were removed."""
    for removed in outcome["removed"]:
        write(f"removed {removed}")


def look(arguments: argparse.Namespace, config: Config) -> bool:
    """Carry out a command that changes nothing and needs no lock; False for any other."""
    if arguments.command == "validate":
        validate(config)
        return True
    if arguments.command != "status" and not (arguments.command == "run" and arguments.dry_run):
        return False
    status = Status(config)
    outcome = report(status)
    if arguments.command == "run":
        outcome["changed"] = bool(
            missing(status, config.chosen_sets(arguments.set, arguments.missing), arguments.missing)
        )
    (write_json if arguments.json else write_report)(outcome)
    return True


def act(arguments: argparse.Namespace, config: Config, lock: int) -> list[str]:
    """Carry out any other command while the lock is held; returns what went wrong."""
    if arguments.command == "run":
        changed, problems = run(config, arguments.set, lock, arguments.missing)
        if arguments.json:  # the reader judges the report
            write_json({**report(Status(config)), "changed": changed, "problems": problems})
            return []
        return problems
    if arguments.command == "drill":
        return drill(config, arguments.set, lock)
    if arguments.command == "check":
        return check(config, lock, arguments.all)
    outcome: Mapping[str, Any]
    for_people: Callable[[Mapping[str, Any]], None]
    if arguments.command == "forget-copies":
        outcome, for_people = {"removed": forget_copies(config, arguments.name)}, write_removed
    elif arguments.command == "list":
        outcome, for_people = list_snapshots(config, lock), write_snapshots
    else:
        outcome, for_people = restore(config, arguments, lock), write_restored
    (write_json if arguments.json else for_people)(outcome)
    return []


def execute(arguments: argparse.Namespace, config: Config) -> int:
    """Carry out one command; returns the exit status."""
    if look(arguments, config):
        return 0
    with locked(config.runtime / "backup.lock", arguments.wait) as lock:
        problems = act(arguments, config, lock)
    for problem in problems:
        say(f"FAILED: {problem}")
    return EXIT_FAILED if problems else 0


def end(number: int, _frame: FrameType | None) -> NoReturn:
    """End as a signal asks, by way of what has to be put in order."""
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """The program."""
    arguments = parser().parse_args(argv)
    os.umask(0o077)  # as its units have it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        return execute(arguments, Config.load())
    except BusyError:
        say("another backup or restore is running")
        return EXIT_BUSY
    except (BackupError, OSError) as error:
        denied = any(isinstance(one, PermissionError) for one in (error, error.__cause__))
        say(not_root() if denied and not is_root() else f"FAILED: {error}")
        return EXIT_FAILED
