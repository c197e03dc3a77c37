# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines of an app's log are wanted, as matches of ``journalctl``.

The app's journal namespace holds what its server, processes, jobs, Redis and pooler write, the proxy's lines about it,
and the steps of its deploys. What systemd says of the units is in the host's own journal. Who has written a line is
told by the fields that journald itself sets (``_SYSTEMD_UNIT``, ``_PID``): the app may write any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .deploy_log import RELEASE_FIELD
from .layout import Layout
from .process_command import WEB
from .units import ReleaseUnits

JOURNALCTL = "/usr/bin/journalctl"
PROXY, DEPLOY, REDIS, POOLER = "proxy", "deploy", "redis", "pooler"
PROXY_UNITS = ("nginx.service", "apache2.service")
# What an app may have beside its server, its processes and its jobs.
PARTS = {"redis": REDIS, "redis-cache": REDIS, "pooler": POOLER}
# As syslog numbers them, with the words of Python's logging for the same.
LEVELS = ("emerg", "alert", "critical", "error", "warning", "notice", "info", "debug")
LEVEL_WORDS = {**{word: number for number, word in enumerate(LEVELS)}, "crit": 2, "err": 3, "warn": 4, "fatal": 2}
OUTPUT_FIELDS = (
    "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "UNIT", "_SYSTEMD_UNIT", "_PID", "_UID", "_STREAM_ID", RELEASE_FIELD,
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """The lines that are wanted; what is empty restricts nothing.

    :ivar processes: ``web``, ``proxy``, ``deploy``, ``redis``, ``pooler``, names of processes and of jobs.
    :ivar release: the id of a release.
    :ivar request: the id of a request.
    :ivar level: as syslog numbers it; that one and what is worse. -1 for all.
    :ivar grep: a pattern of ``journalctl --grep``.
    :ivar since: the first moment, as ``journalctl`` reads it; and ``until`` the last.
    :ivar lines: the last so many; 0 for all.
    """

    app: str
    processes: tuple[str, ...] = ()
    release: str = ""
    request: str = ""
    level: int = -1
    grep: str = ""
    since: str = ""
    until: str = ""
    lines: int = 0
    follow: bool = False

    @property
    def is_of_proxy(self) -> bool:
        """Whether the proxy's lines are among those that are wanted."""
        return PROXY in self.processes if self.processes else not self.release

    @property
    def filters_here(self) -> bool:
        """Whether ``journalctl`` cannot choose all by itself: how bad a line of the proxy is says its status."""
        return self.is_of_proxy and 0 <= self.level < LEVELS.index("debug")


def engine_unit(app: str) -> str:
    """The unit that deploys the app; the same name as in ``work.py``, which needs far more to be imported."""
    return f"groundwork-release@{app}.service"


def process_of(app: str, unit: str) -> tuple[str, str]:
    """What a unit is of the app, and of which release; two empty texts for a unit that is not the app's."""
    if unit in PROXY_UNITS:
        return PROXY, ""
    if unit == engine_unit(app) or unit.startswith((f"groundwork-release@{app}.", f"groundwork-watch@{app}.")):
        return DEPLOY, ""
    found = re.fullmatch(
        rf"{re.escape(app)}(?:\.([a-z0-9_-]+))?(?:\.\d+)?(?:@([^.@]+))?\.(?:service|socket|timer)", unit
    )
    if not found or not (found[1] or found[2]):
        return "", ""
    name, release = found[1] or WEB, found[2] or ""
    return name if release else PARTS.get(name, name), release


def recorded_units(at: Layout) -> list[str]:
    """The services of the releases that are kept."""
    releases = sorted(path.parent.name for path in at.releases.glob("[!.]*/release.json"))
    return [unit.name for release in releases for unit in ReleaseUnits.of(at, release).units if unit.kind != "socket"]


def names(app: str, units: Iterable[str]) -> list[str]:
    """What can be asked for by ``--process``: what every app has, then what this one has."""
    own = sorted({process_of(app, unit)[0] for unit in units} - {"", WEB, PROXY, DEPLOY})
    return [WEB, PROXY, DEPLOY, *own]


def releases(app: str, units: Iterable[str]) -> list[str]:
    """The releases that units belong to."""
    return sorted({process_of(app, unit)[1] for unit in units} - {""})


def is_wanted(choice: Choice, unit: str) -> bool:
    """Whether the lines of a unit are wanted."""
    process, release = process_of(choice.app, unit)
    return bool(process) and (
        (not choice.processes or process in choice.processes) and (not choice.release or release == choice.release)
    )


def terms(choice: Choice, units: Sequence[str]) -> list[list[str]]:
    """The matches: a line is wanted when all of one list hold; fields of one name are alternatives.

    :param units: the services of the app.
    """
    app, inside = choice.app, f"_NAMESPACE={choice.app}"
    wanted = [unit for unit in dict.fromkeys(units) if is_wanted(choice, unit) and unit not in PROXY_UNITS]
    if is_wanted(choice, engine_unit(app)):
        wanted.append(engine_unit(app))
    found: list[list[str]] = []
    if not choice.processes and not choice.release:
        found.append([inside])
    elif wanted:
        found.append([inside, *(f"_SYSTEMD_UNIT={unit}" for unit in wanted)])
    if choice.release and (not choice.processes or DEPLOY in choice.processes):
        found.append([inside, "_UID=0", f"{RELEASE_FIELD}={choice.release}"])
    if wanted:
        found.append(["_PID=1", *(f"UNIT={unit}" for unit in wanted)])
    if choice.level >= 0:
        bad_enough = [f"PRIORITY={number}" for number in range(choice.level + 1)]
        found = [[*term, *bad_enough] for term in found]
    if choice.is_of_proxy and (choice.processes or choice.level >= 0):
        found.append([inside, *(f"_SYSTEMD_UNIT={unit}" for unit in PROXY_UNITS)])
    return found


def pattern(choice: Choice) -> str:
    """What a message must contain, as one pattern of PCRE; "" for anything."""
    wanted = re.escape(choice.request)
    if not choice.grep:
        return wanted
    # As journalctl itself has it: a pattern without capitals finds both.
    own = choice.grep if choice.grep != choice.grep.lower() else f"(?i:{choice.grep})"
    return rf"(?s)^(?=.*{wanted})(?=.*(?:{own}))" if wanted else own


def command(choice: Choice, units: Sequence[str], fields: Sequence[str] = OUTPUT_FIELDS) -> list[str]:
    """The command line of ``journalctl`` that prints the wanted lines as JSON, the newest first unless all are wanted.

    :param fields: those that are printed; () for all.
    """
    argv = [JOURNALCTL, f"--namespace=+{choice.app}", "--quiet", "--all", "--output=json", "--no-pager"]
    argv += [f"--output-fields={','.join(fields)}"] if fields else []
    argv += [f"--since={choice.since}"] if choice.since else []
    argv += [f"--until={choice.until}"] if choice.until else []
    if choice.follow:
        argv.append("--follow")
    elif choice.lines:
        argv.append("--reverse")
    if not choice.filters_here or choice.follow:
        argv.append(f"--lines={choice.lines or 'all'}")
    if wanted := pattern(choice):
        argv += ["--case-sensitive=yes", f"--grep={wanted}"]
    alternatives = terms(choice, units) or [[f"_NAMESPACE={choice.app}", "_SYSTEMD_UNIT="]]
    for number, term in enumerate(alternatives):
        argv += [*(["+"] if number else []), *term]
    return argv


def listing(app: str, field: str) -> list[str]:
    """The command line of ``journalctl`` that prints every value that a field has in the app's namespace."""
    return [JOURNALCTL, f"--namespace={app}", "--quiet", "--no-pager", f"--field={field}"]
