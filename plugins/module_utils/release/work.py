# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of the engine is a systemd unit of its own, ``groundwork-release@<app>.service``.

A unit runs once at a time, so systemd is the lock. ``systemctl status`` shows who started the run, when, and its step.
What the engine has started is bound to the unit and ends with it. The run does not depend on the process that asked for
it: a lost connection does not end a deploy, and the next play finds the run, waits for it, and learns its result.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..common.clock import timestamp
from ..common.files import make_directory, read_json, write
from ..common.paused import INSTALL
from ..common.programs import ENVIRONMENT
from ..common.systemd import TransientUnit
from ..common.text import printable
from . import refusal
from .deploy_log import ERROR, WARNING, DeployLog
from .engine import Engine
from .errors import ReleaseError, tail
from .layout import Layout
from .result import Result
from .settings import DeploySettings
from .spec import Spec
from .system import System, engine_program

Verb = Literal["deploy", "roll_back", "take_back", "remove", "heal", "pause", "restart"]
WORK: Mapping[str, str] = {
    "deploy": "a deploy",
    "roll_back": "a rollback",
    "take_back": "an automatic rollback",
    "remove": "a removal",
    "heal": "an unlock",
    "pause": "a pause",
    "restart": "a restart",
}
PROGRAM = engine_program("work", "serve")
# Longer than a build and a release command take together by their own limits' defaults.
WAIT_SECONDS = 3600.0
STOP_SECONDS = 5
OUTPUT_LIMIT = 2**16  # bytes that are read of what systemd-run and the engine print
# The steps of a deploy that build nothing any more: the release is started, watched and made live.
BUILT = frozenset(("start", "switch", "drain", "prune"))


@dataclass(frozen=True)
class Order:
    """What the engine is to do.

    :ivar verb: the method of the engine, and ``options`` its arguments.
    :ivar shared_key: the SECRET_KEY that all hosts of the app share; "" if they share none.
    :ivar id: tells this order's result from another's.
    """

    verb: Verb
    spec: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict)
    deploy_key: str = ""
    shared_key: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def app(self) -> str:
        """The app's name."""
        return str(self.spec["name"])

    @property
    def description(self) -> str:
        """What the unit's description says of it."""
        return f"{WORK[self.verb]} of {self.app} by {self.settings.get('by') or 'root'}"


@dataclass(frozen=True)
class ActiveRun:
    """The run that is at work on an app."""

    description: str
    since: str
    step: str
    pid: int

    @property
    def is_pause(self) -> bool:
        """Whether it keeps the app stopped for whoever asked for that."""
        return self.description.startswith(f"{WORK['pause']} ")

    def __str__(self) -> str:
        step = f", at step {self.step}" if self.step else ""
        return f"{self.description} since {self.since} (process {self.pid}{step})"


def unit(app: str) -> str:
    """The unit that the engine runs in for an app."""
    return f"groundwork-release@{app}.service"


def active_run(app: str, system: System | None = None) -> ActiveRun | None:
    """The run that is at work on an app now; None when there is none."""
    names = "ActiveState,Description,ExecMainStartTimestamp,StatusText,MainPID"
    shown = (system or System()).systemctl("show", "--timestamp=utc", f"--property={names}", unit(app)).stdout
    found = dict(row.split("=", 1) for row in shown.splitlines() if "=" in row)
    if found.get("ActiveState", "inactive") in ("inactive", "failed"):
        return None
    since = re.sub(r"^\w+ (\S+) (\S+) UTC$", r"\1T\2Z", found.get("ExecMainStartTimestamp", ""))
    return ActiveRun(
        found.get("Description", ""), since, printable(found.get("StatusText", "")), int(found.get("MainPID") or 0)
    )


def command(order: Order, program: Sequence[str] = PROGRAM) -> list[str]:
    """The command line that runs the engine in its unit and waits for it."""
    app = order.app
    # The app's journal takes the lines of the run also where nothing of the app runs yet, or any more.
    journal = f"systemd-journald@{app}.socket"
    wants = (("Wants", journal), ("After", journal)) if logs_to_app(order) else ()
    properties = (
        ("Type", "exec"),
        ("NotifyAccess", "main"),
        ("TimeoutStopSec", str(STOP_SECONDS)),
        ("OOMPolicy", "continue"),
        *wants,
    )
    return TransientUnit(unit(app), order.description, program, properties).command("--pipe", "--wait", "--collect")


