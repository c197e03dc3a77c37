"""Runs Waitress on the socket that systemd passes, in one process or several, and stops it without cutting a request.

Waitress itself takes no listening socket from outside, has no worker processes, and ends at SIGTERM whatever it is at.
"""

import contextlib
import functools
import importlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import waitress

RELEASE = Path(__file__).resolve().parent
SETTINGS = json.loads((RELEASE / "server.json").read_text())
RESPAWN_SECONDS = 0.5  # a worker that ends again and again must not take the machine
# What the settings hold beside Waitress's own arguments.
OWN = ("provider", "workers", "worker_memory", "graceful_timeout", "options")


def notify_ready() -> None:
    """Tell systemd that visitors are answered."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", address.replace("@", "\0", 1))


def load() -> Any:
    """The app, through the entry of all servers."""
    code = os.environ.get("GROUNDWORK_DIRECTORY") or str(RELEASE / "code")
    os.chdir(code)
    sys.path[:0] = [str(RELEASE / "entry"), code]
    return importlib.import_module("groundwork_wsgi").application


def serve(listener: socket.socket, application: Any) -> None:
    """Answer until SIGTERM, then finish what has begun; ``graceful_timeout`` seconds at the most."""
    settings = {name: value for name, value in SETTINGS.items() if name not in OWN}
    server = waitress.create_server(
        application,
        sockets=[listener],
        clear_untrusted_proxy_headers=False,  # the entry's ProxyFix decides alone whom to believe
        asyncore_use_poll=True,
        **settings,
        **SETTINGS["options"],
    )
    stop_by: list[float] = []

    def stop(*_signal: object) -> None:
        stop_by.append(time.monotonic() + SETTINGS["graceful_timeout"])
        server.pull_trigger()

    def busy() -> bool:
        channels = list(server.active_channels.values())
        return any(channel.requests or channel.request or channel.total_outbufs_len for channel in channels)

    signal.signal(signal.SIGTERM, stop)
    turn = functools.partial(server.asyncore.loop, count=1, map=server._map, use_poll=True)
    while not stop_by:
        turn(timeout=1)
    server._map.pop(listener.fileno(), None)  # accept no more; the socket stays systemd's
    turn(timeout=0)  # read what has already arrived
    while busy() and time.monotonic() < stop_by[0]:
        turn(timeout=0.1)


def finish_errors() -> None:
    """Give the error tracker a moment for what is not sent yet; Python's own end is left out."""
    if errors := sys.modules.get("groundwork_errors"):
        errors.finish()


class Workers:
    """Processes that each import the app and answer on the one socket; one that ends is replaced."""

    def __init__(self, listener: socket.socket, count: int) -> None:
        self.listener, self.count = listener, count
        self.alive: set[int] = set()
        self.stopping = False

    def run(self) -> None:
        """Start the workers and replace those that end, until SIGTERM; exit with 1 if one cannot import the app."""
        signal.signal(signal.SIGTERM, self.stop)
        begun = [self.fork() for _worker in range(self.count)]
        if not all(os.read(ready, 1) for ready in begun):
            sys.exit("a worker could not import the app; see above")
        notify_ready()
        while self.alive:
            ended, status = os.wait()
            self.alive.discard(ended)
            if not self.stopping:
                print(f"a worker ended with exit status {os.waitstatus_to_exitcode(status)}", flush=True)
                time.sleep(RESPAWN_SECONDS)
                os.close(self.fork())

    def fork(self) -> int:
        """One more worker, unless all stop; the pipe that is returned gets a byte when it has imported the app."""
        ready, tell = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # a stop between the two would miss it
        if not self.stopping:
            if not (worker := os.fork()):
                self.work(tell)
            self.alive.add(worker)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.close(tell)
        return ready

    def work(self, tell: int) -> NoReturn:
        """Serve in the new process until SIGTERM, then end it; it never returns."""
        status = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            application = load()
            with contextlib.suppress(BrokenPipeError):  # nobody waits for one that replaces another
                os.write(tell, b"1")
            serve(self.listener, application)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            finish_errors()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def stop(self, *_signal: object) -> None:
        """Tell all workers to finish what has begun and end."""
        self.stopping = True
        for worker in self.alive:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(worker, signal.SIGTERM)


def main() -> None:
    """Serve on descriptor 3 with as many processes as GROUNDWORK_WORKERS says."""
    listener = socket.socket(fileno=3)
    workers = int(os.environ["GROUNDWORK_WORKERS"])
    if workers > 1:
        Workers(listener, workers).run()
        return
    application = load()
    notify_ready()
    serve(listener, application)
    finish_errors()
    sys.stdout.flush()
    os._exit(0)  # threads that the app started must not hold up the stop


if __name__ == "__main__":
    main()
