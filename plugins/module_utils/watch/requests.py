# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proxy has answered since the last look: its new lines in the journals of the apps.

One ``journalctl`` reads all apps' lines, from where the last one ended. It is given the files that have changed since,
so that it costs the same however much is archived (4 ms for ten journals of 34 files each, 25 ms with
``--namespace=*``), and only what systemd says the proxy's own unit has written: an app may write a line like the
proxy's into its journal, and cannot change the unit that its line is from.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import files
from .records import BUCKETS, Requests

UNITS = ("nginx.service", "apache2.service")  # which write the lines; systemd's word, which no client can forge
NAMES = ("nginx", "apache2")  # the identifiers of their lines
JOURNALCTL = "/usr/bin/journalctl"
JOURNALS = Path("/var/log/journal")
MOST_BYTES = 16_000_000  # that one look takes of journalctl's output: about 20,000 requests, 0.8 core-seconds
MOST_SECONDS = 5.0  # of one journalctl
OWN_SECONDS = 1.0  # of that of one app, which mostly takes some milliseconds
SLACK = 60.0  # seconds: a file that was changed so long before the last look is read again, for its cursor
SWITCHED = 101  # a WebSocket: how long it was open says nothing about the app's speed


@dataclass(frozen=True)
class Line:
    """One request.

    :ivar time: when its answer was complete.
    :ivar seconds: that it took, from its first byte to the last byte of the answer.
    :ivar method: as the visitor sent it, as are ``uri`` and ``id``: not fit to be shown before ``text.line``.
    :ivar id: by which the app's own lines and the error page name the request.
    """

    time: float
    status: int
    seconds: float
    method: str = ""
    uri: str = ""
    id: str = ""


@dataclass(frozen=True)
class Place:
    """Where a reading ended.

    :ivar cursor: of the last line; empty where there was none yet.
    :ivar time: when it ended.
    """

    cursor: str = ""
    time: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What a reading has found.

    :ivar lines: new requests by app, in the order of their answers; each app that was asked for is in it.
    :ivar skipped: the apps of which not all lines were read, because there were too many: theirs are a sample.
    """

    lines: dict[str, list[Line]]
    place: Place
    skipped: tuple[str, ...] = ()


def place_in(cursor_file: Path) -> Place:
    """The place that is kept in a file; one to begin anew where there is none, or half of one."""
    try:
        kept = files.read_json(cursor_file)
        return Place(str(kept["cursor"]), float(kept["time"]))
    except (KeyError, TypeError, ValueError):
        return Place()


def read(apps: Sequence[str], place: Place, journals: Path = JOURNALS) -> Reading:
    """The requests since a place.

    Where there are more than fit into the bounds, each app has a share of its own instead: however many requests one
    has, the others' are all read. The rest is skipped, so that the next look is not late too. The same where they
    cannot be read together: an app that writes so much that its files come and go loses its own lines alone.

    :raises OSError: when journalctl fails for each app.
    """
    now = time.time()
    if not place.time:
        return Reading({app: [] for app in apps}, Place(last_cursor(apps, journals), now))
    lines, cursor = {app: list[Line]() for app in apps}, ""
    with contextlib.suppress(OSError):
        lines, cursor, cut = read_some(apps, place, journals)
        if not cut:
            return Reading(lines, Place(cursor or place.cursor, now))
    apart, skipped = read_apart(apps, place, journals)
    return Reading({**lines, **apart}, Place(last_cursor(apps, journals) or cursor, time.time()), skipped)


def read_apart(apps: Sequence[str], place: Place, journals: Path) -> tuple[dict[str, list[Line]], tuple[str, ...]]:
    """The requests of each app in its share of the bounds, and the apps of which not all were read.

    :raises OSError: when journalctl fails for each app.
    """
    found: dict[str, list[Line]] = {}
    skipped, failed, until = [], OSError("there is no app"), time.monotonic() + MOST_SECONDS
    for app in apps:
        seconds = max(MOST_SECONDS / len(apps), min(OWN_SECONDS, until - time.monotonic()))
        try:
            own, _cursor, cut = read_some([app], place, journals, len(apps), seconds)
        except OSError as error:
            failed, cut = error, True
        else:
            found.update(own)
        skipped += [app] if cut else []
    if not found:
        raise failed
    return found, tuple(skipped)


def read_some(
    apps: Sequence[str], place: Place, journals: Path, shares: int = 1, seconds: float = MOST_SECONDS
) -> tuple[dict[str, list[Line]], str, bool]:
    """The requests of these apps, as far as they fit into a share of the bounds.

    A file may get another name between the listing and the reading, and a cursor may be of a journal that is gone: the
    second attempt lists anew, and goes by the time.

    :return: the requests by app; the cursor of the last line, empty where there was none; whether there was more.
    :raises OSError: when journalctl fails twice.
    """
    for begin in (place, Place("", place.time)):
        output = Output(changed(apps, place.time, journals), begin, MOST_BYTES // shares, seconds)
        lines = {app: list[Line]() for app in apps}
        cursor = take(output, lines)
        if not output.error:
            return lines, cursor, output.cut
    raise OSError(f"journalctl: {output.error}")


# --- the journal ----------------------------------------


def changed(apps: Sequence[str], since: float, journals: Path = JOURNALS) -> list[str]:
    """The files of the apps' journals that may hold something newer; of time 0 those that are written now."""
    found = []
    for directory in directories(apps, journals):
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                # Lines of system accounts, as the proxy's is, are in these.
                if entry.name == "system.journal" or (
                    since and entry.name.startswith("system@") and entry.stat().st_mtime >= since - SLACK
                ):
                    found.append(entry.path)
    return sorted(found)


