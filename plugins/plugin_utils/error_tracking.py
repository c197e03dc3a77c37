# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``SENTRY_DSN`` among an app's variables: whether the SDK will take it, and whether the app may connect to it.

A DSN is a secret, so no message shows any of it.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.outgoing.policies import ANY, port_ranges
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems
from ansible_collections.groundwork.flask.plugins.plugin_utils.schema import App

DSN, RATE = "SENTRY_DSN", "SENTRY_TRACES_SAMPLE_RATE"
PORTS = {"http": 80, "https": 443}
LOCAL_NAMES = ("localhost", "localhost.localdomain")


@dataclass(frozen=True)
class Tracker:
    """Where a DSN leads."""

    host: str
    port: int


def read_dsn(dsn: str) -> Tracker | None:
    """Where a DSN leads, by the rules of the SDK; None for what it would not take."""
    try:
        url = urllib.parse.urlsplit(dsn)
        port = url.port or PORTS[url.scheme]
    except (KeyError, ValueError):
        return None
    has_space = any(character.isspace() for character in dsn)
    project = url.path.rpartition("/")[2]
    whole = url.hostname and url.username and project.isascii() and project.isdigit()
    return Tracker(str(url.hostname), port) if whole and not has_space else None


def variable_problems(app: App, where: str, variables: Mapping[str, str], domains: Collection[str]) -> Problems:
    """What is wrong with the variables of the SDK.

    :param where: the field that has the variables.
    :param domains: of all apps; one of them is on the same host.
    """
    problems: Problems = []
    if (rate := variables.get(RATE)) and not is_share(rate):
        problems.append(f"{where}.{RATE} is no number from 0 to 1: write the share of requests to trace, as '0.01'")
    if not (dsn := variables.get(DSN)):
        return problems
    tracker = read_dsn(dsn)
    if tracker is None:
        problems.append(
            f"{where}.{DSN} is not a DSN (it is a secret, and not shown): copy all of it from the project's page of "
            "your error tracker, where it reads https://KEY@HOST/NUMBER; an empty text switches error tracking off"
        )
    elif app.outgoing is not None and is_shut_out(tracker, app.outgoing, domains):
        problems.append(
            f"{where}.{DSN} leads to a host that flask_apps.{app.name}.outgoing shuts out, so no error would arrive: "
            f"add `{{to: [ADDRESS], ports: [{tracker.port}]}}` with the tracker's addresses, or with `any`"
        )
    return problems


def is_share(text: str) -> bool:
    """Whether a text is a number from 0 to 1."""
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def is_shut_out(tracker: Tracker, outgoing: Sequence[Mapping[str, Any]], domains: Collection[str]) -> bool:
    """Whether no entry of a policy can let an app connect to its tracker.

    The addresses behind a name are not known here: an entry with its port is enough then.
    """
    try:
        address = ipaddress.ip_address(tracker.host)
    except ValueError:
        address = None
    if address.is_loopback if address else tracker.host in (*LOCAL_NAMES, *domains):
        return False
    return not any(
        entry["protocol"] == "tcp" and has_port(entry["ports"], tracker.port) and covers(entry["to"], address)
        for entry in outgoing
    )


def has_port(ports: Sequence[str], port: int) -> bool:
    """Whether a port is among those of an entry; without any it has all."""
    return not ports or any(first <= port <= last for first, last in port_ranges(ports))


def covers(networks: Sequence[str], address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    """Whether an entry has an address; of a name, whose address is not known, it may have it."""
    return address is None or any(one == ANY or address in ipaddress.ip_network(one) for one in networks)
