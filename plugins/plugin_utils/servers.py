# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WSGI servers an app can run under, one record each.

A record says which options the server has, what to install beside the app, and which files a release needs to start it.
Nothing else in the collection knows one server from another: the units start ``<release>/start``, whatever it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES = Path(__file__).parents[2] / "roles" / "wsgi_server" / "files"
ENTRY = "groundwork_wsgi.py"


@dataclass(frozen=True)
class Option:
    """One option of a server, in the server's own name.

    :param kind: the type of the value.
    :param default: used when the user says nothing; None leaves it to the server.
    :param at_least: the smallest number allowed; ``at_most`` the largest.
    :param choices: the only values allowed.
    """

    kind: type
    default: Any = None
    at_least: int = 0
    at_most: int = 1_000_000
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Server:
    """A WSGI server.

    :param options: its options by name.
    :param requirements: what pip installs into each release's environment, given the options.
    :param command: what ``start`` executes; ``$release`` is the release's directory.
    :param files: names of its files in ``roles/wsgi_server/files/<provider>``.
    """

    options: Mapping[str, Option]
    requirements: Callable[[Mapping[str, Any]], list[str]]
    command: str
    files: tuple[str, ...]


GUNICORN = Server(
    options={
        # None: (2 x cores) + 1, computed when the app starts; the rule of Gunicorn's own documentation.
        "workers": Option(int, None, 1, 512),
        # MB a worker is reckoned with when memory is short: a small Flask app with SQLAlchemy takes 60 to 100.
        "worker_memory": Option(int, 100, 16, 65536),
        "worker_class": Option(str, "gthread", choices=("sync", "gthread", "gevent")),
        "threads": Option(int, 8, 1, 1024),
        "worker_connections": Option(int, 1000, 1, 100_000),
        "timeout": Option(int, 60, 1, 86400),
        "graceful_timeout": Option(int, 30, 1, 3600),
        "keepalive": Option(int, 5, 0, 3600),
        "max_requests": Option(int, 0, 0, 10_000_000),
        "max_requests_jitter": Option(int, 0, 0, 10_000_000),
        "preload_app": Option(bool, False),
    },
    # 23.0 is the first release without the request smuggling of CVE-2024-6827.
    requirements=lambda options: ["gunicorn[gevent]>=23" if options["worker_class"] == "gevent" else "gunicorn>=23"],
    command='"$release/venv/bin/gunicorn" --config "$release/gunicorn.conf.py"',
    files=("gunicorn.conf.py",),
)

SERVERS: Mapping[str, Server] = {"gunicorn": GUNICORN}
DEFAULT = "gunicorn"

# Values that other tools or older releases accept, and why this one does not.
REFUSED = {
    ("gunicorn", "worker_class", "eventlet"): (
        "Gunicorn 26 removed the eventlet worker and eventlet's authors advise against new use: take gevent or gthread"
    ),
}


def release_files(provider: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The files of a release that start its server, by their path in the release."""
    server = SERVERS[provider]
    files = {name: (FILES / provider / name).read_text() for name in server.files}
    files[f"entry/{ENTRY}"] = (FILES / ENTRY).read_text()
    files["server.json"] = json.dumps(dict(options), indent=1, sort_keys=True) + "\n"
    files["start"] = f'#!/bin/sh\nrelease="${{0%/*}}"\nexec {server.command}\n'
    return files
