# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the units of a release beside those of another, checks that they are healthy, and stops them."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.text import visible
from . import checks, units
from .context import Context
from .errors import ReleaseError, tail
from .hints import runtime_hint
from .process_units import ProcessUnits, down, shown
from .units import ReleaseUnits
from .unix_http import Response

RESTART_LIMIT = 3
PROCESS_SHARE, PROCESS_SECONDS = 1.5, 30.0  # of the server's time to start, and at most, that processes must stay up
ENDED = ("inactive", "failed")
Failure = tuple[str, str]  # a unit, and what is wrong with it


class Supervisor:
    """Acts on the units of an app's releases.

    :ivar health_ms: how long the last health check took to be answered, in milliseconds.
    :ivar startup: seconds that the server took to answer.
    :ivar watched: seconds for which the release was watched after that.
    :ivar process_units: the unit files of the processes.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.system, self.at = context, context.system, context.at
        self.health_ms: int | None = None
        self.startup, self.watched = 0.0, checks.STABLE_SECONDS
        self.process_units = ProcessUnits(context)

    def is_active(self, release: str) -> bool:
        """Whether every unit of a release is active, or a process that finishes its job before it is started again."""
        found = ReleaseUnits.of(self.at, release)
        states = self.system.states(*found.names)
        ending = {name for name in found.processes if states.get(name) == "deactivating"}
        return all(states.get(name) == "active" for name in found.names if name not in ending)

    def enabled(self) -> set[str]:
        """The releases that a boot would start."""
        return set(units.enabled(self.at))

    def running(self, releases: Iterable[str]) -> set[str]:
        """Those of the releases of which some unit runs, be it that it is about to end."""
        names = {name: release for release in releases for name in ReleaseUnits.of(self.at, release).names}
        states = self.system.states(*names) if names else {}
        return {names[name] for name, state in states.items() if state not in ENDED}

    def processes(self, release: str) -> tuple[str, list[str]]:
        """How many processes of a release run, "" where it has none; and a warning where some do not."""
        found = ReleaseUnits.of(self.at, release)
        states = self.system.states(*found.processes) if found.processes else {}
        return shown(found.units, states), down(self.context.app, states)

    # --- starting ----------------------------------------

    def start(self, release: str, check: bool = False, enable: bool = True) -> None:
        """Enable and start the units of a release, and wait until its server answers the health path below 500.

        :param check: then see that all of them stay up, and how the server answers otherwise.
        :param enable: have a boot start them too.
        :raises ReleaseError: naming the unit that did not start or did not pass, with its journal.
        """
        began, from_now = time.time(), time.monotonic()
        found = ReleaseUnits.of(self.at, release)
        self.process_units.load(release)
        self.system.systemctl("reset-failed", *found.names)
        self.start_units(found.web, began, enable)
        health = {"host": "localhost", "path": "/", "timeout": 60, **self.health(release)}
        sock = self.at.release(release) / "app.sock"
        self.raise_if(self.wait_until_healthy(found.server, sock, health), began)
        self.startup = time.monotonic() - from_now
        # Not before the server is healthy: a worker of a broken release would take jobs from those of the old one.
        ending = self.ending(found.processes)
        self.start_units([name for name in found.processes if name not in ending], began, enable)
        self.start_units(sorted(ending), began, enable, wait=False)
        if not check:
            return
        self.raise_if(self.watch(found, sock, health, ending), began)
        self.context.warnings.extend(self.process_units.warnings(release))

        def ask(path: str) -> Response:
            return self.system.ask(sock, health["host"], path, float(health["timeout"]))

        answers = checks.of_answers(ask, health["host"], health["path"], health.get("prefix", ""))
        errors, warnings = checks.judge(answers, self.context.skip_checks)
        self.context.warnings.extend(warnings)
        if errors:
            raise ReleaseError("start", "; ".join(errors))

    def ending(self, processes: Sequence[str]) -> set[str]:
        """Those processes of a release that still finish what they had begun when it was left; they start after that.

        That may take as long as their longest job, so nothing waits for it.
        """
        states = self.system.states(*processes) if processes else {}
        found = {name for name, state in states.items() if state == "deactivating"}
        self.context.notices.extend(
            f"{name} finishes its job first, and starts again after that" for name in sorted(found)
        )
        return found

    def start_units(self, names: Sequence[str], began: float, enable: bool, wait: bool = True) -> None:
        """Start units, of which the last one is a service; nothing where there are none.

        :param wait: until they have started.
        """
        if not names:
            return
        started = self.system.start(*names, enable=enable, wait=wait)
        if started.returncode:
            states = self.system.states(*names)
            service = next((name for name in reversed(names) if states.get(name) != "active"), names[-1])
            log = self.system.journal(self.context.app, service, began)
            message = f"{service} did not start"
            if "not found" in started.stderr or "does not exist" in started.stderr:
                message += "; its unit is not on this host: run groundwork.flask.site first"
            raise ReleaseError("start", message, tail(f"{log}\n{started.stderr}".strip(), 60))

    def health(self, release: str) -> Mapping[str, Any]:
        """How to ask a release for its health: as the spec has it, else as recorded when it was built."""
        return dict(self.context.spec.health or self.at.facts(release).get("health", {}))

    def raise_if(self, failure: Failure | None, began: float) -> None:
        """Report a unit that is not as it should be."""
        if failure:
            unit, message = failure
            log = self.system.journal(self.context.app, unit, began)
            raise ReleaseError("start", message + runtime_hint(self.context.app, log), tail(log, 60))

    def wait_until_healthy(self, server: str, sock: Path, health: Mapping[str, Any]) -> Failure | None:
        """Ask for the health path until the answer is below 500; None then, else the last answer.

        The first requests have a short timeout: a server that ends and is restarted again and again answers none.
        """
        seconds, path = float(health["timeout"]), health["path"]
        until, answer, timeout = time.monotonic() + seconds, "no answer", 1.0
        while (left := until - time.monotonic()) > 0:
            began, timeout = time.monotonic(), timeout * 2
            try:
                response = self.system.ask(sock, health["host"], path, min(left, timeout))
            except (OSError, http.client.HTTPException) as error:
                # The last request has little time; what was answered before tells more.
                answer = answer if answer.startswith("status") else f"{type(error).__name__}: {error}"
            else:
                if response.status < 500:
                    self.health_ms = round(1000 * (time.monotonic() - began))
                    return None
                answer = f"status {response.status}: {visible(response.body)}"
            if (restarts := self.system.restarts(server)) >= RESTART_LIMIT:
                elapsed = time.monotonic() - until + seconds
                return server, f"it does not stay up: it ended {restarts} times within {elapsed:.0f} s"
            self.system.sleep(0.1)
        return (
            server,
            f"{path} was not answered well within {seconds:.0f} s (health_path, health_timeout): {answer}",
        )

    def watch(
        self, found: ReleaseUnits, sock: Path, health: Mapping[str, Any], ending: Collection[str] = ()
    ) -> Failure | None:
        """See that no process of a healthy release ends in the next seconds; None, or what happened.

        :param ending: processes that are yet to start.
        """
        restarts = {name: self.system.restarts(name) for name in found.processes if name not in ending}
        if "stable" in self.context.skip_checks:
            return self.not_up(restarts)
        self.watched = seconds = self.stable_seconds(found)
        alive, until = self.system.processes(found.server), time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.system.sleep(min(left, 0.25))
            if gone := alive - self.system.processes(found.server):
                return found.server, (
                    f"it answered well, and then {len(gone)} of its {len(alive)} processes ended within "
                    f"{seconds:.0f} s (or, to switch this check off: `skip_checks: [stable]`)"
                )
            if failure := self.not_up(restarts):
                return failure
        return self.not_up(restarts) or self.wait_until_healthy(found.server, sock, health)

    def stable_seconds(self, found: ReleaseUnits) -> float:
        """How long a release is watched: a process may fail at its import, which takes it as long as the server.

        The server started alone. Processes start together, and share the cores if there are more of them.
        """
        crowd = max(1.0, len(found.processes) / (os.cpu_count() or 1))
        share = min(PROCESS_SHARE * crowd * self.startup, PROCESS_SECONDS) if found.processes else 0.0
        return max(checks.STABLE_SECONDS, share)

    def not_up(self, restarts: Mapping[str, int]) -> Failure | None:
        """The first process that is not active, or was restarted; None when all are well.

        :param restarts: how often each of them had been restarted when the watch began.
        """
        if not restarts:
            return None
        states = self.system.states(*restarts)
        for name, before in restarts.items():
            state, ended = states.get(name, "unknown"), self.system.restarts(name) - before
            if state != "active":
                return name, f"{name} does not stay up: it is {state}"
            if ended > 0:
                return name, f"{name} does not stay up: it ended {ended} times within {self.watched:.0f} s"
        return None

    # --- stopping ----------------------------------------

    def stop(self, release: str, wait: bool = True) -> None:
        """Stop the units of a release, then disable them: in this order a half-done stop is found by its links.

        :param wait: for the processes too. Without, they are told to end, and finish what they have begun.
        """
        found = ReleaseUnits.of(self.at, release).with_processes(units.enabled(self.at).get(release, ()))
        self.halt(found, wait)
        self.system.systemctl("disable", *found.names)
        self.system.systemctl("reset-failed", *found.names)

    def enable(self, release: str) -> None:
        """Have a boot start the units of a release.

        :raises ReleaseError: systemd did not enable them, as on a full disk.
        """
        enabled = self.system.systemctl("enable", *ReleaseUnits.of(self.at, release).names)
        if enabled.returncode:
            raise ReleaseError("switch", f"the units of release {release} could not be enabled", tail(enabled.stderr))

    def disable(self, release: str) -> None:
        """Have a boot start none of the units of a release."""
        self.system.systemctl("disable", *ReleaseUnits.of(self.at, release).names)

    def stop_processes(self, release: str) -> None:
        """Stop the processes of a release, which finish what they have begun; its server goes on."""
        processes = ReleaseUnits.of(self.at, release).processes[::-1]
        if processes:
            self.system.systemctl("stop", "--no-block", *processes)
        for name in processes:
            self.system.stop(name)

    def pause(self, release: str) -> None:
        """Stop the units of a release, which a boot would start again."""
        self.halt(ReleaseUnits.of(self.at, release), wait=True)

    def halt(self, found: ReleaseUnits, wait: bool) -> None:
        """Tell the processes to end, last started first; stop the server, and then its socket."""
        processes = found.processes[::-1]
        if processes:
            self.system.systemctl("stop", "--no-block", *processes)
        self.system.stop(*reversed(found.web))
        for name in processes if wait else ():
            self.system.stop(name)
