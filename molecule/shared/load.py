"""A steady load on a test host's site, and a record of what became of each of its requests.

What counts as a failure: everything but a complete answer with status 200. Nothing is sent twice, GET or POST, on a
fresh connection or on one that was in use. A browser would hide some of these failures by asking again; here each one
counts, for the proxy has no reason to drop a connection while an app is deployed. Only when an answer said
`Connection: close`, as nginx does after a thousand requests, does the next request open a new connection.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from visitor import Answer, Site

POST_EVERY = 4


@dataclass(frozen=True)
class Request:
    """What became of one request.

    `status`: 0 when there was no complete answer; `error` says why. `answer`: the JSON of a 200, else empty.
    `began`: seconds since the epoch; `seconds`: from the first byte sent to the last one received.
    """

    method: str
    status: int
    error: str
    answer: dict[str, Any]
    began: float
    seconds: float

    @property
    def failed(self) -> bool:
        return self.status != 200

    @property
    def cut(self) -> bool:
        """The answer broke off after its head, so that no proxy could ask for it again."""
        return self.error.startswith(http.client.IncompleteRead.__name__)

    @property
    def release(self) -> str:
        """The id of the release that answered; "" without an answer."""
        return str(self.answer.get("release", ""))

    def __str__(self) -> str:
        clock = time.strftime("%H:%M:%S", time.gmtime(self.began)) + f"{self.began % 1:.3f}"[1:]
        return f"{clock} {self.method} {self.error or self.status} after {self.seconds:.2f} s"


@dataclass(frozen=True)
class Summary:
    """What became of all requests. `rate`: requests a second, from the first to the end of the last one."""

    requests: int
    failures: int
    rate: float
    releases: dict[str, int]
    slowest: float
    median: float

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.rate:.0f} a second, {self.failures} failed, by {len(self.releases)} "
            f"releases; median {self.median * 1000:.1f} ms, slowest {self.slowest:.2f} s"
        )


class Connection(http.client.HTTPConnection):
    """HTTPS to a site at its test host's address; it reconnects by itself after `Connection: close`."""

    def __init__(self, site: Site, context: ssl.SSLContext) -> None:
        super().__init__(site.name, 443, timeout=site.timeout)
        self.site, self.context = site, context

    def connect(self) -> None:
        plain = socket.create_connection((self.site.address, 443), self.site.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.context.wrap_socket(plain, server_hostname=self.site.name)


@dataclass
class Load:
    """Visitors that ask for a page and now and then post a form, at a steady rate, for as long as a `with` block.

    `rate`: requests a second, all visitors together; one that is late is sent as soon as a visitor is free, so the rate
    is made up for after a delay. `visitors`: threads with a kept connection each. Every fourth request is a POST to
    `post`, the others are GETs of `get`. The load ends by itself after `seconds` or after `limit` requests.
    """

    site: Site
    rate: float = 220
    visitors: int = 16
    get: str = "/"
    post: str = "/hit"
    seconds: float = 900
    limit: int = 300_000
    requests: list[Request] = field(default_factory=list, init=False)
    _threads: list[threading.Thread] = field(default_factory=list, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _next: int = field(default=0, init=False)
    _start: float = field(default=0, init=False)

    def __enter__(self) -> Load:
        self._start = time.monotonic()
        context = self.site.context()
        self._threads = [threading.Thread(target=self._visit, args=(context,)) for _number in range(self.visitors)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Send nothing more, and wait for the answers that are due."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def failures(self) -> list[Request]:
        """The requests that failed, in the order of their ends."""
        return [request for request in self.requests if request.failed]

    @property
    def posted(self) -> list[int]:
        """The counts that the POSTs were answered with."""
        return [request.answer["count"] for request in self.requests if request.method == "POST" and not request.failed]

    def summary(self) -> Summary:
        """Sum up what was recorded, while the load goes on or afterwards."""
        done: Sequence[Request] = list(self.requests)
        lasted = max(r.began + r.seconds for r in done) - min(r.began for r in done)
        times = sorted(request.seconds for request in done)
        return Summary(
            requests=len(done),
            failures=sum(request.failed for request in done),
            rate=len(done) / lasted,
            releases=dict(Counter(request.release for request in done if not request.failed)),
            slowest=times[-1],
            median=times[len(times) // 2],
        )

    def _visit(self, context: ssl.SSLContext) -> None:
        connection = Connection(self.site, context)
        while (number := self._turn()) is not None:
            self.requests.append(self._ask(connection, number))
        connection.close()

    def _turn(self) -> int | None:
        """Wait for the next request's time; its number, None when there are no more."""
        with self._lock:
            number, self._next = self._next, self._next + 1
        due = number / self.rate
        if number >= self.limit or due > self.seconds:
            return None
        wait = self._start + due - time.monotonic()
        return None if self._stopped.wait(max(0.0, wait)) else number

    def _ask(self, connection: Connection, number: int) -> Request:
        method, path = ("POST", self.post) if number % POST_EVERY == POST_EVERY - 1 else ("GET", self.get)
        began, clock = time.time(), time.monotonic()
        status, error, answer = 0, "", {}
        try:
            connection.request(method, path, headers={"Host": self.site.name, "User-Agent": "groundwork-load"})
            response = connection.getresponse()
            body = response.read()
            if response.status == 200:
                answer = json.loads(body)
            status = response.status
        except (OSError, http.client.HTTPException, ValueError) as problem:
            error = f"{type(problem).__name__}: {problem}"
            connection.close()
        return Request(method, status, error, answer, began, time.monotonic() - clock)


@contextmanager
def asking(site: Site, path: str = "/", visitors: int = 2, pause: float = 0) -> Iterator[list[Answer | OSError]]:
    """Visitors ask on and on while the block runs, each request on a connection of its own; what came of it.

    `pause`: seconds that each visitor waits before the next request; without, they take all that the machine has.
    """
    answers: list[Answer | OSError] = []
    done = threading.Event()

    def ask_on() -> None:
        while not done.wait(pause):
            try:
                answers.append(site.get(path))
            except OSError as error:
                answers.append(error)
            except http.client.HTTPException as error:  # cut, or no HTTP
                answers.append(ConnectionAbortedError(f"{type(error).__name__}: {error}"))

    threads = [threading.Thread(target=ask_on) for _visitor in range(visitors)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()


def failed(answers: Sequence[Answer | OSError]) -> list[Answer | OSError]:
    """Those that are no answer with status 200."""
    return [answer for answer in answers if not isinstance(answer, Answer) or answer.status != 200]
