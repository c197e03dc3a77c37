# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accepts visitors at the socket of a release that is stopped, and hands them to the release that runs next.

The proxy reaches an app through ``current/app.sock``. While no server may run, a socket of ours takes the place of that
file: requests, POSTs too, wait there as they were sent, and are relayed byte by byte to whichever release serves in the
end. From :data:`HOLD_SECONDS` on they are answered with 503 and Retry-After instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

# Shorter than the proxy's default timeout, so that the visitor gets this answer and not the proxy's.
HOLD_SECONDS = 30.0
# How long requests that were handed on may take before the run ends without them.
RELAY_SECONDS = 30.0
BACKLOG = 2048  # visitors in the queue, as the socket of a release has it (app@.socket)
UNREAD_SECONDS = 2.0  # in which a visitor who is answered with 503 may send the rest of the request
CONNECTING = 100  # attempts, a tenth of a second apart
READ_AHEAD = 16_384  # bytes of each request; the rest waits in the kernel
SPARE = ".hold.sock"  # a second name of our socket, beside the server's
BODY = b"This site is being updated. Try again in a few seconds.\n"
UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nCache-Control: no-store\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


class Hold:
    """Holds the visitors of one app from :meth:`begin` to :meth:`end`.

    :param sock: the socket's path, which the proxy connects to; there is one of a server at the beginning.
    :param seconds: after which visitors are answered with 503.
    """

    def __init__(self, sock: Path, seconds: float = HOLD_SECONDS) -> None:
        self.sock, self.seconds = sock, seconds
        self.spare = sock.with_name(SPARE)
        self.until = 0.0
        self.target: Path | None = None
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _loop, _context: None)  # a connection that breaks concerns no one else
        self.is_over = asyncio.Event()
        self.visitors: set[asyncio.Task[None]] = set()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def begin(self) -> None:
        """Take the place of the server's socket. What is in that one's queue already stays the server's."""
        status = self.sock.stat()
        self.spare.unlink(missing_ok=True)
        self.listener.bind(str(self.spare))
        os.chmod(self.spare, status.st_mode & 0o777)
        os.chown(self.spare, status.st_uid, status.st_gid)
        self.listener.listen(BACKLOG)
        self.until = time.monotonic() + self.seconds
        self.thread.start()
        self.call(asyncio.start_unix_server(self.visit, sock=self.listener, limit=READ_AHEAD, backlog=BACKLOG))
        self.take_place()

    def take_place(self) -> None:
        """Put the socket where the proxy looks, atomically; again after a unit of systemd's may have removed it."""
        temporary = self.sock.with_name(".hold.new")
        temporary.unlink(missing_ok=True)
        os.link(self.spare, temporary)
        os.rename(temporary, self.sock)
        temporary.unlink(missing_ok=True)  # a rename onto the same file does nothing

    def hand_over(self, sock: Path) -> None:
        """Hand those who wait, and those who still come, to the server behind a socket."""
        self.target = sock
        self.loop.call_soon_threadsafe(self.is_over.set)

    def end(self, seconds: float = RELAY_SECONDS) -> None:
        """Wait until those who were handed over have their answers, and give up the socket."""
        until = time.monotonic() + seconds
        while self.visitors and time.monotonic() < until:
            time.sleep(0.05)
        self.call(self.dismiss())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.listener.close()
        give_up(self.sock)

    def call(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the thread's event loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(10)

    async def dismiss(self) -> None:
        """End the connections that are left."""
        for visitor in (left := list(self.visitors)):
            visitor.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the proxy's."""
        task = asyncio.current_task()
        if task:
            self.visitors.add(task)
        try:
            await within(max(0.0, self.until - time.monotonic()), self.is_over.wait())
            if has_left(writer):
                return  # it would be served without anyone who sees the answer
            if not self.target or not await relay(reader, writer, self.target):
                writer.write(UNAVAILABLE)
                await writer.drain()
                writer.write_eof()
                await within(UNREAD_SECONDS, discard(reader))  # unread bytes would reset the connection
        except OSError:
            pass
        finally:
            writer.close()
            if task:
                self.visitors.discard(task)


def give_up(sock: Path) -> bool:
    """Remove the sockets of a hold that is over, or whose run was killed; whether one stood in the server's place.

    :param sock: the path of the server's socket.
    """
    spare = sock.with_name(SPARE)
    is_held = sock.exists() and spare.exists() and sock.samefile(spare)
    if is_held:
        sock.unlink()
    spare.unlink(missing_ok=True)
    return is_held


async def discard(reader: asyncio.StreamReader) -> None:
    """Read what one side sends until it ends, and keep none of it."""
    while await reader.read(READ_AHEAD):
        pass


async def within(seconds: float, what: Coroutine[Any, Any, Any]) -> None:
    """Wait for something, but no longer than that."""
    task = asyncio.ensure_future(what)
    await asyncio.wait({task}, timeout=seconds)
    task.cancel()


def has_left(writer: asyncio.StreamWriter) -> bool:
    """Whether the other side has closed the connection."""
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), select.POLLHUP)
    return bool(poll.poll(0))


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sock: Path) -> bool:
    """Pass a request on to a server, and its answer back, until the server ends it; False when it takes none."""
    connection = await connect(sock)
    if not connection:
        return False
    from_server, to_server = await asyncio.open_unix_connection(sock=connection)
    request = asyncio.ensure_future(copy(reader, to_server))
    try:
        await copy(from_server, writer)
    finally:
        request.cancel()
        to_server.close()
    return True


async def connect(sock: Path) -> socket.socket | None:
    """Connect to a server. Not by asyncio, which takes a queue that is full for a connection on its way."""
    for _attempt in range(CONNECTING):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(str(sock))
        except BlockingIOError:  # all come at once
            connection.close()
            await asyncio.sleep(0.1)
        except OSError:
            break
        else:
            return connection
    connection.close()
    return None


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what one side sends until it ends, and then say so."""
    with contextlib.suppress(OSError):
        while block := await reader.read(READ_AHEAD):
            writer.write(block)
            await writer.drain()
        writer.write_eof()
