# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the commands of a module call: without a shell, with a time limit, and with a result that says what changed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import printable

# Where commands are looked up, whoever logged in and however.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS = 600.0  # that a command may take, by default
OUTPUT_LIMIT = 2**24  # bytes of each stream that are kept
MOST_SHOWN = 10_000  # characters of them that a message shows

# The options of a command, as a module takes them.
OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "argv": {"type": "list", "elements": "str", "required": True},
    "check_argv": {"type": "list", "elements": "str", "default": []},
    "output": {"type": "str", "choices": ["json", "text"], "default": "json"},
    "seconds": {"type": "float", "default": SECONDS},
}


class CommandError(Exception):
    """A command that failed; the message says which, how, and what it printed."""


@dataclass(frozen=True)
class Command:
    """A program to run once all files and units are as wanted.

    :param name: names its output in the result.
    :param argv: its argument vector.
    :param check_argv: what to run in check mode in its place, which must change nothing; empty for nothing.
    :param output: ``json`` for an object whose ``changed`` says whether the command changed anything; ``text`` for a
        program that prints something if, and only if, it changed something.
    :param seconds: its time limit; 0 for none.
    """

    name: str
    argv: tuple[str, ...]
    check_argv: tuple[str, ...] = ()
    output: str = "json"
    seconds: float = SECONDS

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Command:
        """Make one of a module's options."""
        return cls(
            options["name"],
            tuple(options["argv"]),
            tuple(options["check_argv"]),
            options["output"],
            options["seconds"],
        )


@dataclass
class Outcome:
    """What the commands have printed, by their names, and whether any of them changed anything."""

    changed: bool = False
    outputs: dict[str, Any] = field(default_factory=dict)


def run_all(commands: Sequence[Command], check_mode: bool = False, renewed: Collection[str] = ()) -> Outcome:
    """Run the commands one after the other.

    In check mode a program that is not on the host yet is left out, and so is one of an earlier version, which may not
    know what it would be asked.

    :param renewed: paths of the files that the call would write, were it not for check mode.
    :raises CommandError: one failed; those after it have not run.
    """
    outcome = Outcome()
    for command in commands:
        argv = command.check_argv if check_mode else command.argv
        if not argv or (check_mode and (argv[0] in renewed or not is_there(argv[0]))):
            continue
        outcome.outputs[command.name], changed = run_one(command, argv)
        outcome.changed = outcome.changed or changed
    return outcome


def run_one(command: Command, argv: Sequence[str]) -> tuple[Any, bool]:
    """Run one command; what it printed, and whether it changed anything."""
    result = execute(argv, command.seconds or None)
    if result.returncode:
        raise CommandError(f"`{shlex.join(argv)}` failed: {shown(result.stderr) or explain(result)}")
    if command.output == "text":
        text = shown(result.stdout)
        return text, bool(text)
    report = parse(result.stdout)
    if report is None:
        raise CommandError(f"`{shlex.join(argv)}` printed no JSON object: {explain(result)}")
    return report, bool(report.get("changed"))


def parse(stdout: str) -> dict[str, Any] | None:
    """Read the JSON object that begins at the first line which opens one; None if there is none."""
    lines = stdout.splitlines(keepends=True)
    first = next((number for number, text in enumerate(lines) if text.startswith("{")), None)
    if first is None:
        return None
    try:
        report = json.loads("".join(lines[first:]))
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def run(command: str) -> str | None:
    """Run a command line (words as in a shell, but no shell); None when it succeeds, else what it printed."""
    try:
        result = execute(shlex.split(command))
    except CommandError as error:
        return str(error)
    return explain(result) if result.returncode else None


def execute(argv: Sequence[str], seconds: float | None = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run a program to its end with the task's environment.

    :param seconds: its time limit; None for none.
    :raises CommandError: it cannot be started, or took longer than ``seconds`` and was ended.
    """
    try:
        return programs.run(argv, seconds=seconds, environment={**os.environ, "PATH": PATH}, limit=OUTPUT_LIMIT)
    except OSError as error:
        raise CommandError(f"{shlex.join(argv)}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{shlex.join(argv)}: it was still running after {seconds:.0f} s and was ended") from error


def explain(result: subprocess.CompletedProcess[str]) -> str:
    """What a program printed, errors first; its exit status if it printed nothing."""
    return shown(result.stderr + result.stdout) or f"exit status {result.returncode}"


def shown(text: str) -> str:
    """The end of what a program printed, safe to show on a terminal."""
    return printable(text[-MOST_SHOWN:].strip())


def is_there(program: str) -> bool:
    """Whether the host has a program. One that is not named by its absolute path is taken to be there."""
    return not os.path.isabs(program) or os.access(program, os.X_OK)
