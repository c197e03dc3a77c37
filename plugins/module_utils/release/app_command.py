# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The app's name as a command of the host, which gives way to any program of that name."""

from __future__ import annotations

import os
import re

from ..common.files import make_parents, write
from ..common.paths import FILE, regular
from .layout import Layout

# Where programs are, as the PATH of Debian, Ubuntu and sudo has them; without /usr/local/bin, where the command is.
PROGRAMS = ("/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/games", "/usr/local/games", "/snap/bin")
# What a shell takes for its own before it looks for a program: sh(1) and bash(1).
SHELL_WORD = re.compile(
    "alias|bg|bind|break|builtin|caller|case|cd|command|compgen|complete|compopt|continue|coproc|declare|dirs|"
    "disown|do|done|echo|elif|else|enable|esac|eval|exec|exit|export|false|fc|fg|fi|for|function|getopts|hash|"
    "help|history|if|in|jobs|kill|let|local|logout|mapfile|popd|printf|pushd|pwd|read|readarray|readonly|return|"
    "select|set|shift|shopt|source|suspend|test|then|time|times|trap|true|type|typeset|ulimit|umask|unalias|unset|"
    "until|wait|while"
)
# A program that is installed later comes first at once, not only after the next deploy.
SCRIPT = """#!/bin/sh
# The command of the app {app}, made by groundwork.flask; any program of this name comes first.
for directory in {directories}; do
    program=$directory/{app}
    [ -f "$program" ] && [ -x "$program" ] && [ ! "$program" -ef "$0" ] && exec "$program" "$@"
done
exec {tools}/app {app} "$@"
"""
SCRIPT_LIMIT = 4096  # bytes; a command of ours is shorter


def script(at: Layout) -> str:
    """What the command of the app's name does."""
    return SCRIPT.format(app=at.app, directories=" ".join(PROGRAMS), tools=at.tools)


def found_script(at: Layout) -> str:
    """The beginning of the file that is a command of the app's name; empty where there is none, or no regular file."""
    try:
        descriptor = regular(os.open(at.command, FILE), at.app)
    except OSError:
        return ""
    with open(descriptor, "rb") as stream:
        return stream.read(SCRIPT_LIMIT).decode(errors="replace")


def owns_command(at: Layout) -> bool:
    """Whether the command of the app's name was made by :func:`install_command`."""
    return f"exec {at.tools}/app {at.app} " in found_script(at)


def taken_by(at: Layout) -> str:
    """What the app's name calls on this host already; empty for nothing."""
    if SHELL_WORD.fullmatch(at.app):
        return "a word of the shell"
    for directory in PROGRAMS:
        program = at.root / directory[1:] / at.app
        if program.is_file() and os.access(program, os.X_OK) and not is_same_file(program, at):
            return f"the program {directory}/{at.app}"
    return f"the program /usr/local/bin/{at.app}" if os.path.lexists(at.command) and not owns_command(at) else ""


def is_same_file(program: os.PathLike[str], at: Layout) -> bool:
    """Whether a path leads to the app's own command."""
    return owns_command(at) and os.path.samefile(program, at.command)


def command_warnings(at: Layout) -> list[str]:
    """What to call in place of the app's name, where that is something else."""
    if found := taken_by(at):
        return [f"`{at.app}` is {found} on this host, so the app's command is `{at.tools}/app {at.app}`"]
    return []


def is_command_settled(at: Layout) -> bool:
    """Whether :func:`install_command` has nothing to do."""
    return not owns_command(at) if taken_by(at) else found_script(at) == script(at)


def install_command(at: Layout) -> None:
    """Make the app's name a command, unless it calls something else on this host; then the command made before goes."""
    if is_command_settled(at):
        return
    if taken_by(at):
        at.command.unlink()
        return
    make_parents(at.command)
    write(at.command, script(at), 0o755)
