# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WSGI servers an app can run under, one record each.

A record says which options the server has, what to install beside the app, and which file a release needs to start it.
Nothing else in the collection knows one server from another: the units start ``<release>/start``, whatever it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import Option

FILES = Path(__file__).parents[2] / "roles" / "wsgi_server" / "files"
ENTRY = "groundwork_wsgi.py"
AT_START = "sitecustomize.py"
ERRORS = ("groundwork_errors.py", "groundwork_filter.py")
WORKERS = "workers.py"

Options = Mapping[str, Any]


# What every server has beside its own: the number of worker processes, and what it follows from when it is not given.
COMMON = {
    # None: (2 x cores) + 1, computed when the app starts; the rule of Gunicorn's own documentation.
    "workers": Option(int, None, 1, 512, doc="Worker processes."),
    # MB a worker is reckoned with when memory is short: a small Flask app with SQLAlchemy takes 60 to 100.
    "worker_memory": Option(int, 100, 16, 65536, doc="MB a worker is reckoned with."),
}


@dataclass(frozen=True)
class Server:
    """A WSGI server.

    :param options: its options by name, beside those in :data:`COMMON`.
    :param fixed: options of the server that cannot be set, because the way it is run here depends on them.
    :param requirements: what pip installs into each release's environment, given the options.
    :param command: what ``start`` executes; ``$release`` is the release's directory.
    :param file: its file in ``roles/wsgi_server/files/<provider>``, which finds the options in ``server.json``.
    :param lines: what is written behind that file's text, for a server that cannot read ``server.json``.
    :param packages: apt packages it needs on the host to be built and to run.
    :param timeout: its option for the seconds a request may take, "" for none.
    :param grace: its option for the seconds that requests get to end when it stops, "" for none.
    :param at_once: the option that says how many requests a worker answers at a time, "" for one that answers one.
    :param refusal: why it cannot have these options with an app of these requirements, as field and sentence.
    """

    options: Mapping[str, Option]
    fixed: frozenset[str]
    requirements: Callable[[Options], list[str]]
    command: str
    file: str
    lines: Callable[[Options], str] = lambda _options: ""
    packages: Callable[[Options], list[str]] = lambda _options: []
    timeout: str = ""
    grace: str = ""
    at_once: Callable[[Options], str] = lambda _options: "threads"
    refusal: Callable[[Options, Iterable[str]], tuple[str, str] | None] = lambda _options, _requirements: None


def seconds(server: str, options: Options) -> tuple[int, int]:
    """How long a request may take, and the server's stop; one that has no such option is given Gunicorn's default."""
    record = SERVERS[server]
    return int(options.get(record.timeout) or 60), int(options.get(record.grace) or 30)


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# What compiles a Python package on Debian and Ubuntu.
COMPILER = ["gcc", "libc6-dev", "python3-dev"]

# --- Gunicorn ----------------------------------------

# 23.0 is the first release without the request smuggling of CVE-2024-6827; 26.0 has no eventlet worker any more.
GUNICORN_EXTRAS = {
    "gevent": "gunicorn[gevent]>=23",
    "eventlet": "gunicorn[eventlet]>=23,<26",
}


def refuse_eventlet(options: Options, requirements: Iterable[str]) -> tuple[str, str] | None:
    """The eventlet worker is for apps alone that stay with a Gunicorn that has it."""
    if options["worker_class"] != "eventlet" or any(map(excludes_gunicorn_26, requirements)):
        return None
    return (
        "worker_class",
        "is not offered: Gunicorn 26 removed the eventlet worker, and eventlet's authors ask not to use it for new "
        "projects: take gevent or gthread, or, to keep it, pin the last Gunicorn that has it among the app's "
        'requirements: `requirements: ["gunicorn[eventlet]==25.3.0"]`',
    )


def excludes_gunicorn_26(requirement: str) -> bool:
    """Whether a requirement allows only versions of Gunicorn before 26."""
    from packaging.requirements import Requirement  # ansible-core brings it
    from packaging.version import Version

    try:
        found = Requirement(requirement.split(" #")[0].split(" --")[0])
        bounds = [(bound.operator, Version(bound.version.removesuffix(".*"))) for bound in found.specifier]
    except ValueError:  # it is no requirement, but an option of pip's, or its version is none
        return False
    return found.name.lower() == "gunicorn" and any(
        (operator == "<" and version <= Version("26")) or (operator in ("==", "<=", "~=") and version < Version("26"))
        for operator, version in bounds
    )


