"""An app for the tests of the release engine: a real file system, and a host that notes what it is asked."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.groundwork.flask.plugins.module_utils.common import sqlite
from ansible_collections.groundwork.flask.plugins.module_utils.common.on_host import on_host
from ansible_collections.groundwork.flask.plugins.module_utils.common.ownership import Ownership
from ansible_collections.groundwork.flask.plugins.module_utils.release import probe
from ansible_collections.groundwork.flask.plugins.module_utils.release.build import UNPACK
from ansible_collections.groundwork.flask.plugins.module_utils.release.deploy import Deployment
from ansible_collections.groundwork.flask.plugins.module_utils.release.engine import Engine
from ansible_collections.groundwork.flask.plugins.module_utils.release.layout import Layout
from ansible_collections.groundwork.flask.plugins.module_utils.release.ledger import Ledger
from ansible_collections.groundwork.flask.plugins.module_utils.release.result import Result
from ansible_collections.groundwork.flask.plugins.module_utils.release.settings import DeploySettings
from ansible_collections.groundwork.flask.plugins.module_utils.release.spec import Spec
from ansible_collections.groundwork.flask.plugins.module_utils.release.steps import Step
from ansible_collections.groundwork.flask.plugins.module_utils.release.system import System
from ansible_collections.groundwork.flask.plugins.module_utils.release.units import ReleaseUnits
from ansible_collections.groundwork.flask.plugins.module_utils.release.unix_http import Response

# What the probe says of an app with which all is well.
GOOD: dict[str, Any] = {
    "flask": "3.1.3",
    "debug": False,
    "secret_key": "good",
    "own_key": "",
    "fallbacks": False,
    "session_cookie_secure": True,
    "max_content_length": None,
    "server_error": "",
    "migration_heads": None,
}


class Killed(BaseException):
    """Stands for kill -9: nothing of the engine handles it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: str, when: str, run: Callable[[], object]) -> None:
    """Run, and kill the engine before or after a step of it."""
    real = getattr(Deployment, f"step_{step}")

    def killed(self: Deployment) -> None:
        if when == "after":
            real(self)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Deployment, f"step_{step}", killed)
        with pytest.raises(Killed):
            run()


# What `systemctl cat` prints of an app's unit.
UNIT = f"""
[Service]
Type=notify
User=shop
ExecStart={on_host("releases", "shop")}/%i/start
BindPaths={on_host("data", "shop")}
PrivateTmp=yes
"""


def own_account(app: str) -> pwd.struct_passwd:
    """The account of an app as the role service_user makes it, with the number of this process's user."""
    comment, data = f"Flask app {app}", on_host("data", app)
    return pwd.struct_passwd((app, "x", os.getuid(), os.getgid(), comment, data, "/usr/sbin/nologin"))


