# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each of sshd's settings stands, in the order in which sshd reads them.

``sshd -T`` says what is in effect, and not which line made it so: the first value that sshd reads counts, and a value
in a ``Match`` block goes before it for whom the block matches.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.text import line as printable

MAIN = "/etc/ssh/sshd_config"
OURS = on_host("sshd_settings")
DEPTH = 16  # of Include, as sshd has it
MOST, LONGEST = 500, 300  # settings that are returned, and characters of a value
SAME = {"without-password": "prohibit-password"}  # the name of before: the one that sshd has for the value now
# Given more than once, all count; or `sshd -T` prints something else than the file has.
NOT_COMPARED = frozenset(
    (
        *("acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers", "hostkey", "ipqos", "listenaddress"),
        *("logingracetime", "modulifile", "permitlisten", "permitopen", "persourcepenalties", "port", "rekeylimit"),
        *("setenv", "subsystem"),
    )
)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}  # sshd_config(5), "TIME FORMATS"
TIME = re.compile(r"(?:\d+[smhdw])+")
SETTING = re.compile(r"^\s*([A-Za-z0-9]+)(?:\s+|\s*=\s*)(.*?)\s*$")


@dataclass
class Reading:
    """What was read so far.

    :ivar settings: ``file``, ``line``, ``keyword`` in lower case, ``value``, ``match`` (the conditions of the Match
        block around it), and whether it stands ``before`` the file of ours.
    :ivar included: whether the file of ours is read at all, outside of any Match block.
    """

    root: Path
    settings: list[dict[str, str | int | bool]] = field(default_factory=list)
    included: bool = False

    def read(self, file: str, match: str = "", depth: int = 0) -> None:
        """Read a file and those that it includes."""
        if file == OURS:
            self.included = self.included or not match
            return
        for number, keyword, value in lines(self.root / file.lstrip("/")):
            if keyword == "match":
                match = value
            elif keyword == "include":
                for path in self.matching(value) if depth < DEPTH else ():
                    self.read(path, match, depth + 1)
            elif len(self.settings) < MOST:
                self.settings.append(
                    {
                        "file": printable(file),
                        "line": number,
                        "keyword": keyword,
                        "value": printable(value, LONGEST),
                        "match": printable(match, LONGEST),
                        "before": not self.included,
                    }
                )

    def matching(self, patterns: str) -> Iterator[str]:
        """The files of an Include, in sshd's order; ours too where it would be one of them."""
        for word in patterns.split():
            pattern = word.strip('"')
            pattern = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
            found = {f"/{path}" for path in glob.glob(pattern.lstrip("/"), root_dir=self.root)}
            yield from sorted(found | ({OURS} if fnmatch.fnmatchcase(OURS, pattern) else set()))


def values(text: str) -> dict[str, str]:
    """The settings that ``sshd -T`` prints; those of one keyword on several lines are joined by a space."""
    found: dict[str, str] = {}
    for keyword, _space, value in (line.partition(" ") for line in text.splitlines()):
        found[keyword] = f"{found[keyword]} {value}" if keyword in found else value
    return found


def same(one: str, other: str) -> bool:
    """Whether two values of a keyword mean the same, such as ``5m`` and the ``300`` that ``sshd -T`` makes of it."""
    return normal(one) == normal(other)


def normal(value: str) -> str:
    """A value as ``sshd -T`` prints it, in lower case."""
    value = value.lower()
    if TIME.fullmatch(value):
        return str(sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([smhdw])", value)))
    return SAME.get(value, value)


def lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """The number, keyword and value of each setting in a file; none where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("#") and (found := SETTING.match(line)):
            yield number, found[1].lower(), found[2]


def read(root: Path = Path("/")) -> Reading:
    """Read the settings of a host."""
    reading = Reading(root)
    reading.read(MAIN)
    return reading
