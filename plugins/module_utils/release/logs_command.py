# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``shop logs``: the lines of an app's log that are asked for, of all that writes it, in the order of time.

It needs no root where the app's own journal can be read (``logs: {readers: […]}``); systemd's words about the units,
which are in the host's journal, are then left out.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import pwd
import re
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

from ..common import programs
from ..common.programs import ENVIRONMENT
from ..common.text import line as one_line
from .layout import Layout
from .log_lines import Line, is_bad_enough, of_request, raw
from .logs_choice import (
    DEPLOY,
    LEVEL_WORDS,
    LEVELS,
    PROXY,
    Choice,
    command,
    is_wanted,
    listing,
    names,
    recorded_units,
    releases,
)
from .process_command import WEB

LINES, MOST_LINES = 100, 100_000
ENTRY_LIMIT = 2**20  # bytes of one entry that are read
NAMES_LIMIT = 2**18  # bytes of the names of units
REQUEST_LINES = 20_000  # of those written while a request was under way, how many are looked at
SLACK = 2.0  # seconds after the last line with a request's id in which the rest of a traceback is looked for
REQUEST_ID = re.compile(r"[A-Za-z0-9+/=_.-]{6,128}")
UNIT_NAME = re.compile(r"[a-zA-Z0-9@._:\\-]{1,255}")
SECONDS = 60.0  # for what answers at once
ANALYZE = "/usr/bin/systemd-analyze"
JOURNALS = ("var/log/journal", "run/log/journal")


class RefusalError(Exception):
    """An option that cannot be used; the text is a sentence for the operator."""


# --- what is asked ----------------------------------------


