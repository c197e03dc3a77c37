# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How exposed each systemd unit of ours may be: its highest figure of ``systemd-analyze security``, and the reason.

The figure goes from 0 (confined) to 10. What a timer, a boot or a visitor starts has at most 1.5; Apache, which needs
root, has more. What the operator has chosen, and the engine that sets up units, are not confined: what they need cannot
be foreseen. They are transient units, which are there while they work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

APP = r"(?P<app>[a-z][a-z0-9-]*)"


@dataclass(frozen=True)
class Exposure:
    """The highest exposure of the units of a kind.

    :ivar pattern: a regular expression for all of the name. A group ``app`` in it is the name of an app of the host.
    :ivar highest: the figure.
    :ivar reason: what keeps it from being lower.
    """

    pattern: str
    highest: float
    reason: str


# The first that fits counts.
EXPOSURES = (
    Exposure(
        r"groundwork-backup(-drill)?-step-[\d-]+\.service",
        9.2,
        "a step of the backup: restic reads all files and reaches the repositories, by ssh for one; a command of a set "
        "without `user` is root's. What acts for an app has the app's sandbox.",
    ),
    Exposure(
        r"groundwork-backup(-drill)?\.service",
        1.5,
        "root reads and keeps the files of all apps, and a repository may lie anywhere: CAP_DAC_OVERRIDE, CAP_CHOWN, "
        "ProtectHome=no, ProtectSystem=full. No network.",
    ),
    Exposure(
        r"groundwork-certificate(-\w+)?-step-[\d-]+\.service",
        9.2,
        "certbot with the plugins and hooks that the operator has chosen, and the command that deploys.",
    ),
    Exposure(
        r"groundwork-certificate-check\.service",
        1.5,
        "root without a capability, with a network: it asks the web server for its certificates.",
    ),
    Exposure(
        r"groundwork-certificate(-renew)?\.service",
        1.5,
        "root gives keys to the group of the web server: CAP_CHOWN, CAP_DAC_OVERRIDE. No network.",
    ),
    Exposure(
        r"certbot\.service",
        9.2,
        "Debian's unit with a drop-in of ours. It renews what others have ordered on the host too, with their hooks "
        "and plugins; a capability or a directory less breaks those.",
    ),
    Exposure(
        r"groundwork-alerts-commands-step-[\d-]+\.service",
        9.2,
        "the command that the operator has chosen to take alerts, or sendmail; as an account without privileges.",
    ),
    Exposure(
        r"groundwork-alerts\.service",
        1.5,
        "an account without privileges, with the network: a receiver may be anywhere.",
    ),
    Exposure(r"groundwork-alerts-commands\.service", 1.5, "root without a capability and a network."),
    Exposure(
        r"groundwork-(firewall|metrics|outgoing)\.service",
        1.5,
        "root with CAP_NET_ADMIN in the network of the host: nftables.",
    ),
    Exposure(
        r"groundwork-watch\.service",
        1.5,
        "root without a capability, with a network: it reads the records of the host, and asks the sites as a visitor.",
    ),
    Exposure(r"groundwork-failed@.+\.service", 1.0, "root without a capability, which starts the watch. No network."),
    Exposure(
        r"groundwork-ship@.+\.service",
        1.3,
        "an account of its own, which reads one journal and may speak with any receiver.",
    ),
    Exposure(r"groundwork-outgoing-names\.service", 1.0, "root, which has systemd reload a unit."),
    Exposure(
        r"groundwork-poolers@.+\.service", 1.0, "root, which speaks with the poolers: CAP_DAC_READ_SEARCH. No network."
    ),
    Exposure(r"groundwork-poolers-guard[\w-]*\.service", 9.6, "one call of systemctl, under a timer."),
    Exposure(r"groundwork-sshd-boot\.service", 9.6, "takes back, at boot, settings of sshd that nobody has confirmed."),
    Exposure(r"groundwork-first-boot\.service", 9.6, "ansible-pull as root: it provisions the host, and then ends."),
    Exposure(
        r"groundwork-[\w-]+-revert\.service",
        9.6,
        "the command that takes an armed change back: it must succeed whatever has gone wrong.",
    ),
    Exposure(
        rf"groundwork-(release|watch)@{APP}(\.[\w.-]+)?\.service",
        9.6,
        "the engine: root makes accounts' directories and units. What acts for the app is a step in the app's sandbox.",
    ),
    Exposure(r"groundwork-database-upgrade\.service", 9.6, "the upgrade of a cluster: Debian's tools run as root."),
    Exposure(
        r"groundwork-database-[a-z]+-[\d-]+\.service", 1.2, "a step as the app, without a network and a capability."
    ),
    Exposure(
        r"nginx\.service", 1.5, "CAP_NET_BIND_SERVICE and the network: it is the front door. It runs as www-data."
    ),
    Exposure(
        r"apache2\.service",
        2.6,
        "Apache starts as root: it binds its ports, reads keys and becomes www-data, by CAP_SETUID, CAP_SETGID, "
        "CAP_CHOWN, CAP_KILL and CAP_DAC_READ_SEARCH.",
    ),
    Exposure(rf"{APP}\.redis(-cache)?\.service", 0.3, "a unix socket."),
    Exposure(rf"{APP}\.pooler\.service", 0.3, "a unix socket."),
    Exposure(
        rf"{APP}(\.[a-z][\w-]*)?(\.\d+)?(@[\w.-]+)?\.service",
        1.2,
        "an app may speak with any server. An app that loosens its own sandbox has a figure of its own.",
    ),
)


def stated(unit: str, apps: Iterable[str]) -> Exposure | None:
    """What is stated of a unit; None for one that is not ours, and for one of ours that nobody has stated."""
    known = set(apps)
    for one in EXPOSURES:
        found = re.fullmatch(one.pattern, unit)
        if found and found.groupdict().get("app", "") in ("", *known):
            return one
    return None


def is_ours(unit: str, apps: Iterable[str]) -> bool:
    """Whether a service has its name from us: it begins with ``groundwork-``, or with the name of an app."""
    return unit.startswith("groundwork-") or any(re.match(rf"{re.escape(app)}[.@]", unit) for app in apps)


def problems(shown: str, apps: Iterable[str]) -> list[str]:
    """The services that are more exposed than stated, and those of ours of which nothing is stated.

    :param shown: what ``systemd-analyze security --no-pager UNIT…`` prints. Without names it leaves out units that wait
        for their timers.
    :param apps: the names of the host's apps.
    """
    found, known = [], list(apps)
    for unit, figure in re.findall(r"Overall exposure level for (\S+\.service): (\d+\.\d)", shown):
        exposure = stated(unit, known)
        if exposure and float(figure) > exposure.highest:
            found.append(f"{unit} has an exposure of {figure}; at most {exposure.highest} is stated: {exposure.reason}")
        elif exposure is None and is_ours(unit, known):
            found.append(f"{unit} has an exposure of {figure}, and none is stated for it in exposures.py")
    return found
