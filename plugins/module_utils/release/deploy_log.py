# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a deploy in the app's own journal, beside what they lead to: its steps, what they print, how it ended.

A transient unit of a step has no journal namespace, for a short unit with one may collide with another's start; the
engine hands over what it reads of a step. A line that cannot be written costs no deploy anything.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable

from ..common.text import escaped

RELEASE_FIELD = "GROUNDWORK_RELEASE"  # of an entry: the release that is deployed; only root's entries are believed
ERROR, WARNING, INFO = 3, 4, 6  # levels of syslog
LINE_LIMIT = 4000  # characters
UNFINISHED = 1000  # bytes of a line without end that wait for what follows: a secret may have begun in them
SEND_SECONDS = 0.5
TRIES = 3  # that may fail in a row before no more are made
# The steps whose output says something to a person; that of the others is read by the engine.
TELLING = frozenset(("install", "venv", "build", "before", "setup", "command", "import"))
FACTS = "groundwork-probe:"  # begins what probe.py reports to the engine
IN_AN_ADDRESS = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
NOT_HIDDEN = 3  # characters: what is no longer is no secret, as in SecretKey.masked
PART_OF_A_SECRET = 12  # characters: a line of a longer one, such as a key in PEM, that is hidden alone


class DeployLog:
    """Writes to the journal of an app.

    :param app: "" for none: nothing is written then.
    :param hidden: the secrets that may not stand there, when it is asked.
    :ivar release: the id of the release that is deployed, once it is known.
    """

    def __init__(self, app: str = "", hidden: Callable[[], Iterable[str]] = tuple, run: str = "/run") -> None:
        self.app, self.hidden = app, hidden
        self.address = f"{run}/systemd/journal.{app}/socket"
        self.release = ""
        self.failed = 0

    def say(self, text: str, level: int = INFO) -> None:
        """Write a text, line by line."""
        self.write(text.splitlines(), level, self.secrets())

    def secrets(self) -> list[str]:
        """What is hidden, the longest first; a secret of several lines also line by line."""
        if not self.app:
            return []
        try:
            values = {value for value in self.hidden() if len(value) > NOT_HIDDEN}
        except (OSError, KeyError, ValueError):
            self.failed = TRIES  # what is to be hidden is not known: write nothing
            return []
        parts = {part for value in values for part in value.splitlines() if len(part) >= PART_OF_A_SECRET}
        return sorted(values | parts, key=len, reverse=True)

    def output(self, step: str) -> Callable[[bytes], None]:
        """What takes the output of a step, block by block as it comes, and ``b""`` at its end."""
        secrets = self.secrets() if step in TELLING else []
        rest = b""

        def take(block: bytes) -> None:
            nonlocal rest
            if not self.app or step not in TELLING:
                return
            *lines, rest = (rest + block).split(b"\n")
            if rest and not block:
                lines, rest = [*lines, rest], b""
            elif len(rest) > LINE_LIMIT:
                known = without(rest.decode(errors="replace"), secrets).encode()
                lines, rest = [*lines, known[:-UNFINISHED]], known[-UNFINISHED:]
            self.write([f"{step}: {one.decode(errors='replace')}" for one in lines if one.strip()], INFO, secrets)

        return take

    def write(self, lines: Iterable[str], level: int, secrets: Iterable[str]) -> None:
        """Write lines without the secrets."""
        for line in lines:
            if not self.app or self.failed >= TRIES:
                return
            if FACTS not in line:
                self.send(escaped(without(line, secrets).strip("\r"), LINE_LIMIT), level)

    def send(self, message: str, level: int) -> None:
        """Send one entry to the daemon of the journal."""
        fields = {"MESSAGE": message, "PRIORITY": level, "SYSLOG_IDENTIFIER": f"{self.app}.deploy"}
        fields |= {RELEASE_FIELD: self.release} if self.release else {}
        entry = "".join(f"{name}={value}\n" for name, value in fields.items()).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(SEND_SECONDS)
                sock.sendto(entry, self.address)
            self.failed = 0
        except OSError:
            self.failed += 1


def without(text: str, secrets: Iterable[str]) -> str:
    """A text without secrets, nor the password in an address."""
    for value in secrets:
        text = text.replace(value, "********")
    return IN_AN_ADDRESS.sub(r"\1********@", text)