def add_arguments(logs: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    logs.add_argument("-f", "--follow", action="store_true", help="go on showing")
    logs.add_argument(
        "-n", "--lines", type=number_of_lines, default=None, metavar="N",
        help=f"the last so many lines ({LINES}; with --since and --request all)",
    )  # fmt: skip
    logs.add_argument("-S", "--since", default="", metavar="TIME", help="from then on, as in -1h or '2026-11-30 03:00'")
    logs.add_argument("-U", "--until", default="", metavar="TIME", help="up to then")
    logs.add_argument(
        "--process", action="append", default=[], metavar="NAME",
        help="of this one: web, proxy, deploy, redis, pooler, a process or a job; several with commas",
    )  # fmt: skip
    logs.add_argument("--release", default="", metavar="ID", help="of this release: its server, processes and deploy")
    logs.add_argument(
        "--request", default="", metavar="ID", help="of this request: the proxy's line, and what the app logged for it"
    )
    logs.add_argument(
        "-p", "--level", default="", metavar="LEVEL", help=f"this level and what is worse: {', '.join(LEVELS)}"
    )
    logs.add_argument("-g", "--grep", default="", metavar="PATTERN", help="only lines that match, as journalctl --grep")
    logs.add_argument("--json", action="store_true", help="all that the journal has of each line, as JSON")


def with_times(words: Sequence[str]) -> list[str]:
    """A command line in which a time such as ``-1h`` is not taken for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("-S", "-U", "--since", "--until") and re.match(r"-\d", word):
            joined[-1] = f"{joined[-1]}={word}" if joined[-1].startswith("--") else f"{joined[-1]}{word}"
        else:
            joined.append(word)
    return joined


def number_of_lines(text: str) -> int:
    """How many lines are wanted.

    :raises argparse.ArgumentTypeError: it is no number, or out of range.
    """
    if not text.isdecimal() or not 1 <= int(text) <= MOST_LINES:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_LINES}")
    return int(text)


def choice_of(app: str, options: argparse.Namespace, units: Sequence[str]) -> Choice:
    """What the options ask for.

    :param units: the app's services that are known.
    :raises RefusalError: one of them cannot be used.
    """
    asked = (name.strip() for text in options.process for name in text.split(","))
    processes = tuple(known(app, "process", name, names(app, units)) for name in dict.fromkeys(asked) if name)
    release = known(app, "release", options.release, releases(app, units)) if options.release else ""
    level = LEVEL_WORDS.get(options.level.lower(), int(options.level) if options.level in list("01234567") else -1)
    if options.level and level < 0:
        raise RefusalError(
            f"--level {one_line(options.level)!r} is none of {', '.join(LEVELS)}, nor a number from 0 to 7"
        )
    if options.request and not REQUEST_ID.fullmatch(options.request):
        raise RefusalError(
            f"--request {one_line(options.request)!r} is no id of a request: take it from the error page, or from the "
            "answer's header X-Request-ID"
        )
    since, until = moment("since", options.since), moment("until", options.until)
    if since and until and until < since:
        raise RefusalError(f"--until {options.until} is before --since {options.since}")
    if since > time.time():
        raise RefusalError(f"--since {options.since} lies in the future: for an hour ago write -1h")
    choice = Choice(
        app, processes, release, options.request, level, options.grep,
        f"@{since:f}" if since else "", f"@{until:f}" if until else "",
        options.lines or (0 if since or options.request else LINES), options.follow,
    )  # fmt: skip
    if release and processes and DEPLOY not in processes and not any(is_wanted(choice, unit) for unit in units):
        raise RefusalError(f"{', '.join(processes)} did not run in release {release}: leave one out")
    return choice


def known(app: str, what: str, name: str, among: Sequence[str]) -> str:
    """A name, which is one of those that are known.

    :raises RefusalError: it is none of them.
    """
    if name in among:
        return name
    near = difflib.get_close_matches(name, among, n=1)
    raise RefusalError(
        f"{app} has no {what} {one_line(name)!r} in its log; known are: {', '.join(among) or 'none'}"
        f"{f'. Did you mean {near[0]}?' if near else ''}"
    )


def moment(option: str, text: str) -> float:
    """The seconds since the epoch that systemd reads a text as; 0 for an empty one.

    :raises RefusalError: it is no time.
    """
    if not text:
        return 0.0
    examples = "-1h, '10 min ago', yesterday, '2026-11-30 03:00'"
    if "\0" not in text and len(text) < 200:
        done = programs.run((ANALYZE, "timestamp", "--", text), seconds=SECONDS)
        if not done.returncode and (found := re.search(r"UNIX seconds: @(\d+(?:\.\d+)?)", done.stdout)):
            return float(found[1])
    raise RefusalError(f"--{option} {one_line(text)!r} is no time: write it as {examples}")


# --- what the journal has ----------------------------------------


def may_read(app: str, root: Path = Path("/")) -> bool:
    """Whether this process, which is not root, can read the app's journal."""
    with contextlib.suppress(OSError):
        machine = (root / "etc/machine-id").read_text().strip()
        files = (file for top in JOURNALS for file in (root / top / f"{machine}.{app}").glob("system.journal"))
        return any(os.access(file, os.R_OK) for file in files)
    return False


def not_reader(app: str) -> str:
    """What is said to someone who may not read the app's journal."""
    user = pwd.getpwuid(os.getuid()).pw_name
    return (
        f"{app} logs: {user} may not read this log. Use `sudo {app} logs`, or add {user} to the app's option "
        f"`logs: {{readers: [{user}]}}` and run groundwork.flask.site"
    )


def units_of(at: Layout) -> list[str]:
    """The services of the app: those with lines in its journal, and those of the releases that are kept."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        found = programs.run(listing(at.app, "_SYSTEMD_UNIT"), seconds=SECONDS, limit=NAMES_LIMIT).stdout.split("\n")
        recorded: list[str] = []
        with contextlib.suppress(OSError):  # who is not root cannot look into the releases
            recorded = recorded_units(at)
        return sorted({unit for unit in (*found, *recorded) if UNIT_NAME.fullmatch(unit)})
    return []


def entries(argv: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What ``journalctl`` prints, entry by entry; it ends when no more is asked for.

    :raises RefusalError: it could not do what was asked, as where a pattern is none.
    """
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=ENVIRONMENT, cwd="/"
        ) as process,
    ):
        stream = cast("IO[bytes]", process.stdout)
        try:
            while block := stream.readline(ENTRY_LIMIT):
                if entry := parsed(block, stream):
                    yield entry
            process.wait()
        finally:
            process.kill()
        errors.seek(0)
        said = one_line(errors.read(2000).decode(errors="replace"), 500)
    if process.returncode and said:
        raise RefusalError(said)


