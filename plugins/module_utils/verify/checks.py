# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks of a host, in the order in which a report shows them, and the one way to run them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from ..common import programs
from ..common.text import line
from . import (
    apps,
    backups,
    certificates,
    exposure,
    files,
    firewall,
    kernel,
    modes,
    processes,
    proxy,
    resources,
    services,
    sockets,
    sshd,
    units,
    updates,
    watching,
)
from .expected import Expected
from .finding import Finding
from .look import Look, UncheckedError

Check = Callable[[Expected, Look], Iterable[Finding]]
SECONDS = 120.0  # that one check may take
MOST = 20  # findings of one check for one subject: what is beyond is counted
TEXT_LIMIT = 600  # characters of a message


class TimeUpError(Exception):
    """A check has used up its time. No TimeoutError: that is an OSError, which a check may pass over."""


CHECKS: Mapping[str, Check] = {
    "sshd": sshd.sshd,
    "firewall": firewall.firewall,
    "outgoing": firewall.outgoing,
    "sockets": sockets.sockets,
    "proxy": proxy.proxy,
    "certificate": certificates.certificates,
    "files": files.files,
    "modes": modes.modes,
    "units": units.units,
    "exposure": exposure.exposure,
    "by_hand": processes.by_hand,
    "release": apps.apps,
    "workers": apps.workers,
    "jobs": apps.jobs,
    "services": services.services,
    "backup": backups.backups,
    "watch": watching.watch,
    "updates": updates.updates,
    "reboot": updates.reboot,
    "clock": kernel.clock,
    "disk": resources.disk,
    "memory": resources.memory,
    "out_of_memory": kernel.out_of_memory,
}


def look_at(expected: Expected, look: Look, checks: Mapping[str, Check] | None = None) -> list[Finding]:
    """Run all checks, or those given; one that cannot look, or is broken, is a finding and no failure of the others."""
    return [shown(one) for name, check in (checks or CHECKS).items() for one in findings(name, check, expected, look)]


def findings(name: str, check: Check, expected: Expected, look: Look) -> Iterator[Finding]:
    """What one check finds, within its time. One that an app could have kept from its end is a warning."""
    found: list[Finding] = []
    try:
        with programs.time_limit(SECONDS, TimeUpError()):
            # What it has found until it breaks is told.
            found.extend(check(expected, look))
    except TimeUpError:
        message = f"The check had not come to its end after {SECONDS:.0f} s."
        found.append(Finding(name, "host", "warning", message, "Look at what keeps the host busy, and run it again."))
    except UncheckedError as reason:
        found.append(Finding(name, "host", "unchecked", f"Not looked at: {reason}."))
    except Exception as error:  # whatever a host may bring: one broken check must not hide the others
        message = f"The check broke: {type(error).__name__}: {error}."
        found.append(Finding(name, "host", "warning", message, "Report it, with this message."))
    # For each subject by itself, so that one app with many does not hide another's.
    seen = Counter[str]()
    for one in found:
        seen[one.subject] += 1
        if seen[one.subject] <= MOST:
            yield one
    for subject, count in seen.items():
        if count > MOST:
            yield Finding(name, subject, "warning", f"{count - MOST} more findings of this kind are not shown.")


def shown(one: Finding) -> Finding:
    """A finding as it leaves the host: each text is one printable line, for an app may have had a hand in it."""
    return replace(
        one, subject=line(one.subject, 100), message=line(one.message, TEXT_LIMIT), remedy=line(one.remedy, TEXT_LIMIT)
    )
