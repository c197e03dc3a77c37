# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a host from being set up, and what to do: its init, its file systems, its clock, and what apt needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems

MOST_SKEW = 300  # seconds between the clocks of host and controller; TLS and signatures bear a little
# What has to be free: bytes, and names for files. The packages of all roles take about 200 MB and 6,000 files.
LEAST = {"/boot": (10_000_000, 20)}
LEAST_ELSEWHERE = (300_000_000, 10_000)
PYTHON = "python3"


def problems(found: Mapping[str, Any]) -> Problems:
    """What keeps the host from being set up.

    :param found: as the module ``host_facts`` returns it in ``readiness``.
    """
    texts = []
    if not found["systemd"]:
        texts.append(
            "systemd is not the init of this host (a container without one?), and apps and proxy are its units: "
            "use a server or a virtual machine, or a container that starts /sbin/init"
        )
    if found["read_only"]:
        texts.append(
            f"{', '.join(found['read_only'])} can only be read on this host. After an error of the disk the kernel "
            "mounts it so: look into `dmesg`, repair it, and mount it with `rw` before you run again"
        )
    return texts


def warnings(found: Mapping[str, Any], before: float, after: float) -> Problems:
    """What the operator should know.

    :param before: the controller's time when the host was asked.
    :param after: the same when it had answered.
    """
    skew = min(found["time"] - before, 0) or max(found["time"] - after, 0)
    remedy = "install systemd-timesyncd or chrony on it, and look at `timedatectl`"
    if abs(skew) > MOST_SKEW:
        way = "behind" if skew < 0 else "ahead of"
        return [
            f"The clock of this host is {duration(abs(skew))} {way} the controller's: certificates and signatures are "
            f"then taken for expired, or for not yet valid. Set it right: {remedy}."
        ]
    if not found["synchronized"]:
        return [
            "Nothing keeps the clock of this host right; once it is off by minutes, certificates and signatures fail: "
            f"{remedy}."
        ]
    return []


def duration(seconds: float) -> str:
    """A time in the largest unit that fits."""
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length)} {name}"
    return f"{round(seconds)} seconds"


def space_problems(space: Sequence[Mapping[str, Any]]) -> Problems:
    """Which file systems are too full for apt, which would break half-way."""
    texts = []
    for one in space:
        least, least_files = LEAST.get(one["path"], LEAST_ELSEWHERE)
        lack = f"{one['free'] / 1e6:.0f} MB left, and apt needs {least / 1e6:.0f} MB" if one["free"] < least else ""
        if not lack and one["files"] is not None and one["files"] < least_files:
            lack = f"names for {one['files']} files left (inodes), and apt needs {least_files}"
        if lack:
            texts.append(
                f"{one['path']} has {lack}: it would stop half-way. Make room (`apt-get clean`, "
                "`journalctl --vacuum-size=100M`, old kernels: `apt-get autoremove --purge`) and run again"
            )
    return texts


def lock_holder(lock: Mapping[str, Any]) -> str:
    """Who holds a lock of apt's, for a person."""
    if not lock["name"]:
        return f"a process that cannot be seen from here holds {lock['path']}"
    unit = f", {lock['unit']}" if lock["unit"] else ""
    return f"{lock['name']} (pid {lock['pid']}{unit}), running for {lock['seconds']} s, holds {lock['path']}"


def without_python(result: Mapping[str, Any]) -> str:
    """What to do if a module could not run because the host has no Python; empty for other failures."""
    output = " ".join(str(result.get(key, "")) for key in ("msg", "module_stdout", "module_stderr"))
    missing = any(words in output for words in ("not found", "No such file", "No python", "interpreter"))
    if not result.get("failed") or PYTHON not in output or not missing:
        return ""
    return (
        "There is no Python 3 on this host, which Ansible needs. Install it once, and run again: "
        "ansible HOST --become -m ansible.builtin.raw -a 'apt-get update && apt-get install --yes python3 python3-apt'"
    )
