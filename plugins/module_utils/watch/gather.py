# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read all that a look is made from. Each part that cannot be read is told, and keeps none of the others from it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..common.on_host import path
from ..common.text import line
from ..release.layout import Layout
from ..verify.look import Look as Host
from ..verify.look import UncheckedError
from . import connections, der, machine, outside, requests, running, saved
from .ask import SECONDS, Answer, Question, ask
from .facts import Facts
from .memory import OUTSIDE, SLOW, Memory
from .outside import Outside
from .records import App, Look
from .running import Running
from .settings import Settings, Watched
from .state import State

PAUSE = 2.0  # seconds before what was bad is asked again: a restart of a server takes less
MOST_ASKING = 7.0  # seconds of both together: one that hangs keeps what is known of the others from being told
DEPLOYS = 10  # that are shown


@dataclass
class Gathering:
    """One look in the making.

    :ivar noted: the units whose failure was noted since the last look.
    :ivar place: where the reading of the journals has ended; kept once the look is.
    """

    settings: Settings
    state: State
    memory: Memory
    host: Host
    look: Look
    place: requests.Place | None = None
    noted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.facts = Facts(self.settings, Running())
        self.before: Mapping[str, Any] = self.state.read("look.json").get("apps", {})

    def all(self) -> None:
        """Read everything."""
        for name, app in self.settings.apps.items():
            self.look.apps[name] = App(domains=list(app.domains))
        self.part("units", self.units)
        asked = time.monotonic()
        bad, bad_outside = self.visit(self.settings.apps, self.settings.apps)
        self.part("machine", self.machine)
        self.part("requests", self.requests)
        self.part("backups", self.backups)
        self.part("slow", self.slow)
        if bad or bad_outside:
            time.sleep(max(0.0, PAUSE - (time.monotonic() - asked)))
            self.visit(bad, bad_outside, again=max(PAUSE, MOST_ASKING - (time.monotonic() - asked)))
        self.part("deploys", self.deploys)
        for name, record in self.look.apps.items():
            self.memory.recent_requests(name, record, self.look.time)

    def part(self, what: str, read: Callable[[], None]) -> None:
        """One part; what goes wrong with it is a condition."""
        try:
            read()
        except (UncheckedError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self.facts.unread[what] = line(f"{type(error).__name__}: {error}", 300)

    def units(self) -> None:
        """What systemd says."""
        known = [one.condition.part for one in self.memory.known.values() if one.condition.kind == "unit"]
        noted = self.noted = tuple(self.state.noted_units())
        try:
            self.facts.running = running.read(self.settings.apps, {*known, *noted}, self.host)
        except UncheckedError:
            self.noted = ()  # the next look tells of them
            self.facts.running = running.unanswered(self.settings.apps, self.host)
            raise
        found = self.facts.running
        self.facts.noted = {unit for unit in noted if running.is_lasting(unit, found.shown)}
        # What runs again has not ended well yet.
        self.facts.noted |= {unit for unit in known if found.shown.get(unit, {}).get("ActiveState") == "activating"}
        counts = {}
        for name, app in self.look.apps.items():
            running.fill(name, app, found, self.host)
            for process, unit in {"web": app.server, **app.processes}.items():
                counts[f"{name}/{process}"] = unit.restarts
        self.facts.restarts = self.memory.count_restarts(counts, self.look.time)

    def visit(
        self, names: Collection[str], sites: Collection[str], *, again: float = 0.0
    ) -> tuple[list[str], list[str]]:
        """Ask apps through their sockets, and for sites by their names, all at once: one that hangs costs it once.

        :param again: the seconds of a second time; 0 for the first.
        :return: the apps, and the sites, that are to be asked again.
        """
        wanted = {name: self.settings.apps[name] for name in names if self.is_asked(name)}
        asked_for = self.due_outside(sites, again=again > 0)
        questions = {
            name: Question(app.host, app.health_path, str(path("socket", name, self.host.root)))
            for name, app in wanted.items()
        }
        answers = ask({**questions, **outside.questions_of(asked_for)}, again or SECONDS)
        return self.note_sockets({name: answers[name] for name in wanted}), self.from_outside(asked_for, answers)

    def note_sockets(self, answers: Mapping[str, Answer]) -> list[str]:
        """What the apps have answered, into the records; those whose state is new are asked again."""
        again = []
        for name, answer in answers.items():
            app = self.look.apps[name]
            app.status, app.answered, app.error = answer.status, round(answer.seconds, 4), line(answer.error)
            app.state = "down" if outside.is_bad(answer) else "up"
            known = self.memory.known.get(f"{name}/health/")
            if (app.state == "down") != bool(known and known.told):
                again.append(name)
        return again

    def is_asked(self, name: str) -> bool:
        """Whether an app is to answer now; what it is otherwise goes into its record."""
        app = self.look.apps[name]
        if not self.facts.running.parts[name].release:
            return False
        if name in self.facts.running.still:
            is_in_maintenance = path("maintenance", name, self.host.root).exists()
            app.state = "maintenance" if is_in_maintenance else "stopped"
            return False
        return True

    def due_outside(self, names: Collection[str], *, again: bool) -> dict[str, Watched]:
        """The sites to ask for by their names: each minute, and more often while one is bad."""
        kept, now = self.memory.outside, self.look.time
        is_due = again or not 0 <= now - kept.get("time", 0.0) < OUTSIDE - 1
        is_due = is_due or bool(running.stopped_proxy(self.facts.running.shown))
        is_due = is_due or any(
            outside.is_bad(Answer(**one)) for way in ("here", "there") for one in kept.get(way, {}).values()
        )
        return {name: self.settings.apps[name] for name in names if is_due and self.is_asked(name)}

    def from_outside(self, wanted: Mapping[str, Watched], answered: Mapping[str, Answer]) -> list[str]:
        """What came of asking for sites by their names; those to be asked for again."""
        kept = self.memory.outside
        answers = {way: {name: Answer(**one) for name, one in kept.get(way, {}).items()} for way in ("here", "there")}
        if wanted:
            found = outside.sorted_by_way(wanted, answered)
            self.read_certificates(found)
            for way, new in (("here", found.here), ("there", found.there)):
                answers[way] = {name: one for name, one in answers[way].items() if name not in wanted} | new
        answers = {way: {k: v for k, v in one.items() if k in self.look.apps} for way, one in answers.items()}
        self.facts.outside = Outside(answers["here"], answers["there"])
        self.memory.outside = {
            **{
                way: {name: {**asdict(one), "certificate": ""} for name, one in found.items()}
                for way, found in answers.items()
            },
            "certificates": self.facts.certificates or kept.get("certificates", {}),
            "time": self.look.time if wanted else kept.get("time", 0.0),
        }
        return self.note_outside(wanted)

    def note_outside(self, asked: Mapping[str, Watched]) -> list[str]:
        """What a visitor meets, into the records; the apps to be asked for again."""
        certificates = self.memory.outside["certificates"]
        self.facts.certificates = {name: tuple(one) for name, one in certificates.items() if name in self.look.apps}
        again = []
        for name, app in self.look.apps.items():
            here, there = self.facts.outside.here.get(name), self.facts.outside.there.get(name)
            answer = outside.verdict(here, there)
            if answer is not None:
                app.outside, app.outside_error = answer.status, line(answer.error)
            if name in self.facts.certificates:
                app.certificate_expires = self.facts.certificates[name][1]
            known = self.memory.known.get(f"{name}/outside/")
            if name in asked and outside.is_bad(answer) != bool(known and known.told):
                again.append(name)
        return again

    def read_certificates(self, found: Outside) -> None:
        """Since when and until when the certificates that were served are valid."""
        fresh = dict(self.memory.outside.get("certificates", {}))
        for answers in (found.here, found.there):  # where the name leads counts most
            for name, answer in answers.items():
                if answer.certificate:
                    try:
                        fresh[name] = der.validity(answer.certificate)
                    except (ValueError, IndexError):
                        continue
        self.facts.certificates = fresh

    def machine(self) -> None:
        """The host itself."""
        self.look.machine = machine.read(self.settings.apps, self.host)
        self.look.machine.failed_units = self.facts.running.failed

    def requests(self) -> None:
        """What the proxy has answered since the last look."""
        for name, app in self.look.apps.items():
            kept = self.before.get(name, {}).get("requests")
            if kept:
                app.requests = type(app.requests)(**kept)
        reading = requests.read(list(self.settings.apps), requests.place_in(self.state.cursor))
        for name, found in reading.lines.items():
            requests.add(self.look.apps[name].requests, found)
        self.place = reading.place
        if reading.skipped:
            apps = ", ".join(reading.skipped)
            sys.stderr.write(f"More requests than one look reads, so those of these apps are counted in part: {apps}\n")

    def backups(self) -> None:
        """When each set was backed up and restored."""
        self.facts.saved = saved.read(self.host)
        self.facts.backup_hours, self.facts.backup_since = saved.hours(self.host), saved.set_up_at(self.host)
        for name, one in self.facts.saved.items():
            if name in self.look.apps:
                self.look.apps[name].backup, self.look.apps[name].drill = one.last, one.drill

    def slow(self) -> None:
        """What changes slowly, or costs more."""
        kept = self.memory.slow
        if not 0 <= self.look.time - kept.get("time", 0.0) < SLOW:
            servers = connections.read(self.settings.apps, self.host)
            kept = {
                "reboot": machine.reboot_pending(self.host),
                "clock": machine.clock_synchronized(self.host),
                "servers": [asdict(one) for one in servers],
                "time": self.look.time,
            }
            self.memory.slow = kept
        self.look.machine.reboot_pending, self.look.machine.clock_synchronized = kept["reboot"], kept["clock"]
        self.facts.servers = [connections.Server(**one) for one in kept["servers"]]
        for server in self.facts.servers:
            for name in server.apps:
                if name in self.look.apps:
                    self.look.apps[name].connections = server.used
                    self.look.apps[name].connection_limit = server.most

    def deploys(self) -> None:
        """The last deploys, read again where the ledger has changed."""
        for name, app in self.look.apps.items():
            at = Layout(name, self.host.root)
            stamp = changed(at)
            kept = self.memory.ledgers.get(name, {})
            # What a program of an earlier version has kept says less.
            if kept.get("stamp") != stamp or not {"rows", "warnings"} <= kept.keys():
                kept = {"stamp": stamp, "rows": deploys_of(at), "warnings": warnings_of(at)}
                self.memory.ledgers[name] = kept
            app.deploys = kept["rows"]
            self.facts.releases[name] = kept["warnings"]
            live = next((row for row in app.deploys if row["state"] == "live"), None)
            if live:
                app.version, app.since = live["version"], live["time"]


def changed(at: Layout) -> list[Any]:
    """What tells that a ledger, or what is live, has changed."""
    try:
        status = at.ledger.stat()
    except FileNotFoundError:
        return ["", at.live()]
    return [status.st_mtime, status.st_size, at.live()]


def deploys_of(at: Layout) -> list[dict[str, Any]]:
    """The last deploys of an app, newest first."""
    from ..common import clock  # what reads ledgers is read when one has changed
    from ..release import ledger

    return [
        {
            "release": line(str(row["release"])),
            "version": line(str(row["version"])),
            "time": clock.parse(str(row["time"])),
            "state": row["state"],
            "by": line(str(row["by"])),
        }
        for row in ledger.states(at)[:DEPLOYS]
    ]


def warnings_of(at: Layout) -> list[str]:
    """What the watch over a new release has found, and has taken back or not."""
    from ..release import watch

    return [line(text, 400) for text in watch.warnings(at)]