def parsed(block: bytes, stream: IO[bytes]) -> dict[str, Any]:
    """One entry; of one that is too long its time alone, and the rest of it is skipped."""
    if block.endswith(b"\n"):
        with contextlib.suppress(ValueError):
            found = json.loads(block)
            return found if isinstance(found, dict) else {}
        return {}
    when = re.search(rb'"__REALTIME_TIMESTAMP"\s*:\s*"(\d+)"', block)
    while block and not block.endswith(b"\n"):
        block = stream.readline(ENTRY_LIMIT)
    message = f"(an entry of more than {ENTRY_LIMIT} bytes is not shown)"
    return {"MESSAGE": message, "__REALTIME_TIMESTAMP": when[1].decode() if when else "0"}


# --- what is shown ----------------------------------------


def act(at: Layout, options: argparse.Namespace) -> int:
    """Show the lines that are asked for; the exit status."""
    try:
        units = units_of(at)
        choice = choice_of(at.app, options, units)
        width = min(16, max(map(len, names(at.app, units))))
        for line in lines_of(choice, units, options.json):
            sys.stdout.write(f"{raw(line) if options.json else line.shown(width)}\n")
            if choice.follow:
                sys.stdout.flush()
        sys.stdout.flush()
    except RefusalError as refusal:
        raise SystemExit(f"{at.app} logs: {refusal}") from refusal
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def lines_of(choice: Choice, units: Sequence[str], whole: bool) -> Iterator[Line]:
    """The lines that are wanted, in the order of time.

    :param whole: with every field of theirs.
    """
    if choice.request and not choice.grep and not choice.follow:
        yield from lines_of_request(choice, units, whole)
        return
    argv = command(choice, units, ()) if whole else command(choice, units)
    found = (Line.of(choice.app, entry) for entry in entries(argv))
    wanted = (line for line in found if is_bad_enough(choice, line))
    if choice.follow or not choice.lines:
        yield from wanted
        return
    newest: list[Line] = []
    for line in wanted:
        newest.append(line)
        if len(newest) == choice.lines:
            break
    yield from reversed(newest)


def lines_of_request(choice: Choice, units: Sequence[str], whole: bool) -> Iterator[Line]:
    """The proxy's line of a request with those of the app that have its id, and the rest of their tracebacks.

    Where no line of the app has the id, because it formats its log in its own way, those that its server wrote while
    the request was under way.
    """
    app, fields = choice.app, [()] if whole else []
    first = replace(choice, processes=(), release="", level=-1, lines=REQUEST_LINES)
    hits = [Line.of(app, entry) for entry in entries(command(first, units, *fields))]
    if not hits:
        note(f"no line of {app} has the request {choice.request}; the log may not reach back that far")
        return
    begin, end = min(line.at - line.seconds for line in hits) - 0.05, max(line.at for line in hits)
    around = Choice(app, since=f"@{begin:f}", until=f"@{end + SLACK:f}")
    seen: deque[Line] = deque(maxlen=REQUEST_LINES)
    seen.extend(Line.of(app, entry) for entry in entries(command(around, units, *fields)))
    found = of_request(choice.request, seen)
    if all(line.process == PROXY for line in found):
        note(
            "no line of the app has the id of the request; beside the proxy's line, these are what its server wrote "
            "while the request was under way"
        )
        found = [line for line in seen if line in found or (line.process == WEB and line.at <= end + 0.05)]
    found = [line for line in found if is_bad_enough(choice, line)]
    if choice.processes:
        found = [line for line in found if line.process in choice.processes]
    yield from found[-choice.lines :] if choice.lines else found


def note(text: str) -> None:
    """Say something beside the lines."""
    sys.stderr.write(f"{text}\n")
