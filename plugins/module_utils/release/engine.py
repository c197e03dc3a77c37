# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: deploys one app, goes back, takes it off the host. Every run begins by healing what a killed one left.

It runs in a unit of its own (``work.py``), which is what keeps it from running twice. What acts for the app, or builds
it, is a step: a unit with a sandbox, as the app's user (``host.py``, ``sandbox.py``).
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import hmac
import http.client
import inspect
import json
import os
import pwd
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import sqlite, trees
from ..common.clock import timestamp
from ..common.files import fsync_directory, write
from ..common.programs import ENVIRONMENT
from ..common.systemd import TIMED_OUT
from ..common.text import line
from . import checks, probe, sandbox, source
from .build import CA_BUNDLE, COMPILE, Builder, has_user, is_whole
from .layout import (
    DeploySettings,
    Layout,
    ReleaseError,
    apps,
    env_file,
    flat,
    megabytes,
    read_env_file,
    tail,
)
from .ledger import Ledger
from .spec import Spec
from .system import Response, Step, System

WANTS = ("sockets.target.wants", "multi-user.target.wants")
IMPORT_SECONDS = 300
DRAIN_SECONDS = 0.5
MOST_RESTARTS = 3
# What a first build is reckoned with, and what must stay free for everybody else.
FIRST_BUILD, RESERVE = 200 * 2**20, 64 * 2**20
# A name with a hash in it, as bundlers make them: its content never changes, so an old one may stay reachable.
HASHED_NAME = re.compile(r"[.\-_](?=[\w-]*(?:\d|[a-z][\w-]*[A-Z]))[0-9A-Za-z_-]{8,64}\.\w+")

# Copies directories, a pair of paths each, and ends with the number of the one that cannot be copied; then compiles.
PUBLISH = """
python=$1 compile=$2 number=0
shift 2
while [ $# -gt 0 ]; do
    number=$((number + 1))
    mkdir -p -- "$2" && cp -RL -- "$1/." "$2/" && chmod -R u=rwX,go=rX -- "$2" || exit $number
    shift 2
done
"$python" -I -c "$compile" || :
"""

# What apps say that relied on something of the machine they were made on, and what helps.
HINTS = (
    (
        r"No module named 'pkg_resources'",
        "it uses setuptools without asking for it: add setuptools<81 to its requirements",
    ),
    (
        r"No module named '(psycopg2|psycopg|MySQLdb|pymysql)'",
        "the database's driver is missing: add it to its requirements",
    ),
    (
        r"unable to open database file|Read-only file system|Permission denied: '/srv",
        "it may write below DATA_DIR alone (/var/lib/{app}): have it keep its files there",
    ),
    (
        r"write\+execute memory|ffi\.callback",
        "its sandbox forbids memory that it both writes and executes: allow it by "
        "`sandbox: {{MemoryDenyWriteExecute: false}}` in flask_apps.{app}, then run groundwork.flask.site",
    ),
    (
        r"Address family not supported by protocol",
        "its sandbox forbids a kind of socket: allow it by `sandbox: {{RestrictAddressFamilies: …}}` in "
        "flask_apps.{app}, then run groundwork.flask.site",
    ),
)

# The steps from nothing to live, in order. Each may be killed; a rerun heals and finishes the work.
STEPS = ("fetch", "install", "import", "save", "command", "start", "switch", "drain", "prune")
# A kept release has been proved already: it is started, asked for its health, and made live.
STEPS_BACK = ("start", "switch", "drain")


@dataclass
class Result:
    """What a run did to one app: ``unchanged``, ``started``, ``prepared``, ``deployed``, ``rolled_back``, ``removed``.

    A prediction says ``to start`` or ``to deploy``.
    """

    release: str = ""
    previous: str = ""
    action: str = "unchanged"
    source: str = ""
    workers: str = ""
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    needs_archive: bool = False

    @property
    def changed(self) -> bool:
        return self.action != "unchanged"


