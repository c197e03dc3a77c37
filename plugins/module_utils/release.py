# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release engine: builds a release, proves it beside the old one, and makes it live by turning one symlink.

A release is everything that defines the running process: code, packages, Python, environment, server configuration. Its
id is a hash of these, so the same inputs make the same release and change nothing. On the host it is a directory::

    /srv/<app>/releases/<id>/   code/ venv/ entry/   root's, readable by the app
                                public/<url>/        the static files, readable by all
                                env                  the environment, root's alone
                                start                what the unit executes
                                app.sock             made by systemd
                                release.json         there once the build is complete
    /srv/<app>/current          the live one

The engine may be killed at any point. Nothing but the symlink says what is live, a release without ``release.json`` is
rubbish, and an instance that is not live is stopped: :meth:`Engine.heal` begins every run with that.
"""

from __future__ import annotations

import fcntl
import grp
import hashlib
import hmac
import http.client
import json
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ansible_collections.groundwork.flask.plugins.module_utils.unit_set import systemctl

PIP_WHEELS = Path("/usr/share/python-wheels")  # Debian's and Ubuntu's pip for virtual environments
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
WANTS = ("sockets.target.wants", "multi-user.target.wants")
IMPORT_SECONDS = 300
COMMAND_SECONDS = 1800
DRAIN_SECONDS = 0.5
# A play that was killed leaves its work on the host running; the next one waits for it that long.
LOCK_SECONDS = 60

# What a failed build says, and the apt packages that cure it.
BUILD_HINTS = (
    (r"pg_config", "libpq-dev, gcc, libc6-dev and python3-dev"),
    (
        r"mysql_config|mysqlclient|mariadb_config",
        "default-libmysqlclient-dev, pkg-config, gcc, libc6-dev and python3-dev",
    ),
    (r"ffi\.h", "libffi-dev, gcc, libc6-dev and python3-dev"),
    (r"xmlsec|libxml/|xslt-config", "libxml2-dev, libxslt1-dev, gcc, libc6-dev and python3-dev"),
    (
        r"jpeglib\.h|zlib\.h|The headers or library files could not be found for",
        "libjpeg-dev, zlib1g-dev, gcc and python3-dev",
    ),
    (r"ldap\.h|lber\.h", "libldap-dev, libsasl2-dev, gcc and python3-dev"),
    (r"Python\.h", "python3-dev (and gcc, libc6-dev)"),
    (r"can't find Rust|rustc|cargo", "rustc and cargo, or a version of the package that has wheels"),
    (
        r"gcc.*(No such file|not found|failed)|No such file.*gcc'|execute '[^']*gcc|No C compiler|Unknown compiler",
        "gcc, libc6-dev and python3-dev",
    ),
)


class ReleaseError(Exception):
    """A release that did not go live. The old one serves on.

    :param step: the step that failed, one of :data:`STEPS`.
    :param message: what happened and what to do.
    :param log: what the failing program said.
    """

    def __init__(self, step: str, message: str, log: str = "") -> None:
        super().__init__(f"{message}\n{log}".strip())
        self.step, self.message, self.log = step, message, log


@dataclass(frozen=True)
class Spec:
    """What a release is made of, and how it is proved. See the module's documentation for each field."""

    name: str
    source: Mapping[str, str]
    environment: Mapping[str, str]
    files: Mapping[str, str]
    requirements: Sequence[str] = ()
    python: str = ""
    static: Mapping[str, str] = field(default_factory=dict)
    release_command: str = ""
    health: Mapping[str, Any] = field(default_factory=dict)
    unit: Mapping[str, Any] = field(default_factory=dict)
    archive: str = ""