GUNICORN = Server(
    options={
        "worker_class": Option(
            str,
            "gthread",
            choices=("sync", "gthread", "gevent", "eventlet"),
            doc="Kind of worker; eventlet only if the app's requirements pin a Gunicorn before 26, which still has it.",
        ),
        "threads": Option(int, 8, 1, 1024, doc="Threads of each worker; gthread alone uses them."),
        "worker_connections": Option(int, 1000, 1, 100_000, doc="Connections of each gevent worker."),
        "timeout": Option(
            int,
            60,
            1,
            86400,
            doc="Seconds after which a worker that hangs is replaced; with sync the most a request may take.",
        ),
        "graceful_timeout": Option(int, 30, 1, 3600, doc="Seconds that requests get to end at a stop."),
        "keepalive": Option(int, 5, 0, 3600, doc="Seconds that an idle connection is kept."),
        "max_requests": Option(int, 0, 0, 10_000_000, doc="Requests after which a worker is replaced; 0 for never."),
        "max_requests_jitter": Option(
            int,
            0,
            0,
            10_000_000,
            doc="The most that is added to `max_requests` for each worker, so that not all go at once.",
        ),
        # Not the default: a database connection opened at import would be shared by all workers.
        "preload_app": Option(
            bool,
            False,
            doc="Import the app once for all workers: less memory, but a connection opened at import is shared by all.",
        ),
    },
    fixed=words(
        "bind chdir control_socket control_socket_disable daemon forwarded_allow_ips forwarder_headers group pidfile "
        "proxy_allow_ips proxy_protocol pythonpath reload secure_scheme_headers user worker_tmp_dir wsgi_app"
    ),
    requirements=lambda options: [GUNICORN_EXTRAS.get(options["worker_class"], "gunicorn>=23")],
    command='"$release/venv/bin/gunicorn" --config "$release/gunicorn.conf.py"',
    file="gunicorn.conf.py",
    timeout="timeout",
    grace="graceful_timeout",
    at_once=lambda options: {"sync": "", "gthread": "threads"}.get(options["worker_class"], "worker_connections"),
    refusal=refuse_eventlet,
)

# --- uWSGI ----------------------------------------


def uwsgi_lines(options: Options) -> str:
    """The options as lines of the ini file: threads, or greenlets instead of them."""
    own = {
        name: value for name, value in options.items() if name in UWSGI.options and name not in ("package", "gevent")
    }
    if options["gevent"]:
        own |= {"gevent": options["gevent"], "gevent-monkey-patch": True}
        del own["threads"]
    own |= {"reload-mercy": own["worker-reload-mercy"]}
    lines = []
    for name, value in {**own, **options["options"]}.items():
        for one in value if isinstance(value, list) else [value]:
            lines.append(f"{name} = {str(one).lower() if isinstance(one, bool) else one}\n")
    return "".join(lines)


UWSGI = Server(
    options={
        # pyuwsgi is the same program in wheels, a release behind at times; uwsgi is compiled on the host.
        "package": Option(str, "pyuwsgi", choices=("pyuwsgi", "uwsgi"), doc="Which package brings it."),
        "threads": Option(int, 8, 1, 1024, doc="Threads of each worker; 1 for processes alone."),
        "gevent": Option(int, 0, 0, 100_000, doc="Greenlets of each worker instead of threads; 0 for threads."),
        # Off as in uWSGI itself: it ends the whole process, with what its other threads are at.
        "harakiri": Option(
            int,
            0,
            0,
            86400,
            doc="Seconds after which a request is ended, and with it the worker and its other threads; 0 for never.",
        ),
        "worker-reload-mercy": Option(int, 30, 1, 3600, doc="Seconds that requests get to end at a stop."),
        "max-requests": Option(int, 0, 0, 10_000_000, doc="Requests after which a worker is replaced; 0 for never."),
        "max-requests-delta": Option(
            int, 0, 0, 10_000_000, doc="Added to `max-requests` for each worker, so that not all go at once."
        ),
        "buffer-size": Option(int, 32768, 4096, 65535, doc="Bytes of a request's headers."),
        # False imports the app once for all workers, which saves memory; see Gunicorn's preload_app.
        "lazy-apps": Option(
            bool, True, doc="False: import the app once for all workers; see Gunicorn's `preload_app`."
        ),
    },
    fixed=words(
        "chdir daemonize daemonize2 die-on-term enable-threads gevent-monkey-patch gid hook-master-start home http "
        "http-socket master module mount need-app no-orphans pidfile processes protocol pythonpath pyhome reload-mercy "
        "socket strict uid virtualenv wsgi wsgi-file"
    ),
    requirements=lambda options: [
        f"{options['package']}>=2.0.28",  # the first for Python 3.13
        *(["gevent"] if options["gevent"] else []),
    ],
    packages=lambda options: COMPILER if options["package"] == "uwsgi" else [],
    command='"$release/venv/bin/uwsgi" --ini "$release/uwsgi.ini"',
    file="uwsgi.ini",
    lines=uwsgi_lines,
    timeout="harakiri",
    grace="worker-reload-mercy",
    at_once=lambda options: "gevent" if options["gevent"] else "threads",
)

