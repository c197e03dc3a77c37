# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libraries of which a process may be a worker: how each is told to finish, and what would keep it from that."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

PLAIN = "plain"
# Seconds after which Dramatiq gives up on jobs that do not end, unless its command says otherwise.
DRAMATIQ_SECONDS = 600
ASSIGNMENT = re.compile(r"\w+=.*", re.ASCII | re.DOTALL)
Trap = tuple[str, str]  # an option of the process, and the rest of the sentence about it


@dataclass(frozen=True)
class ProcessKind:
    """A library.

    :ivar doc: what it is, for the reference.
    :ivar package: the package that a release needs for it; "" for none.
    :ivar programs: the programs by which a command is known to be one of its workers.
    :ivar signal: tells it to finish what it has begun, and to take nothing more.
    :ivar traps: what of a command (its argument vector, how many of it run, its stop_timeout) would lose jobs.
    """

    doc: str
    package: str = ""
    programs: tuple[str, ...] = ()
    signal: str = "SIGTERM"
    traps: Callable[[Sequence[str], int, int], Iterable[Trap]] = lambda _argv, _count, _seconds: ()


def celery_traps(argv: Sequence[str], count: int, _seconds: int) -> Iterable[Trap]:
    """Each beat puts every task into the queue."""
    if count > 1 and {"beat", "-B", "--beat"} & set(argv):
        yield "count", "is too many of `celery beat`, each of which queues every task: write 1"


def dramatiq_traps(argv: Sequence[str], _count: int, seconds: int) -> Iterable[Trap]:
    """Dramatiq has a limit of its own."""
    option = "--worker-shutdown-timeout"
    if seconds > DRAMATIQ_SECONDS and not any(word.startswith(option) for word in argv):
        yield (
            "stop_timeout",
            f"is more than the {DRAMATIQ_SECONDS} s after which Dramatiq ends its jobs by itself: add "
            f"`{option} {1000 * seconds}` to the command",
        )


KINDS: Mapping[str, ProcessKind] = {
    PLAIN: ProcessKind("ends at SIGTERM when it has finished what it does"),
    "rq": ProcessKind("RQ, `rq worker` or `rq worker-pool`", "rq", ("rq", "rqworker")),
    "celery": ProcessKind("Celery, `celery worker` or `celery beat`", "celery", ("celery",), traps=celery_traps),
    "dramatiq": ProcessKind("Dramatiq, `dramatiq`", "dramatiq", ("dramatiq", "dramatiq-gevent"), traps=dramatiq_traps),
    "huey": ProcessKind(
        "Huey, `huey_consumer`, which finishes its jobs at SIGINT alone",
        "huey",
        ("huey_consumer", "huey_consumer.py"),
        signal="SIGINT",
    ),
}


def argv_of(command: str) -> list[str]:
    """The argument vector of a command, from its program on; empty where it is not known."""
    try:
        argv = shlex.split(command)
    except ValueError:
        return []
    while argv and (argv[0] in ("exec", "env") or ASSIGNMENT.fullmatch(argv[0])):
        del argv[0]
    if len(argv) > 2 and re.fullmatch(r"(.*/)?python[\d.]*", argv[0]) and argv[1] == "-m":
        del argv[:2]
    return argv


def kind_of(command: str) -> str:
    """The library whose worker a command starts."""
    program = next(iter(argv_of(command)), "").rpartition("/")[2]
    return next((name for name, kind in KINDS.items() if program in kind.programs), PLAIN)


def traps(command: str, kind: str, count: int, stop_timeout: int) -> list[Trap]:
    """What is wrong with a process."""
    return list(KINDS[kind].traps(argv_of(command), count, stop_timeout))