def logs_to_app(order: Order) -> bool:
    """Whether the lines of a run go into the app's journal; a removal takes that off the host."""
    return order.verb not in ("remove", "heal")


def begin(order: Order, system: System | None = None, program: Sequence[str] = PROGRAM) -> bool:
    """Have the engine begin a deploy, and wait until it has built the release; it goes on by itself then.

    :func:`do` with the same order waits for its end and returns what came of it.

    :returns: False when the run is over already, or could not begin.
    :raises ReleaseError: it was ended before it was done; who ends a deploy does not want it to begin again.
    """
    system = system or System()
    # In memory, for it holds secrets, and outlives whoever asks.
    with open(os.memfd_create("order"), "w+b") as stream, open(os.memfd_create("errors"), "w+b") as errors:
        stream.write(json.dumps(asdict(order)).encode())
        stream.seek(0)
        process = subprocess.Popen(
            command(order, program), stdin=stream, stdout=subprocess.DEVNULL,
            stderr=errors, env=ENVIRONMENT, cwd="/", start_new_session=True,
        )  # fmt: skip
        while process.poll() is None:
            found = active_run(order.app, system)
            if found and found.step in BUILT:
                return True
            system.sleep(0.1)
        errors.seek(0)
        output = errors.read(OUTPUT_LIMIT).decode(errors="replace")
    if not (is_taken(output) or result_of(Layout(order.app), order) or goes_on(order, system)):
        make_room(order, output, system, time.monotonic())
    return False


def goes_on(order: Order, system: System) -> bool:
    """Whether a run is at work though systemd-run has returned: the bus broke off, or another one was quicker.

    An unlock that has ended the run and cleans up now is none.
    """
    active = active_run(order.app, system)
    return bool(active and not active.description.startswith(WORK["heal"]))


def do(
    order: Order, system: System | None = None, program: Sequence[str] = PROGRAM, wait: float = WAIT_SECONDS
) -> Result:
    """Have the engine carry out an order when no other run is at work on the app, and return the result.

    :param wait: seconds that another run may go on before this one gives up.
    :raises ReleaseError: what the engine raised; or that it was ended before it was done.
    """
    system, at = system or System(), Layout(order.app)
    waited: list[str] = []
    until = time.monotonic() + wait
    while True:
        other = await_other(at, system, until)
        if ended := result_of(at, order):
            break  # it was this order that was waited for: begun before, or the bus had broken off
        waited += other
        # On a pipe, for it holds secrets; the engine reads all of it first, and needs this process no more.
        done = subprocess.run(
            command(order, program), input=json.dumps(asdict(order)), capture_output=True,
            text=True, errors="replace", check=False, env=ENVIRONMENT, cwd="/",
        )  # fmt: skip
        if ended := result_of(at, order):
            break
        # Another run was quicker; or the bus broke off, and this one goes on. An unlock that has ended this one and
        # cleans up now is no reason to begin again.
        active = active_run(order.app, system)
        if active and (is_taken(done.stderr) or not active.description.startswith(WORK["heal"])):
            continue
        if ended := result_of(at, order):
            break
        make_room(order, done.stderr, system, until)
    if error := ended.get("error"):
        raise ReleaseError(error["step"], error["message"], error["log"], error.get("reference", ""))
    result = Result(**ended["result"])
    result.warnings[:0] = waited
    return result


def is_taken(output: str) -> bool:
    """Whether systemd-run says that there is a unit of this name."""
    return "already loaded" in output or "was already" in output


def make_room(order: Order, output: str, system: System, until: float) -> None:
    """Return when a run that ended without a result may be tried again: its unit could not start.

    :param output: what systemd-run and the engine printed.
    :param until: when to give up, on the monotonic clock.
    :raises ReleaseError: there is no use in trying again.
    """
    if is_taken(output):
        # A step that heeds no signal has failed when it is killed with its engine, and keeps the unit loaded.
        system.systemctl("reset-failed", f"groundwork-release@{order.app}.*")
        if time.monotonic() > until:
            raise ReleaseError("lock", f"systemd does not let go of {unit(order.app)}", tail(printable(output)))
        system.sleep(0.1)
        return
    if "No module named 'groundwork_release" in output:
        raise ReleaseError("engine", f"the release engine is not on this host: {INSTALL}")
    what = f"was ended before it was done, by an unlock or by the system; {aftermath(order, system)}"
    raise ReleaseError("engine", f"{order.description} {what}", tail(printable(output)))