# --- Waitress ----------------------------------------

WAITRESS = Server(
    options={
        "threads": Option(int, 8, 1, 1024, doc="Threads of each worker."),
        "connection_limit": Option(int, 1000, 1, 100_000, doc="Connections that a worker holds."),
        "channel_timeout": Option(int, 120, 1, 86400, doc="Seconds after which a silent connection is closed."),
        "max_request_header_size": Option(int, 262_144, 1024, 10_000_000, doc="Bytes of a request's headers."),
        # Not Waitress's own, which ends at once.
        "graceful_timeout": Option(
            int, 30, 1, 3600, doc="Seconds that requests get to end at a stop; not Waitress's own, which cuts them."
        ),
    },
    fixed=words(
        "asyncore_use_poll clear_untrusted_proxy_headers host listen port server_name sockets trusted_proxy "
        "trusted_proxy_count trusted_proxy_headers unix_socket unix_socket_perms url_scheme"
    ),
    # 3.0.1 is the first release without the request smuggling of CVE-2024-49768. The launcher reaches into Waitress to
    # stop without cutting a request, which only a new major version may break.
    requirements=lambda _options: ["waitress>=3.0.1,<4"],
    command='"$release/venv/bin/python" "$release/waitress_server.py"',
    file="waitress_server.py",
    grace="graceful_timeout",
)

# --- mod_wsgi ----------------------------------------

MOD_WSGI = Server(
    options={
        "threads": Option(int, 8, 1, 1024, doc="Threads of each worker."),
        "request-timeout": Option(
            int, 60, 1, 86400, doc="Seconds that a worker's requests may take on average before it is replaced."
        ),
        # mod_wsgi's own 15 would end an app that imports slowly.
        "startup-timeout": Option(int, 60, 1, 3600, doc="Seconds to import the app."),
        "queue-timeout": Option(int, 45, 1, 3600, doc="Seconds that a request may wait for a worker."),
        "deadlock-timeout": Option(int, 60, 1, 3600, doc="Seconds after which a worker that hangs is replaced."),
        "maximum-requests": Option(
            int, 0, 0, 10_000_000, doc="Requests after which a worker is replaced; 0 for never."
        ),
    },
    fixed=words(
        "application-type entry-point group host http2 https-only https-port include-file limit-request-body locale "
        "log-to-terminal port processes python-path server-root trust-proxy trust-proxy-header user working-directory"
    ),
    requirements=lambda _options: ["mod_wsgi>=6"],
    packages=lambda _options: ["apache2-bin", "apache2-dev", *COMPILER],
    command='"$release/venv/bin/python" "$release/mod_wsgi_server.py"',
    file="mod_wsgi_server.py",
    timeout="request-timeout",
)

SERVERS: Mapping[str, Server] = {"gunicorn": GUNICORN, "uwsgi": UWSGI, "waitress": WAITRESS, "mod_wsgi": MOD_WSGI}
DEFAULT = "gunicorn"


def options_of(provider: str) -> dict[str, Option]:
    """All options of a server, its own and those that each has, with the roles whose input each changes."""
    server = SERVERS[provider]
    roles = {server.timeout: ("proxy", "release"), server.grace: ("release", "wsgi_server")}
    return {
        name: replace(one, roles=roles.get(name, ("release",)), defines=True)
        for name, one in {**COMMON, **server.options}.items()
    }


# What others call the number of workers, and where.
OTHER_NAMES = {"processes": "workers", "worker_processes": "workers"}


def choose_workers(asked: int | None, cores: int, memory: int, each: int) -> int:
    """How many workers a server starts with on a host, by the rule that it follows there.

    :param memory: of the host, in MB; ``each`` what a worker is reckoned with. A limit on the app's unit may make it
        fewer.
    """
    return int(started().choose_workers(asked, cores, memory, each)[0])


@cache
def started() -> Any:
    """The program that chooses the number, which is a file of each release, as a module."""
    module = ModuleType("workers")
    SourceFileLoader(module.__name__, str(FILES / WORKERS)).exec_module(module)
    return module


def release_files(provider: str, options: Options) -> dict[str, str]:
    """The files of a release that start its server, by their path in the release."""
    server = SERVERS[provider]
    start = (
        f'#!/bin/sh\nrelease="${{0%/*}}"\nexec "$release/venv/bin/python" -I -S "$release/{WORKERS}" {server.command}\n'
    )
    return {
        "start": start,
        WORKERS: (FILES / WORKERS).read_text(),
        server.file: (FILES / provider / server.file).read_text() + server.lines(options),
        "server.json": json.dumps({"provider": provider, **options}, indent=1, sort_keys=True) + "\n",
        **{f"entry/{name}": (FILES / name).read_text() for name in (ENTRY, AT_START, *ERRORS)},
    }
