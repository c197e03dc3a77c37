# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A swap file where memory is small: made whole under another name first, so that a killed run leaves no half."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.files import fsync_directory
from ..common.on_host import on_host
from ..common.systemd import SYSTEMCTL
from .machine import Machine

PART = "swap"
FILE = f"{on_host('state')}/swapfile"[1:]
UNIT = f"{FILE.replace('/', '-')}.swap"  # of the role
ENABLED = f"etc/systemd/system/swap.target.wants/{UNIT}"
MB = 2**20
LEFT_FREE_MB = 2048  # on the disk beside it: for the packages, a build and a copy of a database
FILE_SYSTEMS = ("ext4", "ext3", "xfs")  # btrfs and zfs need more than a file, an overlay takes none
MKSWAP, FINDMNT = "/usr/sbin/mkswap", "/usr/bin/findmnt"


def keep(machine: Machine, wanted: Mapping[str, Any]) -> None:
    """Have a swap file of ``swap_mb`` MB, none for 0; say why where there cannot be one."""
    megabytes = int(wanted["swap_mb"])
    file = machine.path(FILE)
    remove_rest(machine, file)
    if not megabytes:
        put_back(machine)
    elif reason := unfit(machine, megabytes, file):
        machine.notes.append(f"swap: {reason}")
    elif file.exists() and size_of(file) != megabytes:
        if is_free(machine, file) and off(machine, file, "replaced by one of another size"):
            make(machine, file, megabytes)
    elif not file.exists() or machine.unit(UNIT).get("ActiveState") != "active":
        make(machine, file, megabytes)


def put_back(machine: Machine) -> None:
    """Remove the swap file, unless what is in it does not fit into the memory."""
    file = machine.path(FILE)
    remove_rest(machine, file)
    if file.exists() and is_free(machine, file):
        off(machine, file, "removed")


def unfit(machine: Machine, megabytes: int, file: Path) -> str:
    """Why the host takes no swap file; empty where it does."""
    if machine.container:
        return "the swap of a container is the machine's"
    if others := [name for name in active(machine) if Path(name) != Path("/", FILE)]:
        return f"{others[0]} is there already, and is left as it is"
    if others := in_fstab(machine):
        return f"/etc/fstab has {others[0]}, which is not in use: `swapon --all` uses it"
    kind = machine.run(
        (FINDMNT, "--noheadings", "--output=FSTYPE", f"--target=/{os.path.dirname(FILE)}")
    ).stdout.strip()
    if kind not in FILE_SYSTEMS:
        return f"the file system {kind or '(unknown)'} takes no plain swap file"
    if not file.exists() and (free := free_mb(file)) < megabytes + LEFT_FREE_MB:
        return (
            f"{megabytes} MB are wanted of {free} MB, and {LEFT_FREE_MB} MB are to stay free: make room and run again"
        )
    return ""


def active(machine: Machine) -> list[str]:
    """The swap areas in use."""
    try:
        return [row.split()[0] for row in machine.path("proc/swaps").read_text().splitlines()[1:] if row.split()]
    except OSError:
        return []


def in_fstab(machine: Machine) -> list[str]:
    """The swap areas that /etc/fstab names."""
    try:
        rows = [row.split() for row in machine.path("etc/fstab").read_text(errors="replace").splitlines()]
    except OSError:
        return []
    return [row[0] for row in rows if len(row) > 2 and row[2] == "swap" and not row[0].startswith("#")]


def free_mb(file: Path) -> int:
    """What is free for a file, in MB."""
    above = next(parent for parent in file.parents if parent.is_dir())
    found = os.statvfs(above)
    return found.f_bavail * found.f_frsize // MB


def size_of(file: Path) -> int:
    """The size of a file in MB."""
    return file.stat().st_size // MB


def is_free(machine: Machine, file: Path) -> bool:
    """Whether what the swap file holds fits into the memory; a warning where it does not."""
    try:
        rows = [row.split() for row in machine.path("proc/swaps").read_text().splitlines()[1:]]
        used = sum(int(row[3]) for row in rows if Path(row[0]) == Path("/", FILE))
        memory = machine.path("proc/meminfo").read_text().partition("MemAvailable:")[2].split()
        fits = used <= int(memory[0])
    except (OSError, ValueError, IndexError):
        return True
    if not fits:
        machine.warnings.append(
            f"swap: {file} stays as it is, because {used // 1024} MB are in it, "
            f"and {int(memory[0]) // 1024} MB of memory are free"
        )
    return fits


def make(machine: Machine, file: Path, megabytes: int) -> None:
    """Write the file, and use it from now on."""
    if not machine.does(f"swap file of {megabytes} MB in use"):
        return
    if not file.exists():
        try:
            written(machine, file, megabytes)
        except OSError as error:
            remove_rest(machine, file)
            machine.warnings.append(f"swap: no swap file could be written: {error.strerror}. Make room and run again")
            return
    machine.succeeds(SYSTEMCTL, "enable", "--now", "--", UNIT)


def written(machine: Machine, file: Path, megabytes: int) -> None:
    """Write zeros, which every file system takes for swap, make them swap, and give them the file's name."""
    rest = rest_of(file)
    descriptor = os.open(rest, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        zeros = bytes(MB)
        for _number in range(megabytes):
            stream.write(zeros)
        stream.flush()
        os.fsync(descriptor)
    done = machine.run((MKSWAP, str(rest)))
    if done.returncode:
        raise OSError(0, done.stderr.strip() or "mkswap failed")
    rest.rename(file)
    fsync_directory(file.parent)


def off(machine: Machine, file: Path, text: str) -> bool:
    """Use the file no more, and remove it."""
    if not machine.does(f"swap file {text}"):
        return False
    if machine.unit(UNIT).get("ActiveState") == "active" and not machine.succeeds(SYSTEMCTL, "stop", "--", UNIT):
        return False
    machine.path(ENABLED).unlink(missing_ok=True)  # `systemctl disable` wants the unit file, which goes with the part
    file.unlink()
    return True


def rest_of(file: Path) -> Path:
    """The name of a swap file that is being written."""
    return file.with_name(f".{file.name}.groundwork.new")


def remove_rest(machine: Machine, file: Path) -> None:
    """Remove what a killed run has left."""
    if not machine.dry_run:
        rest_of(file).unlink(missing_ok=True)
