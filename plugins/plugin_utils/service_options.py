# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an app stands on beside its web server: processes, scheduled jobs, a database and Redis."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from ansible_collections.groundwork.flask.plugins.module_utils.common.options import option, options
from ansible_collections.groundwork.flask.plugins.module_utils.release import process_kinds
from ansible_collections.groundwork.flask.plugins.plugin_utils import schedules
from ansible_collections.groundwork.flask.plugins.plugin_utils.reader import Problems, Reader

Record = TypeVar("Record")

# The name of a process or a job: a part of a unit's name, behind the app's and a dot.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,29}")
# Names that would be those of other units of an app, and what has each.
TAKEN = {
    "web": "the WSGI server, which follows from wsgi_app",
    "pooler": "the connection pooler",
    "redis": "Redis",
    "redis-cache": "the cache in Redis",
}


@dataclass(frozen=True)
class Process:
    """A process that runs for as long as its release is live; its name is its key."""

    command: str = option(
        "",
        required="command: rq worker -u $REDIS_URL",
        doc="Shell command that runs in the release, with the app's environment and in its sandbox.",
        example="rq worker -u $REDIS_URL",
    )
    count: int = option(1, at_least=1, at_most=64, doc="How many of it run beside each other.", example=2)
    kind: str = option(
        "",
        choices={name: kind.doc for name, kind in process_kinds.KINDS.items()},
        doc="The library of which it is a worker, which says how it is told to finish; by default the one whose "
        "program its command starts, else `plain`.",
        example="rq",
    )
    stop_timeout: int = option(
        600,
        at_least=1,
        at_most=86400,
        doc="Seconds that it gets to finish what it does when it is told to end; more than its longest job takes.",
        example=1800,
    )


@dataclass(frozen=True)
class Job:
    """A command that runs on a schedule; its name is its key."""

    command: str = option(
        "",
        required="command: flask report",
        doc="Shell command that runs in the live release, with the app's environment and in its sandbox.",
        example="flask report",
    )
    schedule: str = option(
        "",
        required='schedule: "*-*-* 03:00"',
        doc="When it runs, as systemd's `OnCalendar=` has it, such as `daily`, `Mon..Fri 06:30` or `*:0/15`, in the "
        "host's time zone unless it names one. One that was missed, as while the host was down, is made up for once.",
        example="*-*-* 03:00",
    )
    timeout: int = option(
        3600, at_least=1, at_most=604_800, doc="Seconds after which it is ended, as a failure.", example=600
    )
    on: str = option(
        "first",
        choices={"first": "the first of the app's hosts in the inventory alone", "each": "every host"},
        doc="Which of the app's hosts run it.",
        example="each",
    )
    pool: bool = option(
        True,
        doc="Whether it reaches the database through the pooler where there is one; false for a job that needs a "
        "session of its own, as for advisory locks.",
        example=False,
    )


@dataclass(frozen=True)
class Database:
    """The app's database server. Without a provider and an address there is none; SQLite needs nothing of this."""

    provider: str = option(
        "",
        choices={"postgresql": "PostgreSQL", "mariadb": "MariaDB"},
        doc="Which database server the app gets a database of, on this host: the app reaches it over the unix socket, "
        "and the kernel says who asks, so there is no password. `DATABASE_URL` and `SQLALCHEMY_DATABASE_URI` lead "
        "there.",
        example="postgresql",
        roles=("backup", "database", "release"),
        defines=True,
    )
    url: str = option(
        "",
        doc="Address of a database elsewhere, without a password, which is `DATABASE_PASSWORD` in `flask_app_secrets`. "
        "Its certificate is checked (`sslmode=verify-full`) unless it says otherwise.",
        example="postgresql://shop@db.example.org/shop",
        roles=("release",),
        defines=True,
    )
    pool: bool | None = option(
        None,
        doc="Whether the app reaches PostgreSQL through a pooler of its own, PgBouncer; by default if its workers, "
        "threads, processes and jobs, twice during a deploy, need more connections than the server has.",
        example=True,
        roles=("database",),
    )
    extensions: tuple[str, ...] = option(
        (),
        pattern=r"[a-z][a-z0-9_-]*",
        remedy="write the names of PostgreSQL's extensions, as citext",
        doc="Extensions of PostgreSQL that the database has; what they need of apt stands in `packages`.",
        example=["citext"],
        roles=("database",),
    )
    locale: str = option(
        "C.UTF-8",
        pattern=r"[A-Za-z0-9_.@-]+",
        remedy="is not a locale: write it as C.UTF-8 or de_DE.UTF-8",
        doc="Locale of the database, by which PostgreSQL sorts texts. It is set when the database is created.",
        example="de_DE.UTF-8",
        roles=("database",),
    )


