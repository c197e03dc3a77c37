# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told about alerts, and when: the configuration of the role ``watch``, as it lies on the host.

It is checked on the controller (``plugin_utils/alert_receivers.py``). It holds secrets (the URL of a Slack webhook is
one), so a receiver is shown by :attr:`Receiver.place` alone.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ..common import files
from ..common.on_host import on_host
from .records import Condition
from .settings import SettingsError

CONFIGURATION = Path(on_host("configuration"), "watch.receivers.json")
QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
NETWORK, COMMANDS = "network", "commands"


def host_of(url: str) -> str:
    """The host and port of a URL: what of it may be shown."""
    return urlsplit(url).netloc.rpartition("@")[2]


@dataclass(frozen=True)
class Receiver:
    """One receiver.

    :ivar options: what is special to its type, as the operator wrote it.
    :ivar severity: the lowest that it is told of: with ``critical`` it hears of no warning.
    :ivar apps: whose conditions it is told of, ``host`` among them; empty for all.
    """

    name: str
    type: str
    severity: str = "warning"
    apps: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Who delivers to it: an account with the network and nothing else, or root, who runs a program for it."""
        local = self.type == "command" or (self.type == "mail" and not self.options.get("smtp"))
        return COMMANDS if local else NETWORK

    @property
    def place(self) -> str:
        """Where its messages go, without anything secret."""
        if self.type == "command":
            return "a command"
        if self.type != "mail":
            return host_of(str(self.options.get("url", "")))
        smtp = self.options.get("smtp") or {}
        return f"{smtp['host']}:{smtp['port']}" if smtp else "sendmail"

    def wants(self, condition: Condition) -> bool:
        """Whether it is told of a condition; not of its own failure."""
        return (
            (self.severity == "warning" or condition.severity == "critical")
            and (not self.apps or condition.subject in self.apps)
            and (condition.kind, condition.part) != ("receiver", self.name)
        )


@dataclass(frozen=True)
class Settings:
    """All of the configuration.

    :ivar quiet_hours: such as ``22:00-07:00``, in the host's time zone; empty for none.
    :ivar ping_url: asked after each whole look; empty for none.
    :ivar keep: seconds that a message waits for its receiver before it is given up.
    :ivar per_hour: messages that a receiver gets within an hour; the rest comes as one.
    """

    receivers: tuple[Receiver, ...] = ()
    quiet_hours: str = ""
    ping_url: str = ""
    keep: float = 7 * 86400
    per_hour: int = 20

    def quiet(self, now: float) -> bool:
        """Whether warnings wait."""
        found = QUIET.fullmatch(self.quiet_hours)
        if not found:
            return False
        begin, end = (int(found[i]) * 60 + int(found[i + 1]) for i in (1, 3))
        at = time.localtime(now)
        minute = at.tm_hour * 60 + at.tm_min
        return begin <= minute < end if begin <= end else minute >= begin or minute < end


def load(path: Path = CONFIGURATION) -> Settings:
    """Read the configuration; without a file there are no receivers.

    :raises SettingsError: the file is no JSON, or not of the role's making.
    """
    try:
        return settings_of(files.read_json(path))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SettingsError(f"{path} is not as the role watch writes it. Run the play again") from None


def load_from(stream: IO[str]) -> Settings:
    """Read the configuration from a file that systemd has opened, for an account that cannot.

    :raises SettingsError: see :func:`load`.
    """
    try:
        return settings_of(json.load(stream))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SettingsError("The standard input is not what the role watch writes. Run the play again") from None


def settings_of(found: Mapping[str, Any]) -> Settings:
    """The settings in a configuration."""
    receivers = tuple(
        Receiver(
            given["name"],
            given["type"],
            given.get("severity") or "warning",
            tuple(given.get("apps") or ()),
            {key: value for key, value in given.items() if key not in ("name", "type", "severity", "apps")},
        )
        for given in found.get("receivers", ())
    )
    return Settings(
        receivers,
        found.get("quiet_hours", ""),
        found.get("ping_url", ""),
        float(found.get("keep_days", 7)) * 86400,
        int(found.get("per_hour", 20)),
    )
