"""Runs mod_wsgi: an Apache of the app's own on a loopback port, and a bridge to it from the socket that systemd passes.

Apache cannot listen on a unix socket. Its port is open to every program on the host, which could tell the app anything
about its visitor; so the bridge puts a header with a secret name into each request, and Apache refuses one without it.
The bridge takes no more visitors at once than the app has threads for: the others wait in the socket's queue, where no
accident reaches them.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

RELEASE = Path(__file__).resolve().parent
RUNTIME = Path(os.environ["RUNTIME_DIRECTORY"])
SETTINGS = json.loads((RELEASE / "server.json").read_text())
WORKERS = int(os.environ["GROUNDWORK_WORKERS"])
# What the settings hold beside mod_wsgi-express's own options.
OWN = ("provider", "workers", "worker_memory", "options")
SPARE_VISITORS = 2  # a few more than threads, so that no thread waits for its next request
SECRET_HEADER = f"X-Groundwork-{secrets.token_hex(16)}"
CONFIGURATION = f"""\
<Location "/">
    AuthMerging And
    Require expr "req('{SECRET_HEADER}') == 'bridge'"
</Location>
RequestHeader unset {SECRET_HEADER}
# As with the other servers, a path with %2F in it is the app's to judge.
AllowEncodedSlashes On
"""


def command(port: int, configuration: Path) -> list[str]:
    """How Apache is started; it stays in the foreground."""
    options = {
        "application-type": "module",
        "host": "127.0.0.1",
        "port": port,
        "server-root": RUNTIME / "apache",
        "working-directory": os.environ.get("GROUNDWORK_DIRECTORY") or RELEASE / "code",
        "python-path": RELEASE / "entry",
        "include-file": configuration,
        "locale": "C.UTF-8",
        "limit-request-body": 0,  # the proxy has one
        "log-to-terminal": True,
        "disable-reloading": True,
        "processes": WORKERS,
        **{name: value for name, value in SETTINGS.items() if name not in OWN},
        **SETTINGS["options"],
    }
    words = [str(RELEASE / "venv/bin/mod_wsgi-express"), "start-server", "groundwork_wsgi"]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [] if one is False else [f"--{name}"] if one is True else [f"--{name}", str(one)]
    return words


def free_port() -> int:
    """A loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def wait_for(port: int) -> None:
    """Until Apache accepts connections."""
    while True:
        with contextlib.suppress(OSError):
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)


def notify_ready() -> None:
    """Tell systemd that visitors are answered."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1))


async def readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Until there is something to read, or to accept."""
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until there is no more."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


class Bridge:
    """Passes visitors on to Apache."""

    def __init__(self, listener: socket.socket, port: int) -> None:
        self.listener, self.port = listener, port
        self.slots = asyncio.Semaphore(WORKERS * SETTINGS["threads"] + SPARE_VISITORS)
        self.visits: set[asyncio.Task[None]] = set()
        listener.setblocking(False)

    async def accept(self) -> None:
        """Accept connections for ever, no more at once than there are slots."""
        loop = asyncio.get_running_loop()
        while True:
            await self.slots.acquire()
            # Not sock_accept(): one who comes in the moment in which it is cancelled would be accepted and forgotten.
            await readable(loop, self.listener)
            try:
                visitor, _address = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                self.slots.release()
            else:
                self.begin(visitor)

    def begin(self, visitor: socket.socket) -> None:
        """Serve a connection in a task of its own; its slot is taken already."""
        visit = asyncio.create_task(self.visit(visitor))
        self.visits.add(visit)
        visit.add_done_callback(self.end)

    def end(self, visit: asyncio.Task[None]) -> None:
        """Give the slot of a connection that has ended to the next one."""
        self.visits.discard(visit)
        self.slots.release()

    async def visit(self, visitor: socket.socket) -> None:
        """One connection, which the proxy uses for one request; a second one would lack the header and be refused."""
        reader, writer = await asyncio.open_unix_connection(sock=visitor)
        writers = [writer]
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            request_line = await reader.readuntil(b"\n")
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.port)
            writers.append(inner_writer)
            inner_writer.write(request_line + f"{SECRET_HEADER}: bridge\r\n".encode())
            there = asyncio.create_task(copy(reader, inner_writer))
            await copy(inner_reader, writer)
            there.cancel()
            await asyncio.gather(there, return_exceptions=True)
        for end in writers:
            end.close()

    async def finish(self) -> None:
        """Take in those who wait already, and see all of them served."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.begin(self.listener.accept()[0])
        while self.visits:
            await asyncio.wait(self.visits)


async def main() -> None:
    """Start Apache, pass connections on until SIGTERM, then finish those that have begun."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    configuration = RUNTIME / "bridge.conf"
    configuration.write_text(CONFIGURATION)
    port = free_port()
    apache = await asyncio.create_subprocess_exec(*command(port, configuration))
    ended, stopped = asyncio.create_task(apache.wait()), asyncio.create_task(stop.wait())
    await asyncio.wait({ended, stopped, asyncio.create_task(wait_for(port))}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        sys.exit(f"Apache ended with exit status {apache.returncode}")
    if stopped.done():  # no visitor has been taken in yet: they wait for the next server
        apache.terminate()
        await ended
        return
    bridge = Bridge(socket.socket(fileno=3), port)
    accepting = asyncio.create_task(bridge.accept())
    notify_ready()
    await asyncio.wait({ended, stopped, accepting}, return_when=asyncio.FIRST_COMPLETED)
    accepting.cancel()
    if ended.done():
        sys.exit(f"Apache ended with exit status {apache.returncode}")
    await asyncio.wait({ended, asyncio.create_task(bridge.finish())}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        apache.terminate()
        await ended


if __name__ == "__main__":
    asyncio.run(main())
