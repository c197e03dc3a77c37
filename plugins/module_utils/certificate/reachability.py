# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reachability check: whether a CA that follows a domain over HTTP arrives at this host."""

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

from ..common.files import make_directory, write
from .ca import REMEDIES
from .messages import one_line

CONNECT_TIMEOUT, ANSWER_TIME = 5, 10  # seconds to connect to port 80, and for the answer with all redirects
MAX_BYTES, MAX_REDIRECTS, MAX_ADDRESSES = 2**16, 5, 8
CHALLENGE_PATH = ".well-known/acme-challenge"
FILE_NAME = "groundwork-reachability"
TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass
class ReachabilityFile:
    """A file in the webroot with a random token, which is found by a domain that leads to this host."""

    webroot: Path

    @property
    def path(self) -> Path:
        """The file in the webroot."""
        return self.webroot / CHALLENGE_PATH / FILE_NAME

    def token(self) -> str:
        """Return the token in the file; the file is written if it is missing or not this program's."""
        if not TOKEN.fullmatch(found := self.read()):
            found = secrets.token_hex(16)
            make_directory(self.path.parent)
            write(self.path, found.encode(), 0o644)
        return found

    def read(self) -> str:
        """Return the beginning of the file; empty for anything but a regular file."""
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


def check_domains(domains: Sequence[str], token: str, port: int = 80) -> dict[str, str]:
    """Return, for each domain, why it does not lead to the host with the token; empty for one that does."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=20) as pool:
        return dict(zip(domains, pool.map(lambda domain: check_domain(domain, token, port), domains), strict=True))


def check_domain(domain: str, token: str, port: int = 80) -> str:
    """Return why a domain does not lead to the host with the token; empty if it does.

    Every address must lead there, because a CA may take any, IPv6 first. An address family that this machine has no
    route for is skipped.
    """
    try:
        found = socket.getaddrinfo(domain, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"it has no address ({error.strerror or error}). {REMEDIES['dns']}"
    wrong, closed, right = {}, {}, []
    for address in list(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_ADDRESSES]:
        try:
            answer = fetch_token(domain, address, port)
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


def fetch_token(domain: str, address: str, port: int) -> str:
    """Fetch the token by a domain from one of its addresses.

    Redirects are followed as a CA follows them, whatever certificate is served there.

    :returns: the token, or the beginning of any other answer, or what is wrong with it.
    :raises OSError: the address does not answer.
    """
    import http.client
    from urllib.parse import urljoin, urlsplit

    deadline = time.monotonic() + ANSWER_TIME
    name = f"[{domain}]" if ":" in domain else domain
    url, at = f"http://{name}/{CHALLENGE_PATH}/{FILE_NAME}", ""
    try:
        status, location, body = get(url, address, port, deadline)
        for _redirect in range(MAX_REDIRECTS):
            if not (300 <= status < 400 and location.endswith(f"/{CHALLENGE_PATH}/{FILE_NAME}")):
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
    """Fetch a URL from an address; returns the status, the redirect's target and the beginning of the body."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(
            socket.create_connection((address, port), min(CONNECT_TIMEOUT, left(deadline)))
        )
        if parts.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection.settimeout(left(deadline))
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname=parts.hostname))
        path, host = parts._replace(scheme="", netloc="", fragment="").geturl(), parts.netloc.rpartition("@")[2]
        lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", "Accept: */*", "", "")
        connection.settimeout(left(deadline))
        connection.sendall("\r\n".join(lines).encode("ascii"))
        incoming: Any = Incoming(connection, deadline, MAX_BYTES)
        answer = http.client.HTTPResponse(incoming, method="GET")
        answer.begin()
        return answer.status, answer.getheader("Location") or "", answer.read(64).decode(errors="replace")


class Incoming(io.RawIOBase):
    """A socket as a file that ends at a deadline and after so many bytes, however slowly they arrive."""

    def __init__(self, connection: socket.socket, deadline: float, limit: int) -> None:
        self.connection, self.deadline, self.limit = connection, deadline, limit

    def readable(self) -> bool:
        """Return True: part of the interface of a raw stream."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at most as much as the limit allows."""
        self.connection.settimeout(left(self.deadline))
        count = self.connection.recv_into(memoryview(buffer)[: self.limit]) if self.limit else 0
        self.limit -= count
        return count

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a buffered reader: what http.client wants of a socket."""
        return io.BufferedReader(self)


def left(deadline: float) -> float:
    """Return the seconds until a deadline; TimeoutError if it is over."""
    if (seconds := deadline - time.monotonic()) <= 0:
        raise TimeoutError("timed out")
    return seconds
