# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates: which are pending, whether a reboot or a restart is due, and how old the lists of packages are.

Nothing is fetched: the lists are those that the host has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..common import kernel
from ..common.clock import DAY
from .expected import Expected
from .finding import Finding, State
from .look import Look, UncheckedError
from .processes import outdated, processes

# As nobody, who cannot write apt's cache; a quarter of the time of `apt-get --simulate`. Prints a package a line, with
# a star before one whose update is for security.
PENDING = """
import apt_pkg
apt_pkg.init()
cache = apt_pkg.Cache(None)
chosen = apt_pkg.DepCache(cache)
for package in cache.packages:
    new = package.current_ver and chosen.get_candidate_ver(package)
    if new and new != package.current_ver:
        secure = any("security" in (one.label + one.archive + one.site).lower() for one, _at in new.file_list)
        print("*" * secure + package.get_fullname(True))
"""
NOBODY = ("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-I", "-c")
RECENT = 2 * DAY  # it runs daily
OLD_LISTS = 4 * DAY  # as the timers of apt fetch them daily
MOST_NAMED = 8


def updates(expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether packages wait to be updated; security updates are named."""
    shown = look.run(*NOBODY, PENDING, seconds=60)
    if shown.returncode:
        raise UncheckedError(f"apt's lists cannot be read: {shown.stderr}")
    names = shown.stdout.split()
    urgent = [name[1:] for name in names if name.startswith("*")]
    if urgent:
        text = f"{len(urgent)} security update{'s' * (len(urgent) > 1)} wait: {listed(urgent)}."
        # What came out since the last run is installed by the next one.
        state: State = "warning" if look.now - last_upgrade(look) < RECENT else "problem"
        yield Finding(
            "updates", "host", state, text, "`apt-get upgrade`; `journalctl -u apt-daily-upgrade` says why not yet."
        )
    else:
        others = f"; {len(names)} other updates wait" if names else ""
        yield Finding("updates", "host", "ok", f"No security update waits{others}.")
    age = look.now - newest_list(look)
    if "updates" in expected.host_parts and age > OLD_LISTS:
        text = f"The lists of packages are {age / DAY:.0f} days old, so updates may be missed."
        yield Finding("updates", "host", "warning", text, "See `systemctl status apt-daily.timer apt-daily.service`.")


def listed(names: list[str]) -> str:
    """The first of some names."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(sorted(names)[:MOST_NAMED]) + more


def last_upgrade(look: Look) -> float:
    """When unattended-upgrades ran last; 0 where it never did."""
    stamps = (look.path(f"/var/lib/apt/periodic/{name}") for name in ("upgrade-stamp", "unattended-upgrades-stamp"))
    return max((stamp.stat().st_mtime for stamp in stamps if stamp.exists()), default=0.0)


def newest_list(look: Look) -> float:
    """When apt has fetched a list last; now where it has none."""
    found = [one.stat().st_mtime for one in look.path("/var/lib/apt/lists").glob("*_*")]
    # A list has the time that its server gives it; what says when it was asked is of apt's timer, or of Ubuntu's hook.
    stamps = (look.path(f"/var/lib/apt/periodic/{name}") for name in ("update-stamp", "update-success-stamp"))
    return max([*found, *(stamp.stat().st_mtime for stamp in stamps if stamp.exists())], default=look.now)


def reboot(_expected: Expected, look: Look) -> Iterator[Finding]:
    """Whether the host runs an older kernel than it has, or programs that an update has replaced."""
    due = False
    if look.path("/run/reboot-required").exists():
        packages = sorted(set(look.read("/run/reboot-required.pkgs").split()))
        due = True
        text = f"A reboot is due{f', for {listed(packages)}' if packages else ''}."
        yield Finding("reboot", "host", "warning", text, "Reboot in a quiet moment; every app comes back by itself.")
    elif (newer := newer_kernel(look)) and not is_container(look):
        due = True
        text = f"The kernel {newer} is installed, and {running_kernel(look)} runs."
        yield Finding("reboot", "host", "warning", text, "Reboot in a quiet moment; every app comes back by itself.")
    for unit, files in outdated(processes(look), look).items():
        due = True
        text = f"{unit} runs with files that an update has replaced: {listed(files)}."
        yield Finding("reboot", "host", "warning", text, f"`systemctl restart {unit}`, or reboot.")
    if not due:
        yield Finding("reboot", "host", "ok", "No reboot and no restart is due.")


def running_kernel(look: Look) -> str:
    """The release of the kernel that runs."""
    return look.read("/proc/sys/kernel/osrelease").strip()


def newer_kernel(look: Look) -> str:
    """The newest installed kernel of the same flavour, if it is not the one that runs; "" otherwise."""
    running = running_kernel(look)
    flavour = running.rpartition("-")[2]
    there = [one.name.removeprefix("vmlinuz-") for one in look.path("/boot").glob(f"vmlinuz-*-{flavour}")]
    last = max([*there, running], key=version)
    return last if there and last != running else ""


def version(text: str) -> list[int]:
    """The numbers of a version, for comparing."""
    return [int(word) for word in re.findall(r"\d+", text)]


def is_container(look: Look) -> bool:
    """Whether the host is a container, whose kernel is its machine's."""
    return bool(kernel.container(look.root))
