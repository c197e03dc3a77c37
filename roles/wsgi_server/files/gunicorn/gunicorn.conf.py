"""Gunicorn's settings: those of the release, and what belongs to how it is run here."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from gunicorn.config import KNOWN_SETTINGS

RELEASE = Path(__file__).resolve().parent
SETTINGS = json.loads((RELEASE / "server.json").read_text())

workers = int(os.environ["GROUNDWORK_WORKERS"])
worker_class = SETTINGS["worker_class"]
threads = SETTINGS["threads"] if worker_class == "gthread" else 1
worker_connections = SETTINGS["worker_connections"]
timeout = SETTINGS["timeout"]
graceful_timeout = SETTINGS["graceful_timeout"]
keepalive = SETTINGS["keepalive"]
max_requests = SETTINGS["max_requests"]
max_requests_jitter = SETTINGS["max_requests_jitter"]
preload_app = SETTINGS["preload_app"]
if unknown := SETTINGS["options"].keys() - {setting.name for setting in KNOWN_SETTINGS}:
    raise ValueError(f"this Gunicorn has no setting {', '.join(sorted(unknown))} (server.options)")
globals().update(SETTINGS["options"])

wsgi_app = "groundwork_wsgi"
pythonpath = str(RELEASE / "entry")
chdir = os.environ.get("GROUNDWORK_DIRECTORY") or str(RELEASE / "code")
worker_tmp_dir = os.environ.get("RUNTIME_DIRECTORY")  # in memory: a slow disk must not look like a stuck worker
control_socket_disable = True
# The entry's ProxyFix decides alone whom to believe; Gunicorn would trust whoever can reach its socket.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


def end_at_sigterm() -> None:
    """Have a process of the app's own end at a signal; the handlers that it has of the worker only note one."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


def post_fork(_server: Any, _worker: Any) -> None:
    """In a new worker: what it forks later, by multiprocessing for example, is a process of the app's own.

    A worker that ends waits for these, until Gunicorn's ``graceful_timeout`` is over if they do not end.
    """
    os.register_at_fork(after_in_child=end_at_sigterm)