class Engine:
    """Deploys one app.

    :param spec: what the release is made of.
    :param secret: the app's secrets, part of its environment.
    :param settings: how to deploy.
    :param deploy_key: private SSH key for the repository.
    """

    def __init__(
        self,
        spec: Spec,
        secret: Mapping[str, str] | None = None,
        settings: DeploySettings | None = None,
        deploy_key: str = "",
        system: System | None = None,
        root: Path = Path("/"),
        shared_key: str = "",
    ) -> None:
        self.spec, self.secret, self.settings = spec, secret or {}, settings or DeploySettings()
        self.shared_key = shared_key
        self.system = system or System()
        self.at = Layout(spec.name, root)
        self.ledger = Ledger(self.at)
        self.builder = Builder(spec, self.settings, self.system, self.at, deploy_key)
        self.source = source.of(spec.source, self.builder) if spec.source else None
        self.id = self.commit = ""
        self.health_ms: int | None = None
        self.heads: dict[str, list[str] | None] = {"before": None, "after": None}
        self.run = Result()
        self.skip_checks = set(spec.skip_checks)

    # --- the runs ----------------------------------------

    def deploy(self, through: str = STEPS[-1], rotate: bool = False) -> Result:
        """Make the release that the spec describes live; raise ReleaseError with the old one serving if it cannot.

        :param through: the last step to take; after one before ``switch`` the release is prepared and not live.
        :param rotate: make a new SECRET_KEY first.
        """
        began = time.time()
        try:
            self.identify(create=True, rotate=rotate)
        finally:
            self.heal()
        live = self.at.live()
        result = self.result(live)
        if live == self.id:
            if not self.system.is_active(*self.units(self.id)):
                self.start(self.id)
                result.action = "started"
        elif not self.at.is_good(self.id) and self.lacks_archive():
            result.action, result.needs_archive = "needs_archive", True
            return result
        else:
            steps = STEPS[: STEPS.index(through) + 1]
            result.action = "deployed" if "switch" in steps else "prepared"
            self.go(steps, live, result)
            result.seconds = round(time.time() - began, 2)
            if "switch" in steps:
                self.ledger.append("live", self.id, **self.outcome(live))
        result.workers = self.at.workers(self.id)
        return result

    def lacks_archive(self) -> bool:
        """Whether the controller has yet to send what this build needs of it."""
        code = self.source and not self.source.on_host and not self.spec.archive
        return bool(code or (self.spec.wheels_tree and not self.spec.wheels_archive))

    def predict(self) -> Result:
        """What :meth:`deploy` would do, without touching the host."""
        live = self.at.live()
        try:
            key = self.identify(create=False)
        except (ReleaseError, KeyError, OSError) as error:
            return Result("", live or "", "to deploy", warnings=[f"what would be deployed is not known: {error}"])
        result = self.result(live)
        if live != self.id or not key:
            result.action = "to deploy"
            if not key:
                result.release = ""  # the SECRET_KEY that goes into it is yet to be made
            if self.has_command_to_run():
                result.commands.append(self.spec.release_command)
        elif not self.system.is_active(*self.units(self.id)):
            result.action = "to start"
        result.workers = self.at.workers(self.id)
        return result

    def is_settled(self) -> bool:
        """Whether nothing is left of a run that was killed; then a deploy that would change nothing need not run."""
        return (
            self.enabled() <= {self.at.live()}
            and not self.incomplete_releases()
            and not self.unused_environments()
            and self.ledger.cut_off(self.ledger.read()) is None
        )

    def roll_back(self, to: str = "", data: str = "", dry_run: bool = False) -> Result:
        """Make an earlier release live again.

        :param to: its id; by default the one that was live before, and is good.
        :param data: where a migration lies between: ``keep`` leaves the database as it is, ``saved`` puts back the copy
            made before the migration. Without, such a rollback is refused.
        """
        began = time.time()
        live = self.at.live()
        if not dry_run:
            self.heal()
        self.id = self.choose_back(to, live)
        self.check_heads(live, data)
        facts = self.at.facts(self.id)
        self.commit = facts.get("commit", "")
        self.skip_checks.add("stable")  # it has been live before, and someone is waiting
        result = self.result(live)
        result.action = "rolled_back"
        if dry_run:
            return result
        with self.saved_data(live) if data == "saved" else contextlib.nullcontext():
            self.go(STEPS_BACK, live, result)
        result.seconds = round(time.time() - began, 2)
        self.ledger.append("live", self.id, **self.outcome(live))
        result.workers = self.at.workers(self.id)
        return result

    def remove(self, purge: bool = False) -> Result:
        """Take the app off the host, with ``purge`` also data, cache, secrets, account.

        :raises ReleaseError: naming what could not be removed; the rest is gone.
        """
        paths = [self.at.home, self.at.build_cache, *([self.at.command] if self.owns_command() else [])]
        if purge:
            data, cache = self.at.root / self.at.data[1:], self.at.root / self.at.cache[1:]
            paths += [data, cache, self.at.secret_key.parent, self.at.saved, self.at.ledger]
        found = [path for path in paths if os.path.lexists(path)]
        for release in self.enabled():
            self.stop(release)
        if found:
            self.ledger.append("removed", "", by=self.settings.by, purged=purge)
        left: list[str] = []
        account = purge and has_user(self.spec.name)
        if has_user(self.spec.name):
            left += self.end_processes()
        for path in found:
            try:
                trees.remove(path)
            except OSError as error:
                left.append(f"{path} ({error.strerror})")
        if purge:
            left += self.end_journal()
        if account and not left:  # what belongs to it would belong to whoever gets its number next
            done = self.system.run("/usr/sbin/userdel", self.spec.name)
            if done.returncode and has_user(self.spec.name):
                left.append(f"the account {self.spec.name} ({tail(done.stderr, 1)})")
        if left:
            raise ReleaseError(
                "remove", f"these could not be removed: {'; '.join(left)}. End what uses them, and run again"
            )
        return Result(action="removed" if found or account else "unchanged")

    def end_journal(self) -> list[str]:
        """Stop the app's journal and remove it; what is left of it."""
        app = self.spec.name
        units = (
            f"systemd-journald@{app}.service",
            f"systemd-journald@{app}.socket",
            f"systemd-journald-varlink@{app}.socket",
        )
        self.system.systemctl("stop", *units)
        logs = [path for kind in ("var/log", "run/log") for path in (self.at.root / kind / "journal").glob(f"*.{app}")]
        try:
            trees.remove(*logs, self.at.root / "run/systemd" / f"journal.{app}")
        except OSError as error:
            return [f"the journal of {app} ({error.strerror})"]
        return []

    def end_processes(self) -> list[str]:
        """End what runs as the app's user, and take away what would start it again; what is left of it."""
        user = self.spec.name
        uid = pwd.getpwnam(user).pw_uid
        for kind in ("cron/crontabs", "cron/atjobs", "cron/atspool"):
            spool = self.at.root / "var/spool" / kind
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                trees.remove(*(path for path in spool.iterdir() if path.name == user or path.lstat().st_uid == uid))
        trees.remove(self.at.root / "var/lib/systemd/linger" / user)
        for _turn in range(50):
            self.system.systemctl("kill", "--signal=KILL", f"user@{uid}.service", f"user-{uid}.slice")
            running = self.system.kill(uid)
            if not running:
                return []
            self.system.sleep(0.1)
        return [f"processes of {user} ({', '.join(map(str, running[:5]))})"]

    def go(self, steps: Sequence[str], live: str | None, result: Result) -> None:
        """Take the steps; each may be killed, and the next run begins by cleaning up after it."""
        self.run = result
        self.clear()
        self.ledger.append("begin", self.id, by=self.settings.by, previous=live, action=result.action)
        for step in steps:
            self.system.status(step)
            began = time.monotonic()
            try:
                getattr(self, f"step_{step}")(live)
            except Exception as error:
                self.abandon(step, live, error)
                if not isinstance(error, (OSError, http.client.HTTPException)):
                    raise
                raise ReleaseError(step, f"{step}: {error}") from error
            result.steps[step] = round(time.monotonic() - began, 3)
        result.warnings += self.builder.warnings

    def clear(self) -> None:
        """Forget the steps of a run that was killed, and what they were given; a step reads that when it starts."""
        self.system.systemctl("reset-failed", f"groundwork-release@{self.spec.name}.*")
        for path in self.at.run.glob("*.env"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - 60:
                    path.unlink()

    def abandon(self, step: str, live: str | None, error: Exception) -> None:
        """Stop the new instance, mark its release as bad, and note why; but not if it is live by now."""
        if self.at.live() == self.id:
            return
        self.stop(self.id)
        with contextlib.suppress(OSError):
            (self.directory / "bad").touch()
        reason, log = (error.message, error.log) if isinstance(error, ReleaseError) else (str(error), "")
        with contextlib.suppress(OSError):  # the disk may be full, which is no reason to hide the first error
            self.ledger.append(
                "bad", self.id, by=self.settings.by, previous=live, source=self.describe(), version=self.version(),
                step=step, reason=self.masked(reason), log=self.masked(log)[-4000:],
            )  # fmt: skip

    @property
    def directory(self) -> Path:
        return self.at.release(self.id)

    def result(self, live: str | None) -> Result:
        differences = self.changes(live) if live != self.id else []
        changes = [name for name, _old, _new in differences]
        return Result(self.id, live or "", source=self.describe(), changes=changes, differences=differences)

    # --- identity ----------------------------------------

    def identify(self, create: bool, rotate: bool = False) -> str:
        """Tell the release's id, and return the SECRET_KEY that it is keyed with: nobody can guess a secret from it."""
        key = self.read_secret_key(create, rotate)
        if create:
            self.builder.prepare()
        self.commit = self.source.resolve() if self.source else ""
        text = json.dumps(self.define(), sort_keys=True, default=str)
        self.id = digest(text, key)[:12]
        return key

    def define(self) -> dict[str, Any]:
        """Everything that defines the running process."""
        return {
            **self.spec.definition(),
            "source": self.commit,
            "python": self.builder.python_version(),
            "secrets": dict(self.secret),
            "wheels": self.spec.wheels_tree,
        }

    def definition(self) -> dict[str, Any]:
        """The same for people: secrets as keyed digests, which tell that one has changed, files in short."""
        defined = self.define()
        key = self.read_secret_key(create=False)
        secret = {**self.secret, "SECRET_KEY": key}
        defined["secrets"] = {name: f"secret, {digest(value, key)[:8]}" for name, value in secret.items()}
        defined["source"] = f"{self.describe()}, {self.commit[:12]}"
        defined["server"] = json.loads(defined["files"].pop("server.json", "{}"))
        defined["files"] = {name: digest(text)[:8] for name, text in defined["files"].items()}
        shown: dict[str, Any] = json.loads(json.dumps(defined, default=str))
        return shown

    def changes(self, live: str | None) -> list[tuple[str, str, str]]:
        """What differs from the live release: name, old value, new value, "" for none."""
        if not live:
            return []
        old = dict(flat(self.at.definition(live)))
        new = dict(flat(self.at.definition(self.id) if self.at.is_complete(self.id) else self.definition()))
        return [
            (name, old.get(name, ""), new.get(name, ""))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]

    def version(self) -> str:
        return self.source.version(self.commit) if self.source else self.at.facts(self.id).get("version", "")

    def describe(self) -> str:
        """The source in words."""
        if not self.source:
            return str(self.at.facts(self.id).get("source", ""))
        given = self.spec.source
        return f"{given['git']} {self.version()}" if "git" in given else self.version()

    def read_secret_key(self, create: bool, rotate: bool = False) -> str:
        """The app's SECRET_KEY: the user's; else the one that all its hosts share; else 256 bits made on this host once.

        :param create: keep the shared one on the host, or make one where there is none.
        :param rotate: make a new one; a shared one is made anew by whoever hands it out.
        """
        if key := self.secret.get("SECRET_KEY"):
            if rotate:
                raise ReleaseError(
                    "rotate",
                    f"the SECRET_KEY of {self.spec.name} stands in flask_app_secrets: change it there and deploy; "
                    "sessions signed with the old one stay good for a while",
                )
            return key
        path = self.at.secret_key
        key = path.read_text().strip() if path.exists() else ""
        wanted = self.shared_key or (secrets.token_hex(32) if create and (rotate or not key) else key)
        if create and wanted != key:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(path, wanted, 0o600)
        return wanted

    def environment(self) -> dict[str, str]:
        """The environment of the app's processes."""
        release = str(self.directory)
        return {
            "PATH": f"{release}/venv/bin:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": self.at.data,
            "DATA_DIR": self.at.data,
            "XDG_CACHE_HOME": self.at.cache,
            "MPLCONFIGDIR": f"{self.at.cache}/matplotlib",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            # Wheels bring an OpenSSL that looks for certificates on the machine it was built on.
            "SSL_CERT_FILE": CA_BUNDLE,
            "REQUESTS_CA_BUNDLE": CA_BUNDLE,
            "RELEASE": self.id,
            "VIRTUAL_ENV": f"{release}/venv",
            **self.spec.environment,
            **self.secret,
            "SECRET_KEY": self.read_secret_key(create=False),
            **({"SECRET_KEY_FALLBACKS": json.dumps(former)} if (former := self.former_keys()) else {}),
        }

    def former_keys(self) -> list[dict[str, Any]]:
        """The SECRET_KEYs before the present one that are accepted for a while, each with the time when that ends."""
        if self.at.is_complete(self.id):
            kept: list[dict[str, Any]] = json.loads(
                read_env_file(self.directory / "env").get("SECRET_KEY_FALLBACKS", "[]")
            )
            return kept
        old = read_env_file(self.at.current / "env")
        present, last = self.read_secret_key(create=False), old.get("SECRET_KEY", "")
        until = int(time.time()) + self.settings.fallback_days * 86400
        former: list[dict[str, Any]] = [{"key": last, "until": until}] if last else []
        former += json.loads(old.get("SECRET_KEY_FALLBACKS", "[]"))
        return [entry for entry in former if entry["key"] != present and entry["until"] > time.time()]

    def masked(self, text: str) -> str:
        """A text without the app's secrets."""
        for value in sorted((*self.secret.values(), self.read_secret_key(create=False)), key=len, reverse=True):
            if len(value) > 3:
                text = text.replace(value, "********")
        return text

    # --- building ----------------------------------------

    def step_fetch(self, live: str | None) -> None:
        """Put the code into a new directory that belongs to the app's user for the time of the build."""
        if self.at.is_good(self.id) or not self.source:
            return
        self.check_space(live)
        trees.remove(self.directory)
        self.at.releases.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o711)
        for name in ("code", "public"):
            (self.directory / name).mkdir(mode=0o750)
            self.builder.give(self.directory / name)
        status, said = self.source.fetch(self.directory / "code")
        if status:
            raise ReleaseError("fetch", f"the source {self.describe()} could not be fetched", tail(said))

    def check_space(self, live: str | None) -> None:
        """Refuse a build that would not fit before anything is written; the last one tells what it may need."""
        last = self.at.facts(live).get("bytes", {}) if live else {}
        new_environment = 0 if last and self.same_environment(live) else last.get("environment", FIRST_BUILD)
        need = int(1.2 * (last.get("code", 0) + new_environment)) + RESERVE
        packed = Path(self.spec.archive)
        need += 4 * packed.stat().st_size if self.spec.archive and packed.exists() else 0
        disk = next(path for path in (self.at.home, *self.at.home.parents) if path.exists())
        free = shutil.disk_usage(disk).free
        if free < need:
            raise ReleaseError(
                "fetch",
                f"the disk is too full: this build is reckoned to need {megabytes(need)} below {self.at.home}, and "
                f"{megabytes(free)} are free. Make room; to keep fewer releases helps too (release_keep: "
                f"{self.settings.keep})",
            )

    def same_environment(self, live: str | None) -> bool:
        """Whether nothing but the code has changed, as far as can be told before it is there."""
        before = self.at.definition(live) if live else {}
        after = self.definition()
        return all(before.get(name) == after[name] for name in ("python", "requirements", "extras", "wheels"))

    def step_install(self, live: str | None) -> None:
        """Give the release its environment, static files, settings; with ``release.json`` it is complete."""
        del live
        if self.at.is_good(self.id) or not self.source:
            return
        code, public = self.directory / "code", self.directory / "public"
        venv = self.builder.install(code, self.commit)
        (self.directory / "venv").symlink_to(Path("../../environments", venv.name))
        self.publish(code, venv)
        self.builder.take(code)
        self.builder.take(public, files_only=True)
        os.chmod(public, 0o755)
        self.write_files()
        facts = {
            "id": self.id,
            "source": self.describe(),
            "version": self.version(),
            "commit": self.commit,
            "python": self.builder.python_version(),
            "built": timestamp(),
            "health": dict(self.spec.health),
            "static": sorted(item.path for item in trees.walk(public) if HASHED_NAME.search(item.name)),
            "bytes": {"code": trees.size(self.directory), "environment": trees.size(venv)},
            "packages": installed_packages(venv),
        }
        write(self.directory / "release.json", json.dumps(facts, indent=1) + "\n", 0o644)

    def publish(self, code: Path, venv: Path) -> None:
        """Copy the static files to where the proxy may read, and compile the code, which nobody can once it is root's.

        As a step of the build, so that no link leads further than the build can read.
        """
        base = code
        if "package" in self.spec.source:
            base = venv / "lib" / f"python{self.builder.python_version()}" / "site-packages"
        public, static = self.directory / "public", self.spec.static
        pairs = [(str(base / path), str(public / url.strip("/"))) for url, path in static.items()]
        argv = (
            "/bin/sh",
            "-c",
            PUBLISH,
            "publish",
            f"{venv}/bin/python",
            COMPILE,
            *(word for pair in pairs for word in pair),
        )
        status, said = self.builder.as_app("publish", *argv, cwd=code)
        if status:
            path = [*self.spec.static.values(), ""][min(status, len(pairs) + 1) - 1]
            message = f"proxy.static: {path!r} cannot be published; is it in the source?"
            raise ReleaseError("install", message, tail(said))

    def write_files(self) -> None:
        """The server's files and the environment."""
        group = grp.getgrnam(self.spec.name).gr_gid
        for name, text in self.spec.files.items():
            path = self.directory / name
            path.parent.mkdir(mode=0o755, exist_ok=True)
            write(path, text, 0o750 if name == "start" else 0o640, gid=group)
        write(self.directory / "env", env_file(self.environment()), 0o600)
        write(self.directory / "definition.json", json.dumps(self.definition(), indent=1) + "\n", 0o600)

    # --- proving ----------------------------------------

    def as_app(
        self,
        name: str,
        *argv: str,
        seconds: float,
        environment: Mapping[str, str],
        cwd: Path = Path("/"),
        writable: Sequence[Path] = (),
    ) -> tuple[int, str]:
        """Run a step in the app's own sandbox.

        :param writable: what it may write beside what the app may.
        """
        confined = sandbox.for_app(self.builder.unit(self.id), writable)
        return self.system.step(Step(self.spec.name, name, argv, confined, environment, str(cwd), seconds))

    def as_release(self, name: str, *argv: str, seconds: float) -> tuple[int, str]:
        """Run a command as the app would run."""
        environment = {**self.environment(), "PYTHONPATH": f"{self.directory}/entry"}
        return self.as_app(name, *argv, seconds=seconds, environment=environment, cwd=self.directory / "code")

    def ask_app(self) -> dict[str, Any]:
        """Import the app alone in a process of its own, and return what it says of itself (``probe.py``)."""
        python = f"{self.directory}/venv/bin/python"
        status, said = self.as_release("import", python, "-c", inspect.getsource(probe), seconds=IMPORT_SECONDS)
        before, mark, answer = said.rpartition(probe.MARK)
        if status or not mark:
            callable_name = self.spec.environment.get("WSGI_APP")
            message = f"the app cannot be imported as {callable_name}{hint(self.spec.name, said)}"
            raise ReleaseError("import", message, tail(before or said, 60))
        return checks.read(answer)

    def step_import(self, live: str | None) -> None:
        """Import the app once, alone: a traceback is clearest here, and tables made at import meet no race."""
        facts = self.ask_app()
        debug = self.spec.environment.get("GROUNDWORK_DEBUG") == "1"
        errors, warnings = checks.judge(
            checks.of_app(facts, self.spec.body_limit, bool(self.former_keys()), debug), self.skip_checks
        )
        self.builder.warnings += warnings
        if errors:
            raise ReleaseError("import", "; ".join(errors))
        before = self.ledger.heads(live) if live else None
        self.heads = {"before": facts.get("heads") if before is None else before, "after": facts.get("heads")}

    def has_command_to_run(self) -> bool:
        """Whether there is a release command, for this host to run, that has not succeeded for this release yet."""
        wanted = self.spec.release_command and self.spec.run_release_command
        return bool(wanted) and not self.at.released(self.id).exists()

    def step_save(self, live: str | None) -> None:
        """Save the app's databases before a command that may change them."""
        del live
        if not self.has_command_to_run():
            return
        for command in self.spec.save_commands:
            status, said = self.as_release(
                "before", "/bin/sh", "-c", command, seconds=self.spec.release_command_timeout
            )
            if status:
                raise ReleaseError(
                    "save",
                    f"`{command}` (backup.before), which saves the database before `{self.spec.release_command}`, "
                    f"failed with exit status {status}",
                    tail(said),
                )
        target = self.at.saved / self.id
        if target.exists() and self.heads["before"] != self.heads["after"]:
            return  # a command that failed has changed the database since: the copy from before it is the good one
        trees.remove(target)
        target.mkdir(mode=0o700, parents=True)
        for parent in (self.at.saved, self.at.saved.parent):
            parent.chmod(0o711)
        status, said = self.with_saved(target, "save", self.at.data, str(target))
        if status:
            raise ReleaseError(
                "save", f"the databases could not be saved before `{self.spec.release_command}`", tail(said)
            )

    def with_saved(self, saved: Path, *arguments: str) -> tuple[int, str]:
        """Run ``common.sqlite`` as the app, which can see the copies for that time and owns them."""
        account = pwd.getpwnam(self.spec.name)
        trees.take(saved, account.pw_uid, account.pw_gid, files_only=True)
        try:
            return self.as_app(
                arguments[0], "/usr/bin/python3", "-I", "-c", inspect.getsource(sqlite), *arguments,
                seconds=self.spec.release_command_timeout, environment={"LANG": "C.UTF-8"}, writable=[saved],
            )  # fmt: skip
        finally:
            trees.take(saved, os.geteuid(), os.getegid(), files_only=True)

    def step_command(self, live: str | None) -> None:
        """Run the release command, unless it has already succeeded for this release."""
        del live
        if not self.has_command_to_run():
            return
        status, said = self.as_release(
            "command", "/bin/sh", "-c", self.spec.release_command, seconds=self.spec.release_command_timeout
        )
        if status:
            how = (
                f"was still at work after {self.spec.release_command_timeout} s and was ended (release_command_timeout)"
                if status == TIMED_OUT
                else f"failed with exit status {status}"
            )
            raise ReleaseError("command", f"the release command `{self.spec.release_command}` {how}", tail(said, 60))
        self.at.released(self.id).touch()
        if self.heads["after"] is not None:
            self.heads["after"] = self.ask_app().get("heads")

    def step_start(self, live: str | None) -> None:
        """Start the new instance beside the old one, and ask it for its health path through its own socket."""
        del live
        self.start(self.id, prove=True)

    def start(self, release: str, prove: bool = False) -> None:
        """Start a release's units and wait until it is healthy: answers its health path with less than 500.

        :param prove: then see that it stays up, and how it answers otherwise.
        """
        began = time.time()
        units = self.units(release)
        self.system.systemctl("reset-failed", *units)
        started = self.system.start(*units)
        service = units[1]
        if started.returncode:
            log = self.system.journal(self.spec.name, service, began)
            message = f"{service} did not start"
            if "not found" in started.stderr or "does not exist" in started.stderr:
                message += "; its unit is not on this host: run groundwork.flask.site first"
            raise ReleaseError("start", message, tail(f"{log}\n{started.stderr}".strip(), 60))
        health = dict(self.spec.health or self.at.facts(release).get("health", {}))
        sock, name = self.at.release(release) / "app.sock", health.get("host", "localhost")
        wrong = self.wait_until_healthy(service, sock, health)
        if not wrong and prove:
            wrong = self.watch(service, sock, health)
        if wrong:
            log = self.system.journal(self.spec.name, service, began)
            raise ReleaseError("start", wrong + hint(self.spec.name, log), tail(log, 60))
        if prove:

            def ask(path: str) -> Response:
                return self.system.ask(sock, name, path, float(health.get("timeout", 60)))

            answers = checks.of_answers(ask, name, health.get("path", "/"), health.get("prefix", ""))
            errors, warnings = checks.judge(answers, self.skip_checks)
            self.builder.warnings += warnings
            if errors:
                raise ReleaseError("start", "; ".join(errors))

    def wait_until_healthy(self, service: str, sock: Path, health: Mapping[str, Any]) -> str:
        """Ask until the answer is below 500; "" then, else the last answer in words.

        The first questions are given up soon: an instance that dies and starts again for ever answers none.
        """
        seconds, path = float(health.get("timeout", 60)), health.get("path", "/")
        until, answer, patience = time.monotonic() + seconds, "no answer", 1.0
        while (left := until - time.monotonic()) > 0:
            began, patience = time.monotonic(), patience * 2
            try:
                said = self.system.ask(sock, health.get("host", "localhost"), path, min(left, patience))
            except (OSError, http.client.HTTPException) as error:
                # The last question has little time; what was answered before tells more.
                answer = answer if answer.startswith("status") else f"{type(error).__name__}: {error}"
            else:
                if said.status < 500:
                    self.health_ms = round(1000 * (time.monotonic() - began))
                    return ""
                answer = f"status {said.status}: {said.body[:200]}"
            if (restarts := self.system.restarts(service)) >= MOST_RESTARTS:
                return (
                    f"it does not stay up: it ended {restarts} times within {time.monotonic() - until + seconds:.0f} s"
                )
            self.system.sleep(0.1)
        return f"{path} was not answered well within {seconds:.0f} s (health_path, health_timeout): {answer}"

    def watch(self, service: str, sock: Path, health: Mapping[str, Any]) -> str:
        """See that no process of a healthy instance dies in the next seconds; "" or what happened."""
        if "stable" in self.skip_checks:
            return ""
        alive, until = self.system.processes(service), time.monotonic() + checks.STABLE_SECONDS
        while (left := until - time.monotonic()) > 0:
            self.system.sleep(min(left, 0.25))
            if gone := alive - self.system.processes(service):
                return (
                    f"it answered well, and then {len(gone)} of its {len(alive)} processes ended within "
                    f"{checks.STABLE_SECONDS:.0f} s (or, to switch this proof off: `skip_checks: [stable]`)"
                )
        return self.wait_until_healthy(service, sock, health)

    # --- switching ----------------------------------------

    def step_switch(self, live: str | None) -> None:
        """Turn the symlink. From here on the new release is live."""
        self.inherit_static()
        self.ledger.append("switch", self.id, **self.outcome(live))
        temporary = self.at.home / ".current.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(f"releases/{self.id}")
        os.rename(temporary, self.at.current)
        fsync_directory(self.at.home)
        self.install_command()

    def inherit_static(self) -> None:
        """Keep the other releases' hashed static files reachable: a page from before the switch still asks for them."""
        public = self.directory / "public"
        for release in self.at.releases.iterdir():
            for name in self.at.facts(release.name).get("static", []) if release.name != self.id else []:
                target = public / name
                if not os.path.lexists(target) and trees.is_file(release / "public", name):
                    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                    trees.link(release / "public", name, target)

    def owns_command(self) -> bool:
        """Whether the command that bears the app's name is ours."""
        path = self.at.command
        return path.exists() and f"{self.at.tools}/app " in path.read_text(errors="replace")

    def install_command(self) -> None:
        """Make the app's name a command, unless the host has one of that name."""
        taken = shutil.which(self.spec.name, path=ENVIRONMENT["PATH"])
        if not taken and (self.owns_command() or not self.at.command.exists()):
            self.at.command.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write(self.at.command, f'#!/bin/sh\nexec {self.at.tools}/app {self.spec.name} "$@"\n', 0o755)

    def step_drain(self, live: str | None) -> None:
        """Let the old socket's queue empty, then stop the old instance, which finishes what it has begun."""
        if live and live != self.id:
            self.system.sleep(DRAIN_SECONDS)
            self.stop(live)

    def step_prune(self, live: str | None) -> None:
        """Remove the oldest releases: never the live one, nor the one before it, nor the one a rollback would go to.

        The environments and the saved databases that no release needs any more go with them, and what a build left.
        """
        trees.remove(*self.at.releases.glob(".*"))
        spared = {self.id, live, *self.ledger.way_back()[:1]}
        built = sorted(self.at.releases.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        others = [path for path in built if path.name not in spared]
        trees.remove(*others[max(0, self.settings.keep - (len(built) - len(others))) :])
        trees.remove(*self.unused_environments())
        kept = {path.name for path in self.at.releases.iterdir()}
        saved = self.at.saved.iterdir() if self.at.saved.exists() else ()
        trees.remove(*(path for path in saved if path.name not in kept))

    def incomplete_releases(self) -> list[Path]:
        """What a build that did not end has left: half-built releases, and what only the build needs."""
        found = self.at.releases.iterdir() if self.at.releases.exists() else ()
        return [path for path in found if not self.at.is_complete(path.name)]

    def unused_environments(self) -> list[Path]:
        """The virtual environments that no release uses, and those that were not built to their end."""
        used = {Path(os.readlink(link)).name for link in self.at.releases.glob("*/venv") if link.is_symlink()}
        found = self.at.environments.iterdir() if self.at.environments.exists() else ()
        return [path for path in found if path.name not in used or not is_whole(path)]

    def units(self, release: str) -> tuple[str, str]:
        """The units of a release, the one that accepts visitors first."""
        return f"{self.spec.name}@{release}.socket", f"{self.spec.name}@{release}.service"

    def stop(self, release: str) -> None:
        """Stop a release's units, then see that no boot starts them: in this order heal() finds a half-done stop."""
        units = self.units(release)
        self.system.stop(*reversed(units))
        self.system.systemctl("disable", *units)
        self.system.systemctl("reset-failed", *units)

    def heal(self) -> None:
        """Clean up after a run that was killed: half-built releases, and instances that are neither live nor wanted."""
        live = self.at.live()
        self.ledger.heal()
        for release in self.enabled():
            if release not in (live, self.id):
                self.stop(release)
        trees.remove(*self.incomplete_releases())
        trees.remove(*self.unused_environments())

    def enabled(self) -> set[str]:
        """The releases whose units a boot would start."""
        pattern = f"{self.spec.name}@*"
        return {
            link.name.partition("@")[2].rpartition(".")[0]
            for wants in WANTS
            for link in (self.at.units / wants).glob(pattern)
        }

    def outcome(self, live: str | None) -> dict[str, Any]:
        """What the ledger keeps of a run that has made its release live, or is about to."""
        run, heads = self.run, self.heads
        if run.action == "rolled_back":
            heads = {"before": self.ledger.heads(live) if live else None, "after": self.ledger.heads(self.id)}
        return {
            "action": run.action,
            "by": self.settings.by,
            "previous": live,
            "source": self.describe(),
            "version": self.version(),
            "seconds": run.seconds,
            "steps": run.steps,
            "health": self.health_ms,
            "heads": heads,
            "changes": run.changes,
            "warnings": run.warnings,
        }

    # --- going back ----------------------------------------

    def choose_back(self, to: str, live: str | None) -> str:
        """The release that a rollback goes to."""
        way = self.ledger.way_back()
        kept = [path.name for path in self.at.releases.glob("*") if self.at.is_complete(path.name)]
        others = ", ".join(release for release in kept if release != live) or "none"
        if not to:
            if not way:
                raise ReleaseError("choose", f"there is no earlier good release of {self.spec.name} to go back to")
            return way[0]
        found = [release for release in kept if release.startswith(to)]
        if len(found) != 1:
            raise ReleaseError("choose", f"{to!r} is no release of {self.spec.name} that is kept; these are: {others}")
        if found[0] == live:
            raise ReleaseError("choose", f"{to} is live already; these are kept: {others}")
        if not self.at.is_good(found[0]):
            reason = self.ledger.last("bad", found[0]).get("reason", "it failed")
            raise ReleaseError("choose", f"{to} is a bad release ({reason}); these are kept: {others}")
        return found[0]

    def check_heads(self, live: str | None, data: str) -> None:
        """Refuse to run old code on a database that a later migration has changed."""
        here, there = self.ledger.heads(live) if live else None, self.ledger.heads(self.id)
        if here is None or there is None or here == there or data == "keep":
            return
        saved = self.saved_copy()
        if data == "saved" and saved:
            return
        restore = (
            f"`-e data=saved` puts back the copy from before it ({saved}, made at {time_of(saved)}) and loses what was "
            "written since"
            if saved
            else "no copy from before that migration is kept here, so restore a backup with groundwork.flask.restore"
        )
        raise ReleaseError(
            "choose",
            f"a migration lies between: the database is at {', '.join(here) or 'its beginning'}, and release {self.id} "
            f"was made for {', '.join(there) or 'its beginning'}. Two ways out: {restore}; or `-e data=keep` goes back "
            "with the database as it is, if the old code can live with it",
        )

    def saved_copy(self) -> Path | None:
        """The copy of the databases made before the first release command after the release to go back to."""
        copies = (self.at.saved / release for release in self.after(self.id))
        return next((copy for copy in copies if copy.exists() and any(copy.iterdir())), None)

    def after(self, release: str) -> list[str]:
        """The releases that have been live since a release was, oldest first."""
        lived = [event["release"] for event in self.ledger.events() if event["event"] == "live"]
        since = len(lived) - lived[::-1].index(release) if release in lived else 0
        return [other for other in lived[since:] if other != release]

    @contextlib.contextmanager
    def saved_data(self, live: str | None) -> Iterator[None]:
        """Put the saved databases back while nothing runs; if what follows fails, the live one gets its own again."""
        saved = self.saved_copy()
        if not saved:
            raise ReleaseError("choose", "no saved copy of the databases is kept for this rollback")
        if live:
            self.system.stop(*reversed(self.units(live)))
        stamp, undone = time.strftime("%Y%m%d-%H%M%S"), self.after(self.id)
        try:
            self.exchange_data("restore", saved, stamp)
            yield
        except BaseException:
            self.exchange_data("undo", saved, stamp)
            if live:
                self.start(live)
            raise
        # What was undone counts as not released: deployed again, it has to run its release command again.
        for release in undone:
            self.at.released(release).unlink(missing_ok=True)

    def exchange_data(self, how: str, saved: Path, stamp: str) -> None:
        """Put the copies back (``restore``), or what was there before (``undo``)."""
        status, said = self.with_saved(saved, how, self.at.data, str(saved), stamp)
        if status:
            raise ReleaseError("restore", f"the saved databases could not be put back ({how})", tail(said))


def time_of(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(path.stat().st_mtime))


def hint(app: str, said: str) -> str:
    """What helps against an error that many apps have on a host that is new to them."""
    for pattern, remedy in HINTS:
        if re.search(pattern, said):
            return f"; {remedy.format(app=app)}"
    return ""


def digest(text: str, key: str = "") -> str:
    """A hash of a text, keyed where the text may be a secret."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def installed_packages(venv: Path) -> list[str]:
    """What an environment holds, as ``flask==3.1.2``, but for the installer that pip is."""
    packages: list[str] = []
    for python in trees.names(venv, "lib"):
        for name in trees.names(venv, f"lib/{python}/site-packages"):
            stem, _dot, kind = name.rpartition(".")
            if kind == "dist-info" and not stem.startswith("pip-"):
                packages.append(line(stem.replace("-", "==", 1)))
    return sorted(packages)


def others(known: Sequence[str], root: Path = Path("/")) -> list[str]:
    """Apps that are live on the host and not among ``known``."""
    return [name for name in apps(root) if name not in known]
