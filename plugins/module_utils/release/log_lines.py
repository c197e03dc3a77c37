# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line of an app's log as a person reads it: what anybody has written is shown, and obeyed by no terminal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..common.text import escaped
from .logs_choice import LEVELS, PROXY, Choice, process_of

TEXT_LIMIT = 8000  # characters of one line
PART_LIMIT = 2000  # characters of a request's address
INFO, ERROR = LEVELS.index("info"), LEVELS.index("error")
# The lines of a traceback after its first; the last one, which names the exception, is not indented.
CONTINUES = re.compile(r"\s|$|Traceback \(|During handling of the above|The above exception was|\s*[|+]")


@dataclass(frozen=True)
class Line:
    """One line.

    :ivar at: seconds since the epoch.
    :ivar process: what has written it, see :func:`.logs_choice.process_of`.
    :ivar level: an index of :data:`.logs_choice.LEVELS`.
    :ivar text: on one line, escaped.
    :ivar stream: tells the output of one process from that of another.
    :ivar seconds: of the proxy's lines, how long the request took.
    :ivar entry: all that the journal has of it.
    """

    at: float
    process: str
    level: int
    text: str
    stream: tuple[str, str]
    seconds: float
    entry: Mapping[str, Any]

    @classmethod
    def of(cls, app: str, entry: Mapping[str, Any]) -> Line:
        """An entry of the journal, as ``journalctl --output=json`` prints it."""
        by_systemd = entry.get("_PID") == "1" and entry.get("UNIT")
        unit = single(entry.get("UNIT") if by_systemd else entry.get("_SYSTEMD_UNIT"))
        process = process_of(app, unit)[0] or escaped(single(entry.get("SYSLOG_IDENTIFIER")) or unit, 40)
        message = text_of(entry.get("MESSAGE"))
        priority = single(entry.get("PRIORITY"))
        level = int(priority) if priority in map(str, range(len(LEVELS))) else INFO
        request = request_of(message) if process == PROXY and not by_systemd else None
        if request:
            message, level = request_text(request), level_of(request)
        elif by_systemd:
            message = f"systemd: {message}"
        stream = (single(entry.get("_PID")), single(entry.get("_STREAM_ID")))
        took = duration(request or {})
        return cls(moment(entry), process, level, escaped(message, TEXT_LIMIT), stream, took, entry)

    def shown(self, width: int = 8) -> str:
        """Time, process, level and text; the time is the host's.

        :param width: of the column of the processes.
        """
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.at))
        return f"{when}.{int(self.at * 1000) % 1000:03d}  {self.process:<{width}}  {LEVELS[self.level]:<8}  {self.text}"


def single(value: Any) -> str:
    """The value of a field; the first one where an entry has several, "" where it has none or is no text."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = value[0]
    return value if isinstance(value, str) else ""


def text_of(value: Any) -> str:
    """A message: bytes that are no text come as numbers, and a field that an entry has twice as a list."""
    if isinstance(value, list):
        if all(isinstance(one, int) and 0 <= one < 256 for one in value):
            return bytes(value).decode(errors="backslashreplace")
        return " ".join(text_of(one) for one in value if isinstance(one, (str, list)))
    return value if isinstance(value, str) else ""


def moment(entry: Mapping[str, Any]) -> float:
    """When the journal got an entry."""
    stamp = single(entry.get("__REALTIME_TIMESTAMP"))
    return int(stamp) / 1e6 if stamp.isdigit() else 0.0


# --- the proxy's lines ----------------------------------------


# A byte that is no UTF-8, as `text_of` shows it; within JSON, its backslash has to be escaped.
STRAY_BYTE = re.compile(r"(?<!\\)((?:\\\\)*)\\x(?=[0-9a-f]{2})")


def request_of(message: str) -> dict[str, Any] | None:
    """The request that a line of the proxy is about; None for one that is about no request, such as an error."""
    if not message.startswith("{"):
        return None
    try:
        found = json.loads(STRAY_BYTE.sub(r"\1\\\\x", message))
    except ValueError:
        return None
    return found if isinstance(found, dict) and "status" in found else None


def duration(request: Mapping[str, Any]) -> float:
    """The seconds that a request took: Nginx logs these, Apache microseconds."""
    for name, unit in (("seconds", 1.0), ("microseconds", 1e-6)):
        try:
            return max(0.0, min(1e6, float(request[name]) * unit))
        except (KeyError, TypeError, ValueError):
            continue
    return 0.0


def level_of(request: Mapping[str, Any]) -> int:
    """How bad the answer to a request is: the proxy logs all with one level."""
    return ERROR if str(request.get("status", "")).startswith("5") else INFO


def request_text(request: Mapping[str, Any]) -> str:
    """A request as a person reads it: method, address, status, seconds, id."""
    part = {name: str(request.get(name) or "-")[:PART_LIMIT] for name in ("method", "host", "uri", "status", "id")}
    client = f" from {request['client']}" if request.get("client") else ""
    return (
        f"{part['method']} {part['host']}{part['uri']} {part['status']} in {duration(request):.3f} s{client}, "
        f"request {part['id']}"
    )


# --- what is wanted of them ----------------------------------------


def is_bad_enough(choice: Choice, line: Line) -> bool:
    """Whether a line is of the wanted level."""
    return choice.level < 0 or line.level <= choice.level


def of_request(request: str, lines: Iterable[Line]) -> list[Line]:
    """The lines that belong to a request: those that have its id, and the rest of a traceback that begins in one.

    :param lines: in the order of time, of all processes.
    """
    found: list[Line] = []
    open_streams: dict[tuple[str, str], bool] = {}  # whether the line before was indented
    for line in lines:
        if request in line.text or request in text_of(line.entry.get("MESSAGE")):
            found.append(line)
            open_streams[line.stream] = False
        elif line.stream in open_streams and line.process != PROXY:
            raw = text_of(line.entry.get("MESSAGE"))
            if CONTINUES.match(raw) or (open_streams[line.stream] and not raw.startswith("[")):
                found.append(line)
                open_streams[line.stream] = raw[:1].isspace()
            else:
                del open_streams[line.stream]
    return found


def raw(line: Line) -> str:
    """All that the journal has of a line, as JSON without a character that a terminal would obey."""
    return json.dumps(dict(line.entry), sort_keys=True)
