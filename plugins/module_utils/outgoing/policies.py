# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outgoing policy of each app as it stands on the host, with the number that the app's account has now."""

from __future__ import annotations

import ipaddress
import pwd
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.files import read_json

ANY = "any"
LARGEST_PORT = 65535
APP = re.compile(r"[a-z][a-z0-9_-]{0,29}")


@dataclass(frozen=True)
class Destination:
    """Where an app may connect to.

    :ivar to: addresses and networks; ``any`` for all.
    :ivar ports: ports and ranges, as ``443`` and ``8000-8010``; empty for all.
    :ivar protocol: ``tcp`` or ``udp``.
    """

    to: tuple[str, ...]
    ports: tuple[str, ...] = ()
    protocol: str = "tcp"

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Destination:
        """Make one of a record of a policy's file. ValueError for one that cannot be a rule."""
        one = cls(
            tuple(map(str, given["to"])),
            tuple(map(str, given.get("ports") or ())),
            str(given.get("protocol") or "tcp"),
        )
        if one.protocol not in ("tcp", "udp") or not one.to:
            raise ValueError(f"{dict(given)} is no destination")
        for address in one.to:
            if address != ANY:
                ipaddress.ip_network(address)
        list(port_ranges(one.ports))
        return one


@dataclass(frozen=True)
class Policy:
    """What an app may talk to.

    :ivar app: the app, whose account has its name.
    :ivar uid: the account's number.
    :ivar destinations: the only ones; None for all.
    :ivar metadata: whether the cloud's metadata addresses are open to it.
    """

    app: str
    uid: int
    destinations: tuple[Destination, ...] | None = None
    metadata: bool = False

    @classmethod
    def read(cls, app: str, uid: int, given: Mapping[str, Any]) -> Policy:
        """Make one of a policy's file. ValueError, KeyError or TypeError for one that cannot be read."""
        listed = given["outgoing"]
        destinations = None if listed is None else tuple(map(Destination.read, listed))
        return cls(app, uid, destinations, given.get("instance_metadata") is True)


def port_ranges(ports: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Ports and ranges as pairs of numbers. ValueError for what is neither."""
    for port in ports:
        first, _dash, last = port.partition("-")
        pair = (int(first), int(last or first))
        if not 1 <= pair[0] <= pair[1] <= LARGEST_PORT:
            raise ValueError(f"{port!r} is no port")
        yield pair


def number_of(app: str) -> int | None:
    """The number of an app's account; None where there is no account."""
    try:
        return pwd.getpwnam(app).pw_uid
    except KeyError:
        return None


def read_all(directory: Path, number: Callable[[str], int | None]) -> tuple[list[Policy], list[str]]:
    """The policies of a directory, one file for each app, and what is wrong with any of them.

    :param number: tells the number of an app's account, None where it is gone.

    A policy whose account is gone is left out. One that cannot be read leaves its app nothing but the host itself.
    """
    found: dict[int, Policy] = {}
    problems = []
    for file in sorted(directory.glob("*.json")):
        app = file.stem
        if not APP.fullmatch(app) or (uid := number(app)) is None:
            continue
        if not uid:
            problems.append(f"{file} is about an account with the number of root: it is left out")
        elif uid in found:
            problems.append(f"{app} and {found[uid].app} have the number {uid} both: the policy of {app} is left out")
        else:
            try:
                found[uid] = Policy.read(app, uid, read_json(file))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                problems.append(f"{file} cannot be read: nothing but the host itself is open to {app}. Run site.yml")
                found[uid] = Policy(app, uid, ())
    return list(found.values()), problems


def name_servers(text: str) -> list[str]:
    """The addresses of name servers in a ``resolv.conf``, but for those on the host itself."""
    found: list[str] = []
    for row in text.splitlines():
        words: Sequence[str] = row.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                address = ipaddress.ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            if not address.is_loopback and str(address) not in found:
                found.append(str(address))
    return found
