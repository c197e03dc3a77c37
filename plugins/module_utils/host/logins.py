# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins: values in /etc/login.defs, which knows no drop-ins, and the text before a login.

Both are files that packages bring. What stood there is recorded, and put back byte by byte when the part goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common import files
from .machine import Machine

PART = "logins"
LOGIN_DEFS = "/etc/login.defs"
ISSUES = ("/etc/issue", "/etc/issue.net")
# What the packages write, and nothing else: the text of a provider, or of an operator, stays.
PACKAGED = re.compile(r"\s*(Debian GNU/Linux|Ubuntu)[^\n]*\s*")


def keep(machine: Machine, wanted: Mapping[str, Any]) -> None:
    """Have the values in login.defs, and the text in both issue files.

    :param wanted: ``login_defs`` has a value for each name; one that is not named any more is put back. ``issue`` is
        the text; empty to leave the files as they are.
    """
    values: Mapping[str, str] = {str(name): str(value) for name, value in wanted["login_defs"].items()}
    issue = str(wanted["issue"])
    recorded = machine.before(PART)
    gone = [key for key in recorded if not key.startswith("/") and key not in values]
    if gone:
        put_back_values(machine, gone)
    keep_values(machine, values)
    if not issue:
        put_back_issues(machine)
    for name in ISSUES if issue else ():
        keep_issue(machine, name, f"{issue.rstrip()}\n")


def put_back(machine: Machine) -> None:
    """Have both as they were before."""
    put_back_values(machine, [key for key in machine.before(PART) if not key.startswith("/")])
    put_back_issues(machine)


# --- login.defs ------------------------------------------------


def keep_values(machine: Machine, values: Mapping[str, str]) -> None:
    """Replace the line of each name, or add one at the end."""
    file = machine.path(LOGIN_DEFS)
    if not file.is_file() or file.is_symlink():
        machine.notes.append(f"{LOGIN_DEFS} is no regular file on this host, and is left as it is")
        return
    text = old = file.read_text(errors="surrogateescape")
    found: dict[str, dict[str, str | None]] = {}
    for name, value in values.items():
        line = f"{name}\t{value}"
        match = line_of(name, text)
        if match and match[1] == value:
            continue
        found[name] = {"before": match[0] if match else None, "ours": line}
        text = f"{text[: match.start()]}{line}{text[match.end() :]}" if match else f"{text}{line}\n"
    if text != old and machine.does(f"{LOGIN_DEFS}: {', '.join(found)}"):
        machine.renew(PART, found)
        replace(file, text)


def put_back_values(machine: Machine, names: list[str]) -> None:
    """Have the lines of names as they were; not one that somebody else has changed since."""
    file, recorded = machine.path(LOGIN_DEFS), machine.before(PART)
    text = old = file.read_text(errors="surrogateescape") if file.is_file() else ""
    for name in names:
        before, ours = recorded[name]["before"], recorded[name]["ours"]
        if (match := line_of(name, text)) and match[0] == ours:
            rest = text[match.end() :]
            text = text[: match.start()] + (before + rest if before is not None else rest[1:])
    if text != old and machine.does(f"{LOGIN_DEFS}: {', '.join(names)} as before"):
        replace(file, text)
    if names and not machine.dry_run:
        machine.forget(PART, *names)


def line_of(name: str, text: str) -> re.Match[str] | None:
    """The line that states a name; the last one, which counts."""
    found = list(re.finditer(rf"^[ \t]*{re.escape(name)}[ \t]+(\S+)[^\n]*", text, re.MULTILINE))
    return found[-1] if found else None


# --- issue -----------------------------------------------------


def keep_issue(machine: Machine, name: str, text: str) -> None:
    """Write the text into one of the files, if it has the package's, or ours."""
    file, recorded = machine.path(name), machine.before(PART).get(name)
    if file.is_symlink() or not file.is_file():
        machine.notes.append(f"{name} is no regular file on this host, and is left as it is")
        return
    found = file.read_text(errors="surrogateescape")
    if found == text:
        return
    if not (recorded and found == recorded["ours"]) and not PACKAGED.fullmatch(found):
        machine.notes.append(f"{name} has a text of its own, and is left as it is")
    elif machine.does(name):
        machine.renew(PART, {name: {"before": found, "ours": text}})
        replace(file, text)


def put_back_issues(machine: Machine) -> None:
    """Have the texts as they were; not one that somebody else has changed since."""
    for name in ISSUES:
        file, recorded = machine.path(name), machine.before(PART).get(name)
        if not recorded:
            continue
        ours = file.is_file() and file.read_text(errors="surrogateescape") == recorded["ours"]
        if ours and machine.does(f"{name} as before"):
            replace(file, recorded["before"])
        if not machine.dry_run:
            machine.forget(PART, name)


def replace(file: Path, text: str) -> None:
    """Write a file anew with the mode and the owner that it has."""
    status = file.stat()
    files.write(file, text.encode(errors="surrogateescape"), status.st_mode & 0o7777, status.st_uid, status.st_gid)
