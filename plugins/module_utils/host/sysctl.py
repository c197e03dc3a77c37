# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel parameters: set live what the files of the role say, unless a file that is read later says otherwise."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .machine import Machine

PROC = "proc/sys"
DIRECTORIES = ("etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d")
# The role's file for each part: read after those of the distribution, and before a 99-… of the operator's.
FILES: Mapping[str, str] = {"sysctl": "90-groundwork.conf", "core_dumps": "90-groundwork-core-dumps.conf"}


def keep(machine: Machine, _wanted: Mapping[str, Any], part: str = "sysctl") -> None:
    """Have the parameters of a part in effect; put those back that it does not state any more."""
    name = FILES[part]
    wanted = concrete(machine, stated(machine.path(f"etc/sysctl.d/{name}")))
    later = overriding(machine.root, name)
    found: dict[str, str] = {}
    for key, value in wanted.items():
        current = read(machine, key)
        other = next(((file, its) for pattern, its, file in later if matches(key, pattern)), None)
        if current is None:
            machine.notes.append(f"{dotted(key)}: this kernel does not have it, or not in a container")
        elif other and other[1] != value:
            machine.notes.append(f"{dotted(key)} stays {other[1]}: {other[0]} says so, and is read after {name}")
        elif current != value:
            found[key] = current
    put_back(machine, part, wanted)
    machine.renew(part, {key: {"before": value, "ours": wanted[key]} for key, value in found.items()})
    for key in found:
        if machine.does(f"{dotted(key)} = {wanted[key]}"):
            write(machine, key, wanted[key])


def put_back(machine: Machine, part: str = "sysctl", but: Collection[str] = ()) -> None:
    """Set parameters as they were before; not one that somebody else has changed since."""
    recorded = machine.before(part)
    going = [key for key in recorded if key not in but]
    for key in going:
        was = recorded[key]
        if read(machine, key) == was["ours"] and machine.does(f"{dotted(key)} = {was['before']}, as before"):
            write(machine, key, was["before"])
    if going and not machine.dry_run:
        machine.forget(part, *going)


def stated(file: Path) -> dict[str, str]:
    """The parameters in a file, as paths below /proc/sys; none where there is no file."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return {}
    pairs = [row.partition("=") for row in text.splitlines() if "=" in row and row.strip()[:1] not in ("#", ";")]
    return {below_proc(key.strip().lstrip("-")): " ".join(value.split()) for key, _equals, value in pairs}


def below_proc(key: str) -> str:
    """The path below /proc/sys of a key; a dot separates, unless a slash comes first (net/ipv4/conf/eth0.5/…)."""
    first = next((character for character in key if character in "./"), "")
    return key.translate(str.maketrans("./", "/.")) if first == "." else key


def dotted(path: str) -> str:
    """The key of a path below /proc/sys, as sysctl writes it."""
    return path.translate(str.maketrans("./", "/."))


def concrete(machine: Machine, wanted: Mapping[str, str]) -> dict[str, str]:
    """Each pattern replaced by the parameters that match it. In a container only those of its own network."""
    found: dict[str, str] = {}
    for key, value in wanted.items():
        if machine.container and not key.startswith("net/"):
            machine.notes.append(f"{dotted(key)}: it is the machine's, and is not set in a container")
            continue
        proc = machine.path(PROC)
        matching = sorted(str(one.relative_to(proc)) for one in proc.glob(key)) if "*" in key else [key]
        found.update(dict.fromkeys(matching, value))
    return found


def overriding(root: Path, name: str) -> list[tuple[str, str, str]]:
    """Key, value and file of what is read after a file, the last one first; of files of one name the first counts."""
    found: dict[str, Path] = {}
    for directory in DIRECTORIES:
        for file in sorted((root / directory).glob("*.conf")):
            found.setdefault(file.name, file)
    later = sorted((other for other in found if other > name), reverse=True)
    return [(key, value, str(found[other])) for other in later for key, value in reversed(stated(found[other]).items())]


def matches(key: str, pattern: str) -> bool:
    """Whether a key is one that a line of another file sets."""
    return key == pattern or fnmatch.fnmatchcase(key, pattern)


def read(machine: Machine, key: str) -> str | None:
    """The value in effect; None where the kernel has no such parameter, or does not tell."""
    try:
        return " ".join(machine.path(f"{PROC}/{key}").read_text().split())
    except OSError:
        return None


def write(machine: Machine, key: str, value: str) -> None:
    """Set a parameter; what the kernel refuses is told."""
    try:
        machine.path(f"{PROC}/{key}").write_text(f"{value}\n")
    except OSError as error:
        machine.notes.append(f"{dotted(key)} cannot be set to {value} here: {error.strerror}")
        machine.changed = [text for text in machine.changed if text != f"{dotted(key)} = {value}"]