def aftermath(order: Order, system: System) -> str:
    """What serves after a run that was ended.

    The release that it had stopped, for only one may run, starts again, and so do timers, which a rollback stops.
    """
    at = Layout(order.app)
    was_stopped = at.paused.exists()
    if order.verb == "heal" or not (was_stopped or at.jobs.exists()):
        return "what is live serves on, the next run heals"
    try:
        do(Order("heal", {"name": order.app}, order.settings), system)
    except ReleaseError as error:
        if not was_stopped:
            return f"what is live serves on, and its jobs may not start: {error.message}"
        return f"the release that was stopped for it could not be started again ({error.message}), and nothing serves"
    return "the release that was stopped for it has been started again" if was_stopped else "what is live serves on"


def result_of(at: Layout, order: Order) -> dict[str, Any]:
    """How an order ended; empty as long as it has not."""
    found = read_json(at.run / "result.json")
    return found if found.get("order") == order.id else {}


def await_other(at: Layout, system: System, until: float) -> list[str]:
    """Wait for the run that is at work on an app; what to tell of it, nothing when there was none."""
    first = other = active_run(at.app, system)
    began = time.monotonic()
    while other:
        if time.monotonic() > until:
            raise ReleaseError(
                "lock",
                f"another run is at work: {other}. Wait for it; or, if it is stuck, end it with "
                f"`ansible-playbook groundwork.flask.unlock -e app={at.app}`, then run again",
            )
        system.sleep(0.2)
        other = active_run(at.app, system)
    if not first:
        return []
    ended = read_json(at.run / "result.json")
    how = "it was ended before it was done"
    if ended.get("description") == first.description:
        error, result = ended.get("error"), ended.get("result") or {}
        how = f"it ended well, with release {result.get('release') or 'none'}"
        if error:
            how = f"it failed at step {error['step']}: {error['message']}"
    return [f"waited {time.monotonic() - began:.0f} s for {first}; {how}"]


def serve() -> None:
    """The program of the unit: reads an order on stdin, and writes its result to a file."""
    os.umask(0o022)
    order = Order(**json.loads(sys.stdin.readline()))
    perform(order, System(engine=unit(order.app)))


def perform(order: Order, system: System, kind: type[Engine] = Engine) -> None:
    """Carry out an order; the result, or the error, is in a file of root's afterwards."""
    ended: dict[str, Any] = {"order": order.id, "description": order.description}
    engine = None
    try:
        try:
            spec, settings = Spec(**order.spec), DeploySettings(**order.settings)
        except TypeError as error:
            message = f"the release engine on this host is of another version of the collection ({error}): {INSTALL}"
            raise ReleaseError("engine", message) from error
        engine = kind(spec, order.secret, settings, order.deploy_key, system, shared_key=order.shared_key)
        if logs_to_app(order):
            system.log = DeployLog(order.app, engine.secret_key.hidden)
        system.log.say(f"{order.description} begins")
        result: Result = getattr(engine, order.verb)(**order.options) or Result()
        ended["result"] = asdict(result)
        tell(system.log, order, result)
    except ReleaseError as error:
        ended["error"] = {"step": error.step, "message": error.message, "log": error.log}
    except Exception as error:
        log = traceback.format_exc()
        log = engine.secret_key.masked(log) if engine else log
        message = f"{type(error).__name__}: please report this as a fault of groundwork.flask"
        ended["error"] = {"step": "engine", "message": message, "log": log}
    if engine and order.verb == "deploy":
        refusal.settle(engine.context, engine.identity, ended.get("error"))
    if failed := ended.get("error"):
        system.log.say(f"{order.description} failed at step {failed['step']}: {failed['message']}", ERROR)
    ended["ended"] = timestamp()
    at = Layout(order.app)
    make_directory(at.run, 0o700)
    write(at.run / "result.json", json.dumps(ended), 0o600)


def tell(log: DeployLog, order: Order, result: Result) -> None:
    """Log how a run has ended that has not failed."""
    what = f"{result.action}: release {result.release}" if result.release else result.action
    took = f" in {result.seconds:.1f} s" if result.seconds else ""
    log.say(f"{order.description} has ended: {what}{took}")
    log.say("\n".join(result.warnings), WARNING)


def stop(app: str, system: System | None = None) -> ActiveRun | None:
    """End the run that is at work on an app, and return it."""
    system = system or System()
    found = active_run(app, system)
    if found:
        system.systemctl("stop", unit(app))
    return found
