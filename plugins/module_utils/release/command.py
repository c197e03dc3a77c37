# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app's command on its host: ``shop status``, ``shop run flask shell``, and what else an operator does there.

The playbooks for day two call the same. Errors end with exit status 1 and a sentence on stderr; ``run`` ends with the
exit status of what it ran.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import pwd
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from ..common import privileges
from ..common.ownership import COMMENT
from . import jobs_command, logs_command, process_command, sandbox, watch, work
from .engine import Engine
from .environment import read_env_file
from .errors import ReleaseError
from .held import held
from .host_warnings import warnings_of
from .jobs import Jobs
from .layout import Layout, other_apps
from .ledger import Ledger, states
from .result import Result
from .settings import DeploySettings
from .spec import Spec
from .steps import Step
from .system import System
from .units import ReleaseUnits
from .watch import Watch

COLUMNS = ("release", "state", "version", "when", "who", "took", "health", "migration")


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in two lines: what is wrong, and how to get help."""

    def error(self, message: str) -> NoReturn:
        """End with exit status 1."""
        raise SystemExit(f"{self.prog}: {message}\nFor help: {self.prog} --help")


def parser(app: str) -> Parser:
    """The verbs and their options."""
    top = Parser(prog=app, description=f"What can be done with the app {app} on this host.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")

    run = verb("run", "run a command in the app's environment and sandbox")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND …", help="for example: flask shell")
    run.add_argument(
        "--release",
        default="",
        metavar="ID",
        help="in this release; by default the live one, or, before there is one, the newest that was built",
    )
    logs_command.add_arguments(
        verb(
            "logs", "show the app's log: of its server, processes, jobs, deploys, and the proxy, all releases together"
        )
    )
    verb("releases", "list the releases that are kept, and the bad ones").add_argument(
        "--json", action="store_true", help="as JSON"
    )
    verb("status", "show the state of the app and its live release").add_argument(
        "--json", action="store_true", help="as JSON"
    )
    verb(
        "processes", "list what runs of the app: its server, its processes, and those that finish their job"
    ).add_argument("--json", action="store_true", help="as JSON")
    again = verb("restart", "restart one process of the live release, which finishes its job first")
    again.add_argument("process", metavar="PROCESS", help="its name; web is the server")
    back = verb("rollback", "make an earlier release live again")
    back.add_argument("release", nargs="?", default="", metavar="ID", help="default: the last good one before this one")
    back.add_argument(
        "--data", choices=("keep", "saved"), default="",
        help="across a migration: keep the database as it is, or put back the copy from before the migration",
    )  # fmt: skip
    back.add_argument("--dry-run", action="store_true", help="show what would happen")
    jobs_command.add_arguments(verb("jobs", "show how the jobs fared; `jobs run JOB` runs one now"))
    pause = verb("pause", "keep everything of the app stopped until this command ends")
    unlock = verb("unlock", "end a deploy that is stuck")
    for each in (again, back, pause, unlock):
        each.add_argument("--json", action="store_true", help="print the result as JSON")
        each.add_argument("--by", default="", help=argparse.SUPPRESS)
    return top


def print_line(text: str) -> None:
    """Print. In a module nothing may; this is a program of its own."""
    sys.stdout.write(f"{text}\n")


def whoami(environment: Mapping[str, str]) -> str:
    """Who is at work, and from where."""
    user = environment.get("SUDO_USER") or environment.get("USER") or "root"
    connection = environment.get("SSH_CONNECTION", "").split()
    return f"{user}@{connection[0]}" if connection else f"{user}@{os.uname().nodename}"


def engine(at: Layout, by: str = "") -> Engine:
    """The engine for an app whose definition stands in its releases alone."""
    return Engine(Spec(at.app), settings=DeploySettings(by=by or whoami(os.environ)), root=at.root)


def run(at: Layout, argv: Sequence[str], release: str) -> int:
    """Run a command as the app would run it, in its sandbox; its exit status, its streams and its signals are ours."""
    argv = list(argv[1:] if argv and argv[0] == "--" else argv)
    if not argv:
        raise SystemExit(f"{at.app} run: name the command, as in: {at.app} run flask shell")
    release = release_to_run_in(at, release)
    directory = at.release(release)
    environment = read_env_file(directory / "env")
    environment.update(read_env_file(directory / "env.direct"))  # past a pooler, as all that is no server
    environment.setdefault("PYTHONPATH", str(directory / "entry"))  # a release of 0.1 has none
    cwd = environment.get("GROUNDWORK_DIRECTORY", str(at.code(release)))
    for name in ("TERM", "COLUMNS", "LINES"):
        if name in os.environ:
            environment[name] = os.environ[name]
    # A shell looks the command up in the app's PATH, inside the sandbox.
    script = ("/bin/sh", "-c", 'exec "$@"', "sh", *argv)
    confined = sandbox.for_app(engine(at).builder.app_sandbox(release))
    return System().interactive(Step(at.app, "run", script, confined, environment, cwd, math.inf))


def release_to_run_in(at: Layout, asked: str) -> str:
    """The release that was asked for; else the live one; before there is one, the newest that was built, and say so."""
    if asked:
        if not at.is_complete(asked):
            raise SystemExit(f"{at.app} has no release {asked}")
        return asked
    if live := at.live():
        return live
    release = at.newest()
    if not release:
        raise SystemExit(f"{at.app} has no release that was built to its end: deploy it first")
    bad = "" if at.is_good(release) else ", which is marked as bad"
    sys.stderr.write(f"{at.app} has no live release yet; this runs in {release}, the newest that was built{bad}\n")
    return release


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The releases as a person reads them."""
    lines = [COLUMNS]
    for row in rows:
        heads = row["migration_heads"]
        lines.append(
            (
                row["release"],
                row["state"] if row["kept"] else f"{row['state']}, gone",
                row["version"],
                row["time"].replace("T", " ").rstrip("Z")[:16],
                row["by"],
                "" if row["seconds"] is None else f"{row['seconds']:.1f} s",
                "" if row["health"] is None else f"{row['health']} ms",
                "" if heads is None else ", ".join(heads) or "none yet",
            )
        )
    widths = [max(len(line[number]) for line in lines) for number in range(len(COLUMNS))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text += [f"{row['release']} is bad: {row['reason']}" for row in rows if row["reason"]]
    return "\n".join(text)


def status(at: Layout) -> dict[str, Any]:
    """How the app stands: its live release, and the units of it; ``unit`` and what follows are about the server."""
    live = at.live()
    rows = states(at)
    row = next((row for row in rows if row["release"] == live), {})
    refused = rows[0] if rows and rows[0]["state"] == "bad" else {}
    units = ReleaseUnits.of(at, live) if live else ReleaseUnits(())
    shown = process_command.shown_units(units, System())
    server = shown.get(units.server, {}) if live else {}
    holder, watched = work.active_run(at.app), Watch.read(at)
    return {
        "app": at.app,
        "release": live,
        "version": row.get("version", ""),
        "deployed": row.get("time", ""),
        "by": row.get("by", ""),
        "unit": units.server if live else "",
        "state": server.get("ActiveState", "") if live else "no release is live",
        "since": server.get("ActiveEnterTimestamp", ""),
        "restarts": int(server.get("NRestarts") or 0),
        "memory": process_command.memory(server),
        "workers": at.workers(live or ""),
        "units": [{**unit, "state": shown.get(unit["name"], {}).get("ActiveState", "")} for unit in units.record()],
        "watch": watched.shown() if watched and watched.release == live else {},
        "at_work": str(holder) if holder else "",
        "warnings": [
            *watch.warnings(at),
            *(Ledger(at).warnings(live) if live else ()),
            *(Jobs(engine(at).context).warnings() if live else ()),
            *warnings_of(at.app, at.root),
        ],
        "refused": {name: refused[name] for name in ("release", "time", "reason") if name in refused},
    }


def status_lines(facts: Mapping[str, Any]) -> str:
    """The status as a person reads it."""
    rows = [
        ("release", f"{facts['release']}, {facts['version']}" if facts["release"] else "none"),
        ("deployed", f"{facts['deployed']} by {facts['by']}" if facts["deployed"] else ""),
        ("state", f"{facts['state']} since {facts['since']}" if facts["since"] else facts["state"]),
        ("restarts", str(facts["restarts"]) if facts["restarts"] else ""),
        ("workers", facts["workers"]),
        ("memory", f"{facts['memory'] / 2**20:.0f} MB" if facts["memory"] else ""),
        *(("process", f"{unit['name']}, {unit['state']}") for unit in facts["units"] if unit["kind"] == "process"),
        ("watch", watch_line(facts["watch"]) if facts["watch"] else ""),
        ("at work", facts["at_work"]),
        ("refused", "{release} on {time}: {reason}".format(**facts["refused"]) if facts.get("refused") else ""),
        *(("warning", warning) for warning in facts["warnings"]),
    ]
    return "\n".join(f"{name:<10}{text}" for name, text in rows if text)


def watch_line(found: Mapping[str, Any]) -> str:
    """What the watch over the live release has seen until now, as a person reads it."""
    failed = f"{found['failed']} of {found['requests']} requests failed"
    return f"until {found['until']}; {found['restarts']} restarts, {failed}"


def have(at: Layout, verb: work.Verb, by: str, **options: Any) -> Result:
    """Have the engine do something to an app whose definition stands in its releases alone."""
    order = work.Order(verb, {"name": at.app}, asdict(DeploySettings(by=by or whoami(os.environ))), options)
    try:
        return work.do(order)
    except KeyboardInterrupt as stop:
        message = f"{order.description} goes on: `{at.app} status` says how far it is, `{at.app} unlock` stops it"
        raise SystemExit(message) from stop


def roll_back(at: Layout, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Go back; the result, and the same as text."""
    if options.dry_run:
        result = engine(at, options.by).roll_back(options.release, options.data, dry_run=True)
    else:
        result = have(at, "roll_back", options.by, to=options.release, data=options.data)
    did = "would be made live" if options.dry_run else f"is live, after {result.seconds:.1f} s"
    text = (
        f"release {result.release} ({result.source}) {did}; before it was {result.previous}.\n"
        f"flask_apps still describes what it described: the next deploy or run of site.yml makes that live again."
    )
    return asdict(result), "\n".join([*result.warnings, text])


def pause(at: Layout, options: argparse.Namespace) -> None:
    """Keep everything of the app stopped until our stdin ends, or the person at it presses Ctrl-C.

    :raises ReleaseError: it could not be stopped, or not be started again.
    """
    order = work.Order("pause", {"name": at.app}, asdict(DeploySettings(by=options.by or whoami(os.environ))))
    with held(order) as notices:
        text = [*notices, f"Nothing of {at.app} runs. It is started again when this command ends: press Ctrl-D."]
        print_line(json.dumps({"notices": notices}) if options.json else "\n".join(text))
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            while sys.stdin.read(1024):
                pass


def restart(at: Layout, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Restart a process; the result, and the same as text."""
    result = have(at, "restart", options.by, process=options.process)
    return asdict(result), "\n".join(
        [*result.warnings, f"{options.process} of release {result.release} was restarted."]
    )


def unlock(at: Layout, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """End the run that is at work, and heal what it leaves; the result, and the same as text.

    :raises ReleaseError: the app is paused for something else, such as a restore: it would start on data that are being
        exchanged.
    """
    running = work.active_run(at.app)
    if running and running.is_pause:
        raise ReleaseError(
            "unlock",
            f"{running} keeps everything of the app stopped, because its data may be exchanged meanwhile. Wait until "
            "it is over, or end what has asked for it; the app starts by itself then",
        )
    holder = work.stop(at.app)
    have(at, "heal", options.by)
    text = f"ended: {holder}. What it left was cleaned up." if holder else f"no run is at work on {at.app}."
    return {"changed": holder is not None, "holder": str(holder or "")}, text


def main(arguments: Sequence[str] = (), root: Path = Path("/")) -> None:
    """``app NAME VERB …``; ``-`` names all apps, for ``releases`` and ``status``. Becomes root by sudo if it must."""
    name, *rest = arguments or sys.argv[1:]
    if acts_for_app(os.geteuid()):
        # A build looks for a program that the host lacks; an app may not use this command.
        sys.stderr.write(f"sh: 1: {name}: not found\n")
        raise SystemExit(127)
    os.umask(0o022)
    options = parser(name).parse_args(logs_command.with_times(rest) if rest[:1] == ["logs"] else rest or ["--help"])
    if os.geteuid() != 0:
        if options.verb == "logs" and logs_command.may_read(name, root):
            raise SystemExit(reader(name, options, root))
        if not privileges.may_become_root():
            raise SystemExit(logs_command.not_reader(name) if options.verb == "logs" else privileges.not_root())
        os.execv("/usr/bin/sudo", ["sudo", sys.argv[0], name, *rest])  # noqa: S606 - no shell is wanted
    try:
        if options.verb in OVERVIEWS:
            overview(name, options, root)
        else:
            act(app_at(name, root), options)
    except ReleaseError as error:
        # What the playbook calls -e data=keep is an option here.
        message = str(error) if getattr(options, "by", "") else str(error).replace("-e data=", "--data ")
        raise SystemExit(f"{name}: {message}") from error
    except KeyboardInterrupt as stop:
        raise SystemExit(130) from stop


def acts_for_app(uid: int) -> bool:
    """Whether a user is the account of an app."""
    try:
        return pwd.getpwuid(uid).pw_gecos.startswith(COMMENT.format(app=""))
    except KeyError:
        return False


def reader(name: str, options: argparse.Namespace, root: Path) -> int:
    """Show the log to someone who may read that, and need not be root for it; the exit status."""
    try:
        return logs_command.act(Layout(name, root), options)
    except KeyboardInterrupt:
        return 130


def app_at(name: str, root: Path) -> Layout:
    """The app of this name; a message when the host has none."""
    at = Layout(name, root)
    if not at.ledger.exists() and at.live() is None:
        raise SystemExit(f"there is no app {name} on this host")
    return at


def overview(names: str, options: argparse.Namespace, root: Path) -> None:
    """Show one app, or several by name."""
    known = other_apps((), root) if names == "-" else names.split(",")
    facts_of, text_of = OVERVIEWS[options.verb]
    facts = {name: facts_of(app_at(name, root)) for name in known}
    if options.json:
        print_line(json.dumps(facts if len(facts) != 1 or names == "-" else facts[names]))
    else:
        print_line("\n\n".join((f"{name}:\n" if len(facts) > 1 else "") + text_of(facts[name]) for name in facts))


def act(at: Layout, options: argparse.Namespace) -> None:
    """Do something to one app."""
    if options.verb == "run":
        raise SystemExit(run(at, options.argv, options.release))
    if options.verb == "jobs":
        raise SystemExit(jobs_command.act(engine(at).context, options))
    if options.verb == "pause":
        pause(at, options)
        return
    if options.verb == "logs":
        raise SystemExit(logs_command.act(at, options))
    result, text = {"restart": restart, "rollback": roll_back, "unlock": unlock}[options.verb](at, options)
    print_line(json.dumps(result) if options.json else text)


OVERVIEWS: Mapping[str, tuple[Callable[[Layout], Any], Callable[[Any], str]]] = {
    "releases": (states, table),
    "status": (status, status_lines),
    "processes": (process_command.processes, process_command.table),
}