def directories(apps: Sequence[str], journals: Path = JOURNALS) -> list[str]:
    """The directories of the apps' journals, named for the machine and the app."""
    with contextlib.suppress(FileNotFoundError):
        return [str(journals / name) for name in os.listdir(journals) if name.partition(".")[2] in set(apps)]
    return []


def command(paths: Sequence[str], *options: str) -> list[str]:
    """A journalctl of the proxy's lines in some files."""
    matches = [f"_SYSTEMD_UNIT={unit}" for unit in UNITS]
    fields = "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_NAMESPACE"
    return [
        JOURNALCTL,
        "--quiet",
        "--no-pager",
        "--output=json",
        "--all",  # else a message of more than 4096 bytes is null
        fields,
        *options,
        *(f"--file={path}" for path in paths),
        *matches,
    ]


def last_cursor(apps: Sequence[str], journals: Path = JOURNALS) -> str:
    """The cursor of the proxy's last line in the files that are written now; empty where there is none."""
    if not (paths := changed(apps, 0.0, journals)):
        return ""
    try:
        argv = command(paths, "--lines=1")
        output = subprocess.run(argv, capture_output=True, check=False, timeout=MOST_SECONDS).stdout
    except subprocess.TimeoutExpired:
        return ""
    return str((entry_of(output) or {}).get("__CURSOR", ""))


class Output:
    """What journalctl prints from a place on, line by line, bounded in bytes and time.

    :ivar cut: whether there was more.
    :ivar error: why it failed; else empty.
    """

    def __init__(self, paths: Sequence[str], place: Place, most_bytes: int, seconds: float) -> None:
        self.paths, self.place, self.most_bytes, self.seconds = paths, place, most_bytes, seconds
        self.cut, self.error = False, ""

    def __iter__(self) -> Iterator[bytes]:
        if not self.paths:
            return
        # With --after-cursor, systemd 252 skips a line also where these files lack it; `take` leaves that one out.
        begin = f"--cursor={self.place.cursor}" if self.place.cursor else f"--since=@{self.place.time:.6f}"
        argv = command(self.paths, begin)
        # What it says on stderr is short, and is not waited for: its status says that it failed.
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with process:
            try:
                yield from self.bounded(process.stdout.fileno() if process.stdout else -1)
                if not self.cut and (status := process.wait(self.seconds)):
                    self.error = f"it ended with status {status}"
            except subprocess.TimeoutExpired:
                self.error = "it did not end"
            finally:
                process.kill()

    def bounded(self, descriptor: int) -> Iterator[bytes]:
        """Its whole lines, until it ends or a bound is reached."""
        rest, taken, end = b"", 0, time.monotonic() + self.seconds
        while True:
            left = end - time.monotonic()
            if taken >= self.most_bytes or left <= 0 or not select.select([descriptor], [], [], left)[0]:
                self.cut = True
                return
            if not (block := os.read(descriptor, 1 << 16)):
                return
            taken += len(block)
            *whole, rest = (rest + block).split(b"\n")
            yield from whole


def take(output: Output, lines: dict[str, list[Line]]) -> str:
    """Add the requests to those of their apps; the cursor of the last line, empty where there was none."""
    cursor = ""
    for raw in output:
        if (entry := entry_of(raw)) is None or entry.get("__CURSOR") == output.place.cursor:
            continue
        cursor = str(entry.get("__CURSOR", cursor))
        app = entry.get("_NAMESPACE")
        if isinstance(app, str) and app in lines and (line := request_of(entry)):
            lines[app].append(line)
    return cursor


def entry_of(raw: bytes) -> dict[str, Any] | None:
    """An entry of the journal; None for what is none."""
    with contextlib.suppress(ValueError):
        entry = json.loads(raw)
        return entry if isinstance(entry, dict) else None
    return None


def request_of(entry: Mapping[str, Any]) -> Line | None:
    """The request that a line of the proxy's tells; None for another line of it, such as one of its errors.

    nginx writes seconds, Apache microseconds.
    """
    message = entry.get("MESSAGE")
    if entry.get("SYSLOG_IDENTIFIER") not in NAMES:
        return None
    try:
        if isinstance(message, list):  # of bytes, where a visitor has sent what is no UTF-8
            message = bytes(message).decode(errors="replace")
        said = json.loads(message or "")
        seconds = float(said["seconds"]) if "seconds" in said else int(said["microseconds"]) / 1e6
        at, status = int(entry["__REALTIME_TIMESTAMP"]) / 1e6, int(said["status"])
    except (ValueError, KeyError, TypeError):
        return None
    return Line(at, status, seconds, *(str(said.get(key, "")) for key in ("method", "uri", "id")))


# --- what is made of them ----------------------------------------


def add(requests: Requests, lines: Sequence[Line]) -> None:
    """Count requests in; what was a WebSocket counts, and its time does not."""
    for line in lines:
        kind = f"{line.status // 100}xx"
        kind = kind if kind in ("2xx", "3xx", "4xx", "5xx") else "other"
        requests.total += 1
        requests.by_class[kind] = requests.by_class.get(kind, 0) + 1
        if line.status == SWITCHED:
            continue
        requests.seconds += line.seconds
        for number, most in enumerate(BUCKETS):
            if line.seconds <= most:
                requests.buckets[number] += 1
