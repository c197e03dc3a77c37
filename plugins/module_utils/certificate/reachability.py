# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a name leads to this host: what a CA would find at its port 80."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import socket
import ssl
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.files import write
from .ca import REMEDIES
from .messages import one_line

TRIAL_TIMEOUT, TRIAL_TIME = 5, 10  # seconds for a name's own port 80: to connect, and for the answer with its redirects
TRIAL_BYTES, TRIAL_REDIRECTS, TRIAL_ADDRESSES = 2**16, 5, 8
CHALLENGE_PATH = ".well-known/acme-challenge"
TRIAL_FILE = "groundwork-trial"
TRIAL_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass
class Trial:
    """A file that whoever follows a name over plain HTTP finds, if the name leads to this host."""

    webroot: Path

    @property
    def path(self) -> Path:
        """The file in the webroot."""
        return self.webroot / CHALLENGE_PATH / TRIAL_FILE

    def token(self) -> str:
        """What stands in the file, which is made if there is none that this program has written."""
        if not TRIAL_TOKEN.fullmatch(found := self.read()):
            found = secrets.token_hex(16)
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write(self.path, found.encode(), 0o644)
        return found

    def read(self) -> str:
        """The beginning of the file; empty for anything else than a file."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return ""
        with open(descriptor, "rb") as stream:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return stream.read(64).decode(errors="replace") if is_file else ""

    def end(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


def try_names(domains: Sequence[str], token: str, port: int = 80) -> dict[str, str]:
    """Why each of the names does not lead to the host with the token; empty for one that does."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=20) as pool:
        return dict(zip(domains, pool.map(lambda domain: try_name(domain, token, port), domains), strict=True))


def try_name(domain: str, token: str, port: int = 80) -> str:
    """Why the name does not lead to the host with the token; empty if it does.

    Every address counts, for the authority takes which it likes, IPv6 first; but not one of a kind that this machine
    does not have.
    """
    try:
        found = socket.getaddrinfo(domain, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"it has no address ({error.strerror or error}). {REMEDIES['dns']}"
    wrong, closed, right = {}, {}, []
    for address in list(dict.fromkeys(str(entry[4][0]) for entry in found))[:TRIAL_ADDRESSES]:
        try:
            answer = ask_for_token(domain, address, port)
        except OSError as error:
            if error.errno not in (errno.ENETUNREACH, errno.EADDRNOTAVAIL):
                closed[address] = error.strerror or str(error)
            continue
        if answer == token:
            right.append(address)
        else:
            wrong[address] = answer
    if wrong:
        answers = " and ".join(f"{address} ({what})" for address, what in wrong.items())
        record = "its AAAA record leads to another server: " if right and all(":" in one for one in wrong) else ""
        return f"{record}another server answers at {answers}. {REMEDIES['other']}"
    if right:
        return ""
    reasons = (
        " and ".join(f"{address} ({reason})" for address, reason in closed.items()) or "an address of another kind"
    )
    return f"port {port} does not answer at {reasons}. {REMEDIES['connection']}"


def ask_for_token(domain: str, address: str, port: int) -> str:
    """What the server at the address answers for the name: the token, or a few words; OSError if it does not.

    A redirect is followed, as an authority does, whatever the certificate there is.
    """
    import http.client
    from urllib.parse import urljoin, urlsplit

    deadline = time.monotonic() + TRIAL_TIME
    name = f"[{domain}]" if ":" in domain else domain
    url, at = f"http://{name}/{CHALLENGE_PATH}/{TRIAL_FILE}", ""
    try:
        status, location, body = get(url, address, port, deadline)
        for _redirect in range(TRIAL_REDIRECTS):
            if not (300 <= status < 400 and location.endswith(f"/{CHALLENGE_PATH}/{TRIAL_FILE}")):
                break
            url = urljoin(url, location)
            parts, at = urlsplit(url), f" at {one_line(url, 200)}"
            if parts.scheme not in ("http", "https") or not parts.hostname:
                break
            try:
                target = parts.port or {"http": 80, "https": 443}[parts.scheme]
                status, location, body = get(url, parts.hostname, target, deadline)
            except OSError as error:
                return f"{error.strerror or error}{at}"
        return one_line(body, 64) if status == 200 else f"status {status}{at}"
    except (http.client.HTTPException, ValueError) as error:
        return f"no HTTP: {type(error).__name__}{at}"


def get(url: str, address: str, port: int, deadline: float) -> tuple[int, str, str]:
    """The status, where it leads to, and the beginning of what a server answers for a URL."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((address, port), min(TRIAL_TIMEOUT, left(deadline))))
        if parts.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection.settimeout(left(deadline))
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname=parts.hostname))
        path, host = parts._replace(scheme="", netloc="", fragment="").geturl(), parts.netloc.rpartition("@")[2]
        lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", "Accept: */*", "", "")
        connection.settimeout(left(deadline))
        connection.sendall("\r\n".join(lines).encode("ascii"))
        incoming: Any = Incoming(connection, deadline, TRIAL_BYTES)
        answer = http.client.HTTPResponse(incoming, method="GET")
        answer.begin()
        return answer.status, answer.getheader("Location") or "", answer.read(64).decode(errors="replace")


class Incoming(io.RawIOBase):
    """What comes through a socket, as a file: until a moment and up to so many bytes, however slowly they come."""

    def __init__(self, connection: socket.socket, deadline: float, limit: int) -> None:
        self.connection, self.deadline, self.limit = connection, deadline, limit

    def readable(self) -> bool:
        """Part of the interface of a raw stream."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is, as a raw stream does."""
        self.connection.settimeout(left(self.deadline))
        count = self.connection.recv_into(memoryview(buffer)[: self.limit]) if self.limit else 0
        self.limit -= count
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self)


def left(deadline: float) -> float:
    """The seconds until then; TimeoutError if there are none."""
    if (seconds := deadline - time.monotonic()) <= 0:
        raise TimeoutError("timed out")
    return seconds