@dataclass(frozen=True)
class Layout:
    """Where an app's things are on the host; ``root`` is / but in tests."""

    app: str
    root: Path = Path("/")

    @property
    def home(self) -> Path:
        return self.root / "srv" / self.app

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def current(self) -> Path:
        return self.home / "current"

    @property
    def ledger(self) -> Path:
        return self.root / "var/lib/groundwork/releases" / f"{self.app}.jsonl"

    @property
    def secret_key(self) -> Path:
        return self.root / "etc/groundwork/secrets" / self.app / "SECRET_KEY"

    @property
    def lock(self) -> Path:
        return self.root / "run/groundwork" / f"{self.app}.lock"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    @property
    def repository(self) -> Path:
        return self.root / "var/cache" / self.app / "repository.git"

    @property
    def data(self) -> str:
        return f"/var/lib/{self.app}"

    @property
    def cache(self) -> str:
        return f"/var/cache/{self.app}"

    def live(self) -> str | None:
        """The id that ``current`` points to, if it points to a complete release."""
        try:
            release = Path(os.readlink(self.current))
        except OSError:
            return None
        return release.name if (self.releases / release.name / "release.json").exists() else None


class Host:
    """What the engine asks of the host; tests put another in its place."""

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return systemctl(*arguments)

    def is_active(self, *units: str) -> bool:
        """True when every unit is active."""
        shown = self.systemctl("show", "--value", "--property=ActiveState", *units)
        return shown.stdout.split() == ["active"] * len(units)

    def run_as(
        self,
        user: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: str,
        seconds: float,
        stdin: Any = None,
        umask: int = 0o022,
    ) -> tuple[int, str]:
        """Run a command as the app's user; return its exit status and what it printed, 124 when the time was up."""
        process = subprocess.Popen(
            command,
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=cwd,
            env=dict(environment),
            user=user,
            group=user,
            extra_groups=[],
            umask=umask,
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output = process.communicate()[0]
            return 124, f"{output}\n(killed after {seconds:.0f} s)"
        except BaseException:
            os.killpg(process.pid, 9)
            raise
        return process.returncode, output

    def journal(self, app: str, unit: str, since: float) -> str:
        """What an instance and systemd said of it."""
        shown = subprocess.run(
            ("journalctl", f"--namespace=+{app}", f"--unit={unit}", f"--since=@{since:.0f}", "-n60", "-ocat"),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        return shown.stdout.strip()

    def ask(self, sock: Path, host: str, path: str, seconds: float) -> tuple[int, str]:
        """GET a path through an instance's own socket as the proxy would; the status and the beginning of the body."""
        connection = UnixConnection(sock, seconds)
        forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host}
        try:
            connection.request("GET", path, headers={"Host": host, "User-Agent": "groundwork-health", **forwarded})
            response = connection.getresponse()
            return response.status, response.read(2000).decode(errors="replace")
        finally:
            connection.close()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclass
class Result:
    """What a run did to one app."""

    release: str = ""
    previous: str = ""
    action: str = "unchanged"
    source: str = ""
    workers: str = ""
    seconds: float = 0.0
    needs_archive: bool = False

    @property
    def changed(self) -> bool:
        return self.action != "unchanged"


class Engine:
    """Deploys one app.

    :param spec: what the release is made of.
    :param secret: the app's secrets, part of its environment.
    :param build: environment variables for the build only, such as an index or a proxy.
    :param keep: how many releases stay on the disk, the live one included.
    """

    def __init__(
        self,
        spec: Spec,
        secret: Mapping[str, str],
        build: Mapping[str, str] | None = None,
        keep: int = 5,
        host: Host | None = None,
        root: Path = Path("/"),
        by: str = "",
    ) -> None:
        self.spec, self.secret, self.build, self.keep, self.by = spec, secret, build or {}, keep, by
        self.host = host or Host()
        self.at = Layout(spec.name, root)
        self.id = ""
        self.commit = ""

    # --- the run ----------------------------------------

    def deploy(self) -> Result:
        """Make the release that the spec describes live; raise ReleaseError with the old one serving if it cannot."""
        began = time.time()
        with lock(self.at.lock, self.by):
            self.heal()
            self.commit = self.resolve()
            self.id = self.identify(self.read_secret_key(create=True))
            live = self.at.live()
            result = Result(self.id, live or "", source=self.describe())
            if live == self.id:
                if not self.host.is_active(*self.units(self.id)):
                    self.start(self.id)
                    result.action = "started"
            elif self.is_built(self.id) or self.spec.source.get("git") or self.spec.archive:
                self.record("begin", previous=live)
                try:
                    self.go_live(live)
                except ReleaseError as error:
                    self.record("bad", step=error.step, reason=error.message)
                    raise
                result.action, result.seconds = "deployed", time.time() - began
                self.record("live", previous=live, seconds=round(result.seconds, 1))
            else:
                return Result(self.id, live or "", "needs_archive", needs_archive=True)
            result.workers = self.workers()
            return result

    def predict(self) -> Result:
        """What :meth:`deploy` would do, without touching the host."""
        live = self.at.live()
        key = self.secret.get("SECRET_KEY") or self.read_secret_key(create=False)
        try:
            self.commit = self.resolve()
            self.id = self.identify(key)
        except (ReleaseError, KeyError, FileNotFoundError):
            return Result("", live or "", "deployed")
        if not key or live != self.id:
            return Result(self.id, live or "", "deployed", source=self.describe())
        running = self.host.is_active(*self.units(self.id))
        return Result(self.id, live or "", "unchanged" if running else "started", self.describe(), self.workers())

    def go_live(self, live: str | None) -> None:
        """From nothing to live; each step may be killed, and the next run begins by cleaning up after it."""
        for step in STEPS:
            try:
                getattr(self, f"step_{step}")(live)
            except ReleaseError:
                self.abandon()
                raise
            except OSError as error:
                self.abandon()
                raise ReleaseError(step, f"{step}: {error}") from error

    def abandon(self) -> None:
        """Stop the new instance unless it is live, and mark the release as bad."""
        if self.at.live() == self.id:
            return
        self.stop(self.id)
        if self.directory.exists():
            (self.directory / "bad").touch()

    @property
    def directory(self) -> Path:
        return self.at.releases / self.id

    def is_built(self, release: str) -> bool:
        directory = self.at.releases / release
        return (directory / "release.json").exists() and not (directory / "bad").exists()

    # --- identity ----------------------------------------

    def resolve(self) -> str:
        """The exact source: a commit for git, the hash of the tree for a directory."""
        source = self.spec.source
        if "tree" in source:
            return source["tree"]
        version = source.get("version", "HEAD")
        if re.fullmatch(r"[0-9a-f]{40}", version):
            return version
        status, output = self.git("ls-remote", source["git"], version, f"{version}^{{}}", cwd="/")
        refs = {name: commit for commit, name in re.findall(r"^([0-9a-f]{40})\t(\S+)$", output, re.MULTILINE)}
        if status:
            raise ReleaseError("fetch", f"{source['git']} cannot be read; is the address right, and public?", output)
        for name in (f"refs/tags/{version}^{{}}", f"refs/tags/{version}", f"refs/heads/{version}", version):
            if name in refs:
                return refs[name]
        raise ReleaseError("fetch", f"{source['git']} has no branch or tag {version!r}; correct source.version")

    def identify(self, key: str) -> str:
        """The release's id. It is keyed with the app's SECRET_KEY, so that nobody can guess a secret from it."""
        definition = {
            "source": self.commit,
            "python": self.python_version(),
            "environment": {**self.spec.environment, **self.secret},
            "requirements": list(self.spec.requirements),
            "files": dict(self.spec.files),
            "static": dict(self.spec.static),
            "release_command": self.spec.release_command,
            "unit": dict(self.spec.unit),
        }
        text = json.dumps(definition, sort_keys=True, default=str)
        return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:12]

    def python(self) -> str:
        """The interpreter's path; a missing one raises ReleaseError before anything is built."""
        name = f"python{self.spec.python}" if self.spec.python else "python3"
        if path := shutil.which(name, path="/usr/local/bin:/usr/bin"):
            return path
        raise ReleaseError(
            "inspect",
            f"flask_apps.{self.spec.name}.python: {self.spec.python!r} is not on this host: install {name} and "
            f"{name}-venv, or leave `python` out to use the distribution's",
        )

    def python_version(self) -> str:
        """``3.11`` and the like: a venv is bound to the minor version."""
        return re.sub(r"^.*python", "", os.path.realpath(self.python()))

    def describe(self) -> str:
        source = self.spec.source
        if "git" in source:
            return f"{source['git']} {source.get('version', 'HEAD')} ({self.commit[:10]})"
        return source.get("description") or source.get("directory") or self.commit[:10]

    def read_secret_key(self, create: bool) -> str:
        """The app's SECRET_KEY: the user's, or 256 bits made on the host once and kept across releases."""
        if key := self.secret.get("SECRET_KEY"):
            return key
        path = self.at.secret_key
        if not path.exists() and create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_suffix(".new")
            with open(
                os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="ascii"
            ) as stream:
                stream.write(secrets.token_hex(32))
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(temporary, path)
        return path.read_text().strip() if path.exists() else ""

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
        }

    def build_environment(self) -> dict[str, str]:
        """The environment of the build: the system's certificates, a cache, and no secret of the app."""
        return {
            "PATH": f"{self.directory}/venv/bin:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": self.at.cache,
            "PIP_CERT": CA_BUNDLE,
            "SSL_CERT_FILE": CA_BUNDLE,
            "REQUESTS_CA_BUNDLE": CA_BUNDLE,
            "PIP_CACHE_DIR": f"{self.at.cache}/pip",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_NO_COLOR": "1",
            "PIP_PROGRESS_BAR": "off",
            "GIT_TERMINAL_PROMPT": "0",
            **self.build,
        }

    # --- building ----------------------------------------

    def as_app(self, *command: str, cwd: Path, seconds: float = COMMAND_SECONDS, stdin: Any = None) -> tuple[int, str]:
        return self.host.run_as(self.spec.name, command, self.build_environment(), str(cwd), seconds, stdin)

    def git(self, *arguments: str, cwd: str) -> tuple[int, str]:
        return self.host.run_as(self.spec.name, ("git", *arguments), self.build_environment(), cwd, COMMAND_SECONDS)

    def step_fetch(self, live: str | None) -> None:
        """Put the code into a new directory that belongs to the app's user for the time of the build."""
        del live
        if self.is_built(self.id):
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        self.at.releases.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.directory.mkdir(mode=0o711)
        for name in ("code", "venv", "public"):
            (self.directory / name).mkdir(mode=0o750)
            own(self.directory / name, self.spec.name)
        code = self.directory / "code"
        if self.spec.archive:
            with open(self.spec.archive, "rb") as archive:
                status, said = self.as_app("tar", "-xz", "--no-same-owner", "-f", "-", cwd=code, stdin=archive)
        else:
            status, said = self.fetch_git(code)
        if status:
            raise ReleaseError("fetch", "the source could not be fetched", tail(said))

    def fetch_git(self, code: Path) -> tuple[int, str]:
        """Fetch into the app's copy of the repository, and unpack the commit from there."""
        repository, url = str(self.at.repository), self.spec.source["git"]
        steps: list[tuple[str, ...]] = (
            [("init", "--quiet", "--bare", repository)] if not self.at.repository.exists() else []
        )
        steps.append(("-C", repository, "fetch", "--quiet", "--prune", "--force", url, "+refs/*:refs/*"))
        for step in steps:
            status, said = self.git(*step, cwd="/")
            if status:
                return status, said
        command = 'git -C "$1" archive --format=tar "$2" | tar -x --no-same-owner -C "$3"'
        return self.as_app("bash", "-o", "pipefail", "-c", command, "sh", repository, self.commit, str(code), cwd=code)

    def step_install(self, live: str | None) -> None:
        """Make the release's own virtual environment and install what the app and its server need."""
        del live
        if self.is_built(self.id):
            return
        code, venv = self.directory / "code", self.directory / "venv"
        self.make_venv(venv)
        for arguments in self.installs(code):
            status, said = self.as_app(
                f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile", *arguments, cwd=code
            )
            if status:
                raise ReleaseError(
                    "install",
                    f"the app's packages could not be installed{build_hint(self.spec.name, said)}",
                    tail(said),
                )
        self.publish_static(code)
        self.as_app(f"{venv}/bin/python", "-m", "compileall", "-q", "-j", "0", ".", f"{venv}/lib", cwd=code)
        subprocess.run(
            ("chown", "-hR", f"root:{self.spec.name}", "code", "venv", "public"), cwd=self.directory, check=True
        )
        os.chmod(self.directory / "public", 0o755)
        self.write_files()
        facts = {
            "id": self.id,
            "source": self.describe(),
            "commit": self.commit,
            "python": self.python_version(),
            "built": now(),
            "packages": sorted(
                path.stem.replace("-", "==", 1) for path in venv.glob("lib/*/site-packages/*.dist-info")
            ),
        }
        write(self.directory / "release.json", json.dumps(facts, indent=1) + "\n", 0o644)

    def make_venv(self, venv: Path) -> None:
        """Make the virtual environment, with the distribution's own pip: unpacking it takes a tenth of `ensurepip`."""
        python = self.python()
        wheels = sorted(PIP_WHEELS.glob("pip-*.whl")) if not self.spec.python else []
        status, said = self.as_app(python, "-m", "venv", *(["--without-pip"] if wheels else []), str(venv), cwd=venv)
        if not status and wheels:
            packages = f"{venv}/lib/python{self.python_version()}/site-packages"
            status, said = self.as_app(python, "-m", "zipfile", "-e", str(wheels[-1]), packages, cwd=venv)
        if status:
            raise ReleaseError("install", f"no virtual environment could be made with {python}", tail(said))

    def installs(self, code: Path) -> list[list[str]]:
        """The arguments of each `pip install`: one resolution for app and server where pip allows it."""
        requirements, server = code / "requirements.txt", list(self.spec.requirements)
        if requirements.is_file():
            if "--hash=" in requirements.read_text(errors="replace"):  # pip wants hashes for all of a call, or for none
                return [["--require-hashes", "-r", "requirements.txt"], server]
            return [["-r", "requirements.txt", *server]]
        if (code / "pyproject.toml").is_file():
            return [[".", *server]]
        raise ReleaseError(
            "install", "the source has neither requirements.txt nor pyproject.toml: add one that names Flask"
        )

    def publish_static(self, code: Path) -> None:
        """Copy the static files to where the proxy may read; as the app's user, so that no link leads too far."""
        for url, path in self.spec.static.items():
            target = self.directory / "public" / url.strip("/")
            script = 'mkdir -p -- "$2" && cp -RL -- "$1/." "$2/" && chmod -R u=rwX,go=rX -- "$2"'
            status, said = self.as_app("sh", "-c", script, "sh", str(code / path), str(target), cwd=code)
            if status:
                raise ReleaseError(
                    "install", f"proxy.static: {path!r} cannot be published; is it in the source?", tail(said)
                )

    def write_files(self) -> None:
        """The server's files and the environment."""
        group = grp.getgrnam(self.spec.name).gr_gid
        for name, text in self.spec.files.items():
            path = self.directory / name
            path.parent.mkdir(mode=0o755, exist_ok=True)
            write(path, text, 0o750 if name == "start" else 0o640, group)
        write(self.directory / "env", env_file(self.environment()), 0o600)

    # --- proving and switching ----------------------------------------

    def as_release(self, command: Sequence[str], seconds: float) -> tuple[int, str]:
        """Run a command as the app would run."""
        environment = {**self.environment(), "PYTHONPATH": f"{self.directory}/entry"}
        return self.host.run_as(
            self.spec.name, command, environment, str(self.directory / "code"), seconds, umask=0o077
        )

    def step_import(self, live: str | None) -> None:
        """Import the app once, alone: a traceback is clearest here, and tables made at import meet no race."""
        del live
        python = f"{self.directory}/venv/bin/python"
        status, said = self.as_release((python, "-c", "import groundwork_wsgi; print('imported')"), IMPORT_SECONDS)
        if status or not said.endswith("imported\n"):  # an app may also leave with exit status 0
            raise ReleaseError(
                "import", f"the app cannot be imported as {self.spec.environment.get('WSGI_APP')}", tail(said, 60)
            )

    def step_command(self, live: str | None) -> None:
        """Run the release command, unless it has already succeeded for this release."""
        del live
        stamp = self.directory / "released"
        if not self.spec.release_command or stamp.exists():
            return
        status, said = self.as_release(("sh", "-c", self.spec.release_command), COMMAND_SECONDS)
        if status:
            message = f"the release command `{self.spec.release_command}` failed with exit status {status}"
            raise ReleaseError("command", message, tail(said, 60))
        stamp.touch()

    def step_start(self, live: str | None) -> None:
        """Start the new instance beside the old one, and ask it for its health path through its own socket."""
        del live
        self.start(self.id)

    def step_switch(self, live: str | None) -> None:
        """Turn the symlink. From here on the new release is live."""
        del live
        temporary = self.at.home / ".current.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(f"releases/{self.id}")
        os.rename(temporary, self.at.current)
        fsync_directory(self.at.home)

    def step_drain(self, live: str | None) -> None:
        """Let the old socket's queue empty, then stop the old instance, which finishes what it has begun."""
        if live:
            self.host.sleep(DRAIN_SECONDS)
            self.stop(live)

    def step_prune(self, live: str | None) -> None:
        """Remove the oldest releases; never the live one, nor the one before it."""
        built = sorted(self.at.releases.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        spared = [path for path in built if path.name in (self.id, live)]
        others = [path for path in built if path not in spared]
        for path in others[max(0, self.keep - len(spared)) :]:
            shutil.rmtree(path)

    def units(self, release: str) -> tuple[str, str]:
        """The units of a release, the one that accepts visitors first."""
        return f"{self.spec.name}@{release}.socket", f"{self.spec.name}@{release}.service"

    def start(self, release: str) -> None:
        """Start a release's units and wait until it is healthy: answers its health path with less than 500."""
        began = time.time()
        units = self.units(release)
        self.host.systemctl("reset-failed", *units)
        started = self.host.systemctl("enable", "--now", *units)
        service = units[1]
        if started.returncode:
            log = self.host.journal(self.spec.name, service, began)
            raise ReleaseError("start", f"{service} did not start", tail(f"{log}\n{started.stderr}".strip(), 60))
        health = self.spec.health
        answer = self.wait_until_healthy(self.at.releases / release / "app.sock", health)
        if answer:
            message = f"{health.get('path', '/')} was not answered well within {health.get('timeout', 60)} s: {answer}"
            raise ReleaseError("start", message, tail(self.host.journal(self.spec.name, service, began), 60))

    def wait_until_healthy(self, sock: Path, health: Mapping[str, Any]) -> str:
        """Ask until the answer is below 500; "" then, else the last answer in words."""
        until, answer = time.monotonic() + float(health.get("timeout", 60)), "no answer"
        while (left := until - time.monotonic()) > 0:
            try:
                status, body = self.host.ask(sock, health.get("host", "localhost"), health.get("path", "/"), left)
            except (OSError, http.client.HTTPException) as error:
                answer = f"{type(error).__name__}: {error}"
            else:
                if status < 500:
                    return ""
                answer = f"status {status}: {body[:200]}"
            self.host.sleep(0.1)
        return answer

    def stop(self, release: str) -> None:
        """Stop a release's units, then see that no boot starts them: in this order heal() finds a half-done stop."""
        units = self.units(release)
        self.host.systemctl("stop", *reversed(units))
        self.host.systemctl("disable", *units)
        self.host.systemctl("reset-failed", *units)

    def heal(self) -> None:
        """Clean up after a run that was killed: half-built releases, and instances that are not live."""
        live = self.at.live()
        for release in self.enabled():
            if release != live:
                self.stop(release)
        if self.at.releases.exists():
            for path in self.at.releases.iterdir():
                if path.name != live and not (path / "release.json").exists():
                    shutil.rmtree(path, ignore_errors=True)

    def enabled(self) -> set[str]:
        """The releases whose units a boot would start."""
        pattern = f"{self.spec.name}@*"
        return {
            link.name.partition("@")[2].rpartition(".")[0]
            for wants in WANTS
            for link in (self.at.units / wants).glob(pattern)
        }

    def workers(self) -> str:
        """What the live instance said about the number of its workers."""
        try:
            return (self.at.root / "run" / f"{self.spec.name}-{self.id}" / "workers").read_text().strip()
        except OSError:
            return ""

    def record(self, event: str, **facts: Any) -> None:
        """Append one line to the ledger, safe on the disk when this returns."""
        line = {"time": now(), "event": event, "release": self.id, "source": self.describe(), "by": self.by, **facts}
        self.at.ledger.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(self.at.ledger, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def remove(self, purge: bool = False) -> bool:
        """Take the app off the host, with ``purge`` also data, cache, secrets, account; True if there was any."""
        with lock(self.at.lock, self.by):
            paths = [self.at.home]
            if purge:
                data, cache = self.at.root / self.at.data[1:], self.at.root / self.at.cache[1:]
                paths += [data, cache, self.at.secret_key.parent, self.at.ledger]
            found = [path for path in paths if path.exists()]
            for release in self.enabled():
                self.stop(release)
            if found:
                self.record("removed", purged=purge)
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if purge and has_user(self.spec.name):
                subprocess.run(("userdel", self.spec.name), check=True, capture_output=True)
                return True
            return bool(found)


# The steps from nothing to live, in order. Each may be killed; heal() and a rerun finish the work.
STEPS = ("fetch", "install", "import", "command", "start", "switch", "drain", "prune")


def others(apps: Sequence[str], root: Path = Path("/")) -> list[str]:
    """Apps that are live on the host and not among ``apps``."""
    return sorted(
        path.name
        for path in (root / "srv").glob("*")
        if path.name not in apps and Layout(path.name, root).live() is not None
    )


@contextmanager
def lock(path: Path, by: str) -> Iterator[None]:
    """Hold the app's lock, waiting for it a while. It is the kernel's, so it goes with its holder, however he dies."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    until = time.monotonic() + LOCK_SECONDS
    with open(path, "a+", encoding="utf-8") as stream:
        while not locked(stream):
            if time.monotonic() < until:
                time.sleep(0.5)
                continue
            stream.seek(0)
            holder = stream.read().strip()
            raise ReleaseError("lock", f"another deploy is at work: {holder}; wait for it, then run again")
        stream.seek(0)
        stream.truncate()
        stream.write(f"process {os.getpid()} {by} since {now()}")
        stream.flush()
        yield


def locked(stream: IO[str]) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def own(path: Path, user: str) -> None:
    shutil.chown(path, user, user)


def tail(text: str, lines: int = 30) -> str:
    """The end of a program's output, where the reason stands."""
    return "\n".join(text.strip().splitlines()[-lines:])


def build_hint(app: str, said: str) -> str:
    """Which apt packages a failed build asks for."""
    for pattern, packages in BUILD_HINTS:
        if re.search(pattern, said):
            return f"; it has to compile: add {packages} to flask_apps.{app}.packages"
    return ""


def env_file(environment: Mapping[str, str]) -> str:
    """The environment in the syntax of systemd's EnvironmentFile=."""

    def quoted(value: str) -> str:
        return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'

    return "".join(f"{name}={quoted(value)}\n" for name, value in sorted(environment.items()))


def write(path: Path, text: str, mode: int, gid: int = 0) -> None:
    """Write a root-owned file that is never readable by more than ``mode`` allows."""
    temporary = path.with_name(f".{path.name}.new")
    with open(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
        os.fchown(stream.fileno(), 0, gid)
        os.fchmod(stream.fileno(), mode)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(temporary, path)


def fsync_directory(path: Path) -> None:
    """See that a rename in it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
