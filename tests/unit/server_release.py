"""A release with its server, started as systemd starts it: the socket is descriptor 3, READY comes on another."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from ansible_collections.groundwork.flask.plugins.plugin_utils import servers
from ansible_collections.groundwork.flask.tests.unit.patience import PATIENCE, wait_until


class Visitor(http.client.HTTPConnection):
    """A connection to the socket, as the proxy opens one."""

    def __init__(self, path: Path) -> None:
        super().__init__("shop.example.org", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self.path))

    def ask(self, path: str = "/", body: bytes | None = None, **headers: str) -> list[str]:
        """What the app answers, as words."""
        self.request("POST" if body is not None else "GET", path, body, headers)
        answer = self.getresponse()
        assert answer.status == 200
        return answer.read().decode().split()


class Release:
    """A release's directory with a launcher in it, and what stands for systemd.

    :param launcher: the program, below the role's files.
    :param app: the code of the app; it may wait for the pipe ``go-on`` beside it after it has made the file ``began``.
    """

    def __init__(self, top: Path, launcher: str, app: str) -> None:
        self.top, self.socket = top, top / "app.sock"
        for directory in ("entry", "code", "run"):
            (top / directory).mkdir()
        self.launcher = shutil.copy(servers.FILES / launcher, top)
        shutil.copy(servers.FILES / servers.ENTRY, top / "entry")
        (top / "code/shop.py").write_text(app)
        os.mkfifo(top / "code/go-on")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(top / "notify"))
        self.notify.settimeout(PATIENCE)
        self.settings: dict[str, Any] = {"workers": None, "worker_memory": 100, "threads": 4, "options": {}}
        self.running: list[subprocess.Popen[str]] = []

    def start(self, workers: int = 1, app: str = "shop:app") -> subprocess.Popen[str]:
        """Start the server; it gets the socket as descriptor 3."""
        (self.top / "server.json").write_text(json.dumps(self.settings))
        give = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
        listener = self.listener.fileno()
        process = subprocess.Popen(
            (sys.executable, "-c", give, str(listener), self.launcher),
            pass_fds=(listener, 3) if listener != 3 else (3,),
            env={
                "WSGI_APP": app,
                "GROUNDWORK_WORKERS": str(workers),
                "GROUNDWORK_PROXY_FIX": "0",
                "RUNTIME_DIRECTORY": str(self.top / "run"),
                "NOTIFY_SOCKET": str(self.top / "notify"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def ready(self, workers: int = 1) -> subprocess.Popen[str]:
        """Start the server and wait until it says that it is ready."""
        process = self.start(workers)
        assert self.notify.recv(100) == b"READY=1"
        return process

    def hold(self) -> tuple[threading.Thread, list[list[str]]]:
        """Begin a request that lasts until it is released; the thread that waits for its answer, and the answer."""
        answers: list[list[str]] = []

        def ask() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # then there is no answer
                answers.append(Visitor(self.socket).ask("/held"))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        wait_until((self.top / "code/began").exists)
        return thread, answers

    def release_held(self) -> None:
        """Let the request that is held be answered."""
        with open(self.top / "code/go-on", "w"):
            pass

    def end(self) -> None:
        """End what still runs."""
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):  # all of its processes have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        self.listener.close()
        self.notify.close()