@dataclass(frozen=True)
class Redis:
    """The app's own Redis. Without a purpose there is none."""

    purpose: str = option(
        "",
        choices={
            "queue": "keeps all that is written, on the disk too, and takes no more when its memory is full",
            "cache": "drops what was used least when its memory is full, and starts empty",
            "both": "an instance for each",
        },
        doc="What the app has Redis for. It is reached over a unix socket that the app's user alone can open, at "
        "`REDIS_URL` and, for Celery, `CELERY_BROKER_URL`; a cache is at `CACHE_REDIS_URL` too, and at `REDIS_URL` if "
        "it is alone.",
        example="queue",
        roles=("backup", "redis", "release"),
        defines=True,
    )
    maxmemory: str = option(
        "128mb",
        pattern=r"[1-9]\d{0,5}(kb|mb|gb)",
        remedy="is not an amount of memory: write it as 128mb",
        doc="Memory of each instance, as Redis writes it.",
        example="256mb",
        roles=("redis",),
    )


def read_processes(app: Reader) -> dict[str, dict[str, Any]]:
    """The processes of an app, by name, each of a kind."""
    found = read_named(app, "processes", Process)
    for name, one in found.items():
        one["kind"] = one["kind"] or process_kinds.kind_of(one["command"])
        if one["kind"] in process_kinds.KINDS:
            app.problems += [
                f"{app.field('processes')}.{name}.{option}: {one[option]} {sentence}"
                for option, sentence in process_kinds.traps(**one)
            ]
    return found


def read_jobs(app: Reader) -> dict[str, dict[str, Any]]:
    """The jobs of an app, by name. Whether a schedule means anything is found out on a host."""
    found = read_named(app, "jobs", Job)
    for name, one in found.items():
        where = f"{app.field('jobs')}.{name}.schedule"
        if one["schedule"] and (sentence := schedules.problem(one["schedule"])):
            app.problems.append(f"{where}: {one['schedule']!r} {sentence}")
    return found


def with_on(entry: Any) -> Any:
    """An entry in which the key `on` is a text: YAML makes the truth value of it unless it is quoted."""
    if not isinstance(entry, Mapping):
        return entry
    return {("on" if str(key) == "True" else key): value for key, value in entry.items()}


def read_named(app: Reader, key: str, of: type[Record]) -> dict[str, dict[str, Any]]:
    """The processes or the jobs of an app, by name."""
    given = app.given.get(key)
    if given is not None and not isinstance(given, Mapping):
        app.problem(key, given, "is not a map: write each as `name: {command: …}`")
    found = {}
    for name, entry in given.items() if isinstance(given, Mapping) else ():
        where = f"{app.field(key)}.{name}"
        app.problems += name_problems(where, str(name))
        read = Reader(where, with_on(entry), app.problems, options(of))
        app.problems += [
            f"{read.field(inner)} is missing: write `{one.required}`"
            for inner, one in options(of).items()
            if one.required and not str(read.given.get(inner) or "").strip()
        ]
        found[str(name)] = asdict(of(**read.values(options(of))))  # type: ignore[call-overload]  # it is a dataclass
    return found


def name_problems(where: str, name: str) -> Problems:
    """What is wrong with the name of a process or a job."""
    if not NAME.fullmatch(name):
        return [f"{where}: {name!r} cannot be a name: use at most 30 of a-z, 0-9, - and _, beginning with a letter"]
    return [f"{where}: {name!r} is the name of {TAKEN[name]}: choose another"] if name in TAKEN else []


def same_names(where: str, processes: Mapping[str, Any], jobs: Mapping[str, Any]) -> Problems:
    """Processes and jobs share the names of units.

    :param where: the app, as in ``flask_apps.shop``.
    """
    return [f"{where}.jobs.{name} is the name of a process too: choose another" for name in jobs if name in processes]