class PlainSystem(System):
    """Steps without systemd: they run as the user of the tests, in no sandbox.

    :ivar steps: those that ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def ownership(self, app: str, root: Path = Path("/")) -> Ownership:
        return Ownership(app, own_account(app), None, root)

    def systemctl(self, *arguments: str, **_options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(arguments, 0, UNIT, "")

    def step(self, step: Step) -> tuple[int, str]:
        self.steps.append(step)
        done = subprocess.run(
            step.argv, env=dict(step.environment), cwd=step.cwd, stdin=step.stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=step.seconds, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(errors="replace")

    @contextmanager
    def background(self, step: Step) -> Iterator[None]:
        self.steps.append(step)
        with subprocess.Popen(step.argv, env=dict(step.environment), cwd=step.cwd) as process:
            try:
                yield
            finally:
                process.terminate()


class FakeSystem(System):
    """systemd, the installer, the processes of an app and its health; all well until told otherwise.

    What the engine runs as the app's user is simulated (the installer, the app), or runs as the user of the tests
    (publishing static files, saving databases).

    :ivar account: the account of the app's name, which was made for the app.
    :ivar commands: each command line of a build, of the app, or of root.
    :ivar steps: those that ran as the app.
    :ivar said: what the engine told systemd of how far it is.
    :ivar told: what whoever has the app paused is told of it.
    :ivar fail: what a command that contains a word says before it fails.
    :ivar ends: the exit status and the output of a step that contains a word, in place of what it would do.
    :ivar on: what happens in a command that contains a word.
    :ivar answers: what the app answers, before it answers well again.
    :ivar alive: the processes of the app, each time one asks; the last ones stay.
    :ivar undead: the processes of the app's user that no signal ends.
    :ivar restarted: how often systemd says that it had to start the app again.
    :ivar restarts_of: the same for a unit, each time one asks; the last one stays.
    :ivar crashing: units that start and do not stay active.
    :ivar busy: units that finish what they have begun when they are told to end; ``ending`` has those that do so now.
    :ivar kill_at: the call in which the engine is killed, counted from 1; 0 for never.
    """

    def __init__(self, root: Path, data: str) -> None:
        super().__init__()
        self.root, self.data = root, data
        self.account = own_account(getpass.getuser())
        self.active: set[str] = set()
        self.commands: list[str] = []
        self.steps: list[Step] = []
        self.said: list[str] = []
        self.told: list[str] = []
        self.fail: dict[str, str] = {}
        self.ends: dict[str, tuple[int, str]] = {}
        self.on: dict[str, Callable[[], object]] = {}
        self.answers: list[Response] = []
        self.alive: list[set[int]] = [{1, 2}]
        self.undead: list[int] = []
        self.facts = dict(GOOD)
        self.code = {"requirements.txt": "flask\n", "static/a.css": "x"}
        self.restarts_of: dict[str, list[int]] = {}
        self.crashing: set[str] = set()
        self.busy: set[str] = set()
        self.ending: set[str] = set()
        self.calls = self.kill_at = self.restarted = 0

    def note(self, line: str) -> str | None:
        """Note a command; what it says when it has to fail."""
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed
        self.commands.append(line)
        for part, action in self.on.items():
            if part in line:
                action()
        return next((said for part, said in self.fail.items() if part in line), None)

    def run(self, *command: str, **_options: Any) -> subprocess.CompletedProcess[str]:
        said = self.note(" ".join(command))
        return subprocess.CompletedProcess(command, 0 if said is None else 1, "", said or "")

    def systemctl(self, *arguments: str, **_options: Any) -> subprocess.CompletedProcess[str]:
        said = self.note(" ".join(("systemctl", *arguments)))
        if arguments[0] == "cat":
            return subprocess.CompletedProcess(arguments, 0 if said is None else 1, UNIT, said or "")
        verb, *rest = [word for word in arguments if not word.startswith("--")]
        units = [name for name in rest if "@" in name or name.endswith((".service", ".timer"))]
        for unit in units:
            target = {"socket": "sockets", "timer": "timers"}.get(unit.rpartition(".")[2], "multi-user")
            wants = self.root / "etc/systemd/system" / f"{target}.target.wants"
            if verb == "enable":
                wants.mkdir(parents=True, exist_ok=True)
                (wants / unit).touch()
            if verb == "disable":
                (wants / unit).unlink(missing_ok=True)
        if said is None and (verb == "start" or (verb == "enable" and "--now" in arguments)):
            self.active |= set(units)
        if verb == "stop" or (verb == "disable" and "--now" in arguments):
            self.ending -= set(units)
            if "--no-block" in arguments:
                self.ending |= set(units) & self.active & self.busy
            self.active -= set(units)
        states = [self.state(unit) for unit in units] if verb == "show" else []
        return subprocess.CompletedProcess(arguments, 0 if said is None else 1, "\n".join(states), said or "")

    def step(self, step: Step) -> tuple[int, str]:
        command, cwd = step.argv, step.cwd
        line = " ".join(command)
        self.steps.append(step)
        if (said := self.note(line)) is not None:
            return 1, said
        if end := next((end for part, end in self.ends.items() if part in line), None):
            return end
        if probe.MARK in line:
            return 0, f"a warning\n{probe.MARK}{json.dumps(self.facts)}\n"
        if UNPACK in command:
            for name, text in self.code.items():
                Path(cwd, name).parent.mkdir(parents=True, exist_ok=True)
                Path(cwd, name).write_text(text)
        elif sqlite.__doc__ and sqlite.__doc__ in line:
            here = [str(self.root / self.data[1:]) if word == self.data else word for word in command[1:]]
            done = subprocess.run((sys.executable, *here), capture_output=True, text=True, check=False)
            return done.returncode, done.stdout + done.stderr
        elif "cp -RL" in line:
            return subprocess.run(command, check=False, capture_output=True).returncode, "no such directory"
        elif " venv" in line:
            for name in ("bin", "lib/python3/site-packages/flask-3.1.3.dist-info"):
                Path(cwd, name).mkdir(parents=True)
        return 0, ""

    def journal(self, _app: str, _unit: str, _since: float) -> str:
        return "Traceback: no such table"

    def processes(self, _unit: str) -> set[int]:
        return self.alive.pop(0) if len(self.alive) > 1 else self.alive[0]

    def state(self, unit: str) -> str:
        if unit in self.active:
            return "activating" if unit in self.crashing else "active"
        return "deactivating" if unit in self.ending else "inactive"

    def restarts(self, unit: str) -> int:
        counts = self.restarts_of.get(unit, [self.restarted])
        return counts.pop(0) if len(counts) > 1 else counts[0]

    def await_caller(self, notices: Sequence[str]) -> None:
        self.note("everything is stopped")
        self.told += notices

    def status(self, text: str) -> None:
        self.said.append(text)

    def ownership(self, app: str, root: Path = Path("/")) -> Ownership:
        return Ownership(app, self.account if app == self.account.pw_name else None, None, root)

    def kill(self, _uid: int) -> list[int]:
        return self.undead

    def ask(self, _sock: Path, host: str, path: str, _seconds: float) -> Response:
        self.note(f"GET {host}{path}")
        return self.answers.pop(0) if self.answers else Response(200, "body")

    def sleep(self, seconds: float) -> None:
        pass

    def hold(self, sock: Path) -> FakeHold:  # type: ignore[override]
        self.note(f"hold {sock.parent.name}")
        return FakeHold(self)


@dataclass
class FakeHold:
    """Notes what would become of the visitors who wait."""

    system: FakeSystem

    def take_place(self) -> None:
        self.system.note("hold on")

    def hand_over(self, sock: Path) -> None:
        self.system.note(f"hand over to {sock.parent.name}")

    def end(self) -> None:
        self.system.note("end of the hold")


class App:
    """An app named after this user, so that its files can be given to it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(exist_ok=True)
        self.root, self.name = root, getpass.getuser()
        self.at = Layout(self.name, root)
        self.system = FakeSystem(root, self.at.data)
        self.ledger = Ledger(self.at)
        archive = root / "source.tar.gz"
        archive.write_bytes(b"packed")
        self.spec: dict[str, Any] = {
            "name": self.name,
            "source": {"tree": "a" * 64, "directory": "shop", "description": "shop"},
            "environment": {"WSGI_APP": "shop:app"},
            "files": {"start": "#!/bin/sh\n", "entry/groundwork_wsgi.py": "", "server.json": '{"threads": 8}'},
            "requirements": ["gunicorn"],
            "static": {"/static/": "static"},
            "health": {"host": "shop.example.org", "path": "/healthz", "timeout": 60},
            "archive": str(archive),
        }

    def engine(
        self,
        secrets: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        shared_key: str = "",
        **changes: Any,
    ) -> Engine:
        """The engine for the app with another specification; without a source for one of what is on the host."""
        spec = Spec(**{**self.spec, **changes})
        chosen = DeploySettings(**{"installer": "pip", "by": "ann@laptop", **(settings or {})})
        return Engine(spec, secrets, chosen, system=self.system, root=self.root, shared_key=shared_key)

    def on_host(self, by: str = "ann@laptop") -> Engine:
        """The engine as the app's command has it: the definition stands in the releases alone."""
        return Engine(Spec(name=self.name), settings=DeploySettings(by=by), system=self.system, root=self.root)

    def deploy(self, colour: str = "red", **changes: Any) -> Result:
        """Deploy with an environment of one's choice."""
        return self.engine(environment={"WSGI_APP": "shop:app", "COLOUR": colour}, **changes).deploy()

    def live_units(self) -> set[str]:
        return set(ReleaseUnits.of(self.at, self.at.live() or "").names)

    def events(self) -> list[str]:
        return [event["event"] for event in self.ledger.events()]

    def has_run(self, part: str) -> int:
        """In how many commands a word stands."""
        return sum(part in line for line in self.system.commands)

    def left_over(self) -> list[str]:
        """What has no business to be there while nobody is at work."""
        live, releases = self.at.live(), list(self.at.releases.iterdir())
        used = {(path / "venv").resolve() for path in releases}
        found = [path for path in releases if not self.at.is_complete(path.name)]
        found += [
            path for path in self.at.environments.iterdir() if path not in used or not (path / "complete").exists()
        ]
        found += [path for path in self.at.home.iterdir() if path.name not in ("releases", "environments", "current")]
        found += self.at.home.rglob(".*.new")
        found += [path for path in self.at.saved.glob("*") if not self.at.is_complete(path.name)]
        found += self.on_host().supervisor.process_units.orphans()
        units = self.system.active ^ self.live_units()
        return [*map(str, found), *units, *(self.on_host().supervisor.enabled() - {live})]
