# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests to apps that may be slow, hostile or dead: all at once, each bounded in bytes and in seconds.

A request is a thread that reads its socket itself: an answer in drips, or without an end, costs its own time alone.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

AGENT = "groundwork-watch"
SECONDS = 5.0  # that one answer may take
LIMIT = 2**16  # bytes of an answer that are read
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


@dataclass(frozen=True)
class Question:
    """A GET request.

    :ivar host: the name that is asked for, in Host and, over TLS, in SNI.
    :ivar path: what is asked for.
    :ivar address: the path of a Unix socket; or an address or a name, and a port.
    :ivar tls: whether over TLS. The certificate is not verified: what is wrong with it is told by itself.
    """

    host: str
    path: str
    address: str | tuple[str, int]
    tls: bool = False


@dataclass
class Answer:
    """What came of a request.

    :ivar status: None where no whole answer came.
    :ivar error: why not.
    :ivar is_resolver: the name could not be looked up because no resolver answered.
    :ivar unresolved: the name has no address.
    :ivar certificate: what was served, DER; empty without TLS.
    """

    status: int | None = None
    seconds: float = 0.0
    error: str = ""
    is_resolver: bool = False
    unresolved: bool = False
    certificate: bytes = b""


def ask(questions: Mapping[str, Question], seconds: float = SECONDS) -> dict[str, Answer]:
    """Ask all of them at once; the answers by the names of the questions."""
    until = time.monotonic() + seconds
    answers = {name: Answer() for name in questions}
    threads = [
        threading.Thread(target=visit, args=(one, answers[name], until), daemon=True) for name, one in questions.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + 0.2 - time.monotonic()))
    late = Answer(seconds=seconds, error=f"no answer within {seconds:g} s")
    # One whose name is still being looked up is left behind.
    return {name: late if t.is_alive() else answers[name] for (name, t) in zip(answers, threads, strict=True)}


def visit(question: Question, answer: Answer, until: float) -> None:
    """Ask one question and fill in its answer."""
    began = time.monotonic()
    try:
        with connection(question, answer, until) as opened:
            answer.status = exchange(opened, question, until)
    except TimeoutError:
        answer.error = f"no whole answer within {until - began:.0f} s"
    except socket.gaierror as error:
        answer.is_resolver, answer.unresolved = error.errno == socket.EAI_AGAIN, error.errno != socket.EAI_AGAIN
        answer.error = f"the name cannot be looked up: {error.strerror}"
    except (OSError, ValueError) as error:
        # What OpenSSL says is `reason`.
        answer.error = str(getattr(error, "reason", "") or getattr(error, "strerror", "") or error)
    answer.seconds = time.monotonic() - began


def connection(question: Question, answer: Answer, until: float) -> socket.socket:
    """A connection for a question."""
    if isinstance(question.address, str):
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(left(until))
            opened.connect(question.address)
        except BaseException:
            opened.close()
            raise
        return opened
    plain = socket.create_connection(question.address, left(until))
    if not question.tls:
        return plain
    import ssl  # most looks ask for nothing over TLS, and reading it takes as long as a request

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the CAs, which take longer to read than all the rest
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        plain.settimeout(left(until))
        secured = context.wrap_socket(plain, server_hostname=question.host)
    except BaseException:
        plain.close()
        raise
    answer.certificate = secured.getpeercert(binary_form=True) or b""
    return secured


def exchange(opened: socket.socket, question: Question, until: float) -> int:
    """Send a request, and read its answer to the end or to the limit; its status."""
    forwarded = f"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: {question.host}\r\n"
    head = f"GET {question.path} HTTP/1.1\r\nHost: {question.host}\r\nUser-Agent: {AGENT}\r\nConnection: close\r\n"
    opened.settimeout(left(until))
    opened.sendall(f"{head}{forwarded if isinstance(question.address, str) else ''}\r\n".encode())
    got = bytearray()
    while len(got) < LIMIT:
        opened.settimeout(left(until))
        if not (block := opened.recv(LIMIT)):
            break
        got += block
    if not (match := STATUS.match(got)):
        raise ValueError("what came is no answer of HTTP" if got else "the connection was closed without an answer")
    return int(match[1])


def left(until: float) -> float:
    """The seconds that are left.

    :raises TimeoutError: none.
    """
    found = until - time.monotonic()
    if found <= 0:
        raise TimeoutError
    return found
