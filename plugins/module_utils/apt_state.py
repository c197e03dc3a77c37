# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt needs before it is called: its locks, and room on the disk."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common import programs
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import printable
from ansible_collections.groundwork.flask.plugins.module_utils.listeners import name_of, unit_of

LOCKS = (
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/lock",
    "var/lib/apt/lists/lock",
    "var/cache/apt/archives/lock",
)
PLACES = ("/", "/usr", "/var", "/boot")
APT_GET, DPKG_QUERY = "/usr/bin/apt-get", "/usr/bin/dpkg-query"
ENVIRONMENT = {**programs.ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"}
SECONDS = 600.0  # that apt may take for one package
FLOCK = "hhqqi"  # struct flock: type, whence, start, length, pid


def locks(root: Path = Path("/"), proc: Path = Path("/proc")) -> list[dict[str, Any]]:
    """The locks of apt and dpkg that a process holds, with that process."""
    found = []
    for name in LOCKS:
        if (pid := holder(root / name)) is not None:
            found.append({"path": f"/{name}", "pid": pid, **described(pid, proc)})
    return found


def holder(path: Path) -> int | None:
    """The process that has a file locked as apt does it; 0 for one that cannot be seen from here, None for none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if answer[0] == fcntl.F_UNLCK else max(answer[4], 0)


def described(pid: int, proc: Path) -> dict[str, Any]:
    """Name, unit and age in seconds of a process, as far as they can be seen."""
    process = proc / str(pid)
    try:
        name = name_of(process)
        started = int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[19])
        up = float((proc / "uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return {"name": "", "unit": "", "seconds": 0}
    return {
        "name": name,
        "unit": unit_of(process / "cgroup"),
        "seconds": max(round(up - started / os.sysconf("SC_CLK_TCK")), 0),
    }


def locks_after(seconds: float, pause: float = 1.0) -> list[dict[str, Any]]:
    """The locks that are held still after so many seconds; none as soon as all are free."""
    deadline = time.monotonic() + seconds
    while (found := locks()) and time.monotonic() < deadline:
        time.sleep(pause)
    return found


def has_bindings() -> bool:
    """Whether the package is there that Ansible's own module needs."""
    asked = programs.run((DPKG_QUERY, "--show", "--showformat", "${db:Status-Status}", "python3-apt"), seconds=60)
    return asked.returncode == 0 and asked.stdout == "installed"


def install_bindings() -> None:
    """Install that package. Ansible's module would do it too, but not where a file of the package is left.

    :raises RuntimeError: apt failed; with what it printed.
    """
    for argv in (("update",), ("install", "--yes", "--no-install-recommends", "python3-apt")):
        done = programs.run((APT_GET, "-qq", *argv), seconds=SECONDS, environment=ENVIRONMENT)
        if done.returncode:
            raise RuntimeError(
                f"python3-apt is missing on this host, and `apt-get {argv[0]}` failed: "
                f"{printable(done.stderr.strip())}. Mend apt there, and run again: "
                "`apt-get update && apt-get install python3-apt`"
            )


def space(places: Sequence[str] = PLACES) -> list[dict[str, Any]]:
    """Free bytes and file names of each file system that apt and dpkg write to, under the first of its places."""
    return list(file_systems(places))


def file_systems(places: Sequence[str]) -> Iterator[dict[str, Any]]:
    """See :func:`space`. ``files`` is None where a file system does not count them."""
    seen: set[int] = set()
    for place in places:
        try:
            device, found = os.stat(place).st_dev, os.statvfs(place)
        except OSError:
            continue
        if device not in seen:
            seen.add(device)
            free = found.f_bfree * found.f_frsize
            yield {"path": place, "free": free, "files": found.f_ffree if found.f_files else None}
