# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building: what runs strangers' code to make a release, as the app's user, without the app's secrets and data.

Each step of it is a unit with a sandbox (``sandbox.py``). Root touches what they leave by ``trees.py`` alone.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import trees
from ..common.files import write
from ..common.programs import ENVIRONMENT
from ..common.systemd import Directives
from . import sandbox, source
from .layout import DeploySettings, Layout, ReleaseError, tail
from .pins import UV, UV_VERSION
from .spec import Spec
from .system import Step, System

PIP_WHEELS = Path("/usr/share/python-wheels")  # Debian's and Ubuntu's pip for virtual environments
PIP_CONFIGURATION = Path("/etc/pip.conf")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
INSTALL_SECONDS = 1800
MOST_REQUIREMENTS = 16 * 2**20  # bytes; a uv.lock of 1,000 packages has 3 MB

# Compiles what is below the working directory, on all cores. `python -m compileall -j 0` would do, if it did not start
# its processes by a unix socket since Python 3.12, which a build does not have.
COMPILE = """
import compileall, functools, multiprocessing, pathlib
files = [str(path) for path in pathlib.Path(".").rglob("*.py")]
with multiprocessing.get_context("fork").Pool() as pool:
    pool.map(functools.partial(compileall.compile_file, quiet=2), files, 20)
"""

# pip's settings and what uv calls them; a host has them in /etc/pip.conf or gets them for the build.
UV_NAMES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_TIMEOUT": "UV_HTTP_TIMEOUT",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
    "PIP_RETRIES": "UV_HTTP_RETRIES",
}

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
    (r"apxs", "apache2-bin, apache2-dev, gcc, libc6-dev and python3-dev"),
    (r"Python\.h", "python3-dev (and gcc, libc6-dev)"),
    (r"can't find Rust|rustc|cargo", "rustc and cargo, or a version of the package that has wheels"),
    (
        r"g?cc.*(No such file|not found|failed)|No such file.*gcc'|execute '[^']*gcc|No C compiler|Unknown compiler",
        "gcc, libc6-dev and python3-dev",
    ),
)


@dataclass
class Recipe:
    """What to install.

    :param calls: the arguments of each call of the installer, in the syntax that pip and uv share.
    :param inputs: the texts that say what that is; together with the Python they name the environment.
    :param own: the app's own code is among it, so that each new code needs a new environment.
    """

    calls: list[list[str]]
    inputs: list[str] = field(default_factory=list)
    own: bool = False


class Builder:
    """Builds the environments and the code of one app."""

    def __init__(self, spec: Spec, settings: DeploySettings, system: System, at: Layout, deploy_key: str = "") -> None:
        self.spec, self.settings, self.system, self.at, self.deploy_key = spec, settings, system, at, deploy_key
        self.warnings: list[str] = []
        self.uv_path: str | None = None
        self.own: list[Path] = []
        self.units: dict[str, Directives] = {}

    def prepare(self) -> None:
        """Make what a build needs: caches of its own, one for what is fetched and one for what is installed.

        They are apart so that what runs at an installation cannot change the source that is fetched next time.
        """
        if not has_user(self.spec.name):
            raise ReleaseError(
                "fetch", f"there is no account {self.spec.name} on this host: run groundwork.flask.site first"
            )
        cache = self.at.build_cache
        cache.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.path.lexists(cache) and not is_own(cache):
            trees.remove(cache)
        cache.mkdir(mode=0o711, exist_ok=True)
        for path in (self.at.source_cache, self.at.package_cache):
            if not path.exists():
                path.mkdir(mode=0o700)
                self.chown(path)

    def scratch(self, name: str) -> Path:
        """An empty directory for what only the build needs; the engine clears it away."""
        path = self.at.releases / f".{name}"
        trees.remove(path)
        self.at.releases.mkdir(mode=0o711, parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Let the build write here."""
        self.chown(path)
        self.own.append(path)

    def chown(self, path: Path) -> None:
        account = pwd.getpwnam(self.spec.name)
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def take(self, path: Path, files_only: bool = False) -> None:
        """Make a tree root's, readable by the app alone."""
        self.own.remove(path)
        trees.take(path, os.geteuid(), pwd.getpwnam(self.spec.name).pw_gid, files_only)

    def unit(self, release: str) -> Directives:
        """The sandbox that the app's unit states. ReleaseError if there is no such unit."""
        if release not in self.units:
            unit = f"{self.spec.name}@{release or 'none'}.service"
            shown = self.system.systemctl("cat", unit)
            if shown.returncode:
                raise ReleaseError("fetch", f"the unit {unit} is not on this host: run groundwork.flask.site first")
            self.units[release] = sandbox.of_unit(shown.stdout, release)
        return self.units[release]

    def as_app(
        self,
        name: str,
        *argv: str,
        cwd: Path,
        seconds: float = INSTALL_SECONDS,
        stdin: Any = None,
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
        readable: Sequence[Path] = (),
    ) -> tuple[int, str]:
        """Run a step of the build; its exit status and what it said.

        :param name: what it does, in one word.
        :param cache: the cache that it may use, that of packages by default.
        :param readable: what it sees beside the system, the app's releases and its cache.
        """
        return self.system.step(self.step(name, argv, cwd, seconds, stdin, environment, cache, readable))

    def step(
        self,
        name: str,
        argv: Sequence[str],
        cwd: Path,
        seconds: float,
        stdin: Any = None,
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
        readable: Sequence[Path] = (),
    ) -> Step:
        """A step of the build, see :meth:`as_app`."""
        writable = [*(path for path in self.own if path.exists()), cache or self.at.package_cache]
        confined = sandbox.for_build(self.unit(""), writable, [self.at.home, *readable])
        if cache == self.at.source_cache:
            confined.append(("RestrictAddressFamilies", "AF_UNIX"))
        given = {**self.environment(), **(environment or {})}
        return Step(self.spec.name, name, argv, confined, given, str(cwd), seconds, stdin)

    def unpack(self, packed: int, directory: Path, strip: bool) -> tuple[int, str]:
        """Unpack a tar or zip archive that is open for reading; the step could not read where it lies."""
        with open(packed, "rb") as archive:
            how = "strip" if strip else "as it is"
            return self.as_app(
                "unpack", "/usr/bin/python3", "-I", "-c", source.UNPACK, how, cwd=directory, stdin=archive
            )

    def compile(self, venv: Path, directory: Path) -> None:
        """Compile the Python files of a tree, which nobody can once it is root's."""
        self.as_app("compile", f"{venv}/bin/python", "-I", "-c", COMPILE, cwd=directory)

    def environment(self) -> dict[str, str]:
        """The environment of the build: the system's certificates, a cache, an index, and no secret of the app."""
        pip = {**pip_configuration(PIP_CONFIGURATION), **self.settings.build}
        cache = self.at.package_cache
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            # Each step has a /tmp of its own: what one leaves in its home directory configures no other.
            "HOME": "/tmp",
            "PIP_CERT": CA_BUNDLE,
            "SSL_CERT_FILE": CA_BUNDLE,
            "REQUESTS_CA_BUNDLE": CA_BUNDLE,
            "PIP_CACHE_DIR": str(cache / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_NO_COLOR": "1",
            "PIP_PROGRESS_BAR": "off",
            "UV_CACHE_DIR": str(cache / "uv"),
            "UV_LINK_MODE": "copy",  # the cache is the app's, the environment root's: they must share no file
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_INDEX_STRATEGY": "unsafe-best-match",  # pip's: the best version of all indexes
            **{UV_NAMES[name]: value for name, value in pip.items() if name in UV_NAMES},
            **pip,
        }

    # --- Python and the installer ----------------------------------------

    def python_version(self) -> str:
        """``3.11`` and the like: an environment is bound to the minor version."""
        return self.spec.python or re.sub(r"^.*python", "", os.path.realpath("/usr/bin/python3"))

    def python(self) -> str:
        """The interpreter's path: the host's, or one that uv brings. ReleaseError if there is neither."""
        name = f"python{self.spec.python}" if self.spec.python else "python3"
        if path := shutil.which(name, path="/usr/local/bin:/usr/bin"):
            return path
        where = f"flask_apps.{self.spec.name}.python: {self.spec.python!r} is not on this host"
        uv = self.uv()
        if not uv:
            raise ReleaseError("install", f"{where}: install {name} and {name}-venv, or let uv bring it")
        pythons = self.at.tools / "python"
        pythons.mkdir(mode=0o755, parents=True, exist_ok=True)
        # As root, so that no app can change what others run.
        environment = {
            **self.environment(),
            "HOME": "/root",
            "PATH": ENVIRONMENT["PATH"],
            "UV_NO_CONFIG": "1",
            "UV_CACHE_DIR": str(self.at.tools / "cache"),
            "UV_PYTHON_INSTALL_DIR": str(pythons),
            "UV_PYTHON_DOWNLOADS": "automatic",
        }
        for arguments in (["install", "--quiet", "--no-bin"], ["find", "--managed-python", "--no-project"]):
            done = self.system.run(uv, "python", *arguments, self.spec.python, environment=environment)
            if done.returncode:
                raise ReleaseError(
                    "install",
                    f"{where}, and uv could not bring it; a mirror can be named by UV_PYTHON_INSTALL_MIRROR in "
                    "release_build_environment",
                    tail(done.stdout + done.stderr),
                )
        return done.stdout.strip().splitlines()[-1]

    def uv(self) -> str:
        """The path of uv, fetched from the index once for all apps; "" when pip is to be used."""
        if self.uv_path is None:
            path = self.at.tools / f"uv-{UV_VERSION}" / "bin/uv"
            wanted = self.settings.installer == "uv"
            self.uv_path = str(path) if wanted and (path.exists() or self.fetch_uv(path.parent.parent)) else ""
        return self.uv_path

    def fetch_uv(self, target: Path) -> bool:
        """Get uv from the index with the distribution's pip, checked against its hashes; as root, for all apps."""
        fresh = target.with_name(f".uv.{os.getpid()}")
        fresh.mkdir(mode=0o755, parents=True)
        write(fresh / "requirements.txt", UV, 0o644)
        status, said = 1, "python3-venv, which brings pip, is not installed"
        environment = {**self.environment(), **ENVIRONMENT, "HOME": "/root"}
        for pip in sorted(PIP_WHEELS.glob("pip-*.whl"))[-1:]:
            done = self.system.run(
                "/usr/bin/python3", "-I", f"{pip}/pip", "--retries=1", "install", "--quiet", "--no-cache-dir",
                "--no-deps", "--only-binary=:all:", "--no-compile", "--require-hashes",
                f"--requirement={fresh}/requirements.txt", f"--target={fresh}", environment=environment,
            )  # fmt: skip
            status, said = done.returncode, done.stdout + done.stderr
        if status:
            self.warnings.append(f"uv could not be had, so pip installs (slower, same result): {tail(said, 1)}")
        else:
            with contextlib.suppress(OSError):  # another deploy was quicker
                os.rename(fresh, target)
            # Those of earlier versions of the collection; another deploy may be at work with one until it ends.
            older = [path for path in self.at.tools.glob("uv*") if path != target]
            trees.remove(*(path for path in older if path.stat().st_mtime < time.time() - 86400))
        trees.remove(fresh)
        return not status

    # --- the environment ----------------------------------------

    def recipe(self, code: Path) -> Recipe:
        """What the source asks for, and the server. Hashes are enforced where there are any."""
        server, extras = list(self.spec.requirements), ",".join(self.spec.extras)
        own = f".[{extras}]" if extras else "."
        if requirement := self.spec.source.get("package"):
            return Recipe([[requirement, *server]], [requirement, *server])
        if trees.is_file(code, "uv.lock") and self.settings.installer == "uv" and self.uv():
            calls = [self.exported(code), server]
            packaged = "[build-system]" in read(code, "pyproject.toml")
            if packaged:
                calls.append(["--no-deps", "."])
            return Recipe(calls, [read(code, "uv.lock"), extras, *server], own=packaged)
        if trees.is_file(code, "requirements.txt"):
            texts, local = requirement_files(code, "requirements.txt")
            more, inputs = ([own] if extras else []), [*texts, extras, *server]
            if any("--hash=" in text for text in texts):  # pip wants hashes for all of a call, or for none
                return Recipe(
                    [["--require-hashes", "-r", "requirements.txt"], [*more, *server]], inputs, local or bool(extras)
                )
            return Recipe([["-r", "requirements.txt", *more, *server]], inputs, local or bool(extras))
        if trees.is_file(code, "pyproject.toml"):
            return Recipe([[own, *server]], [extras, *server], own=True)
        raise ReleaseError(
            "install", "the source has neither requirements.txt, pyproject.toml nor uv.lock: add one that names Flask"
        )

    def exported(self, code: Path) -> list[str]:
        """The packages of uv.lock, as arguments for the installer."""
        path = self.scratch("lock") / "locked.txt"
        extras = [word for extra in self.spec.extras for word in ("--extra", extra)]
        status, said = self.as_app(
            "export", self.uv(), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project",
            "--python", self.python(), *extras, f"--output-file={path}", cwd=code,
        )  # fmt: skip
        if status:
            raise ReleaseError("install", "uv.lock could not be read", tail(said))
        return ["--no-deps", "-r", str(path)]

    def key(self, recipe: Recipe, commit: str) -> str:
        """The name of the environment that a recipe makes."""
        parts = [self.python_version(), recipe.inputs, commit if recipe.own else "", self.spec.wheels_tree]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def install(self, code: Path, commit: str) -> Path:
        """The environment that the code needs: one that is there already, or a new one."""
        recipe = self.recipe(code)
        venv = self.at.environments / self.key(recipe, commit)
        if is_whole(venv):
            return venv
        trees.remove(venv)
        self.at.environments.mkdir(mode=0o711, parents=True, exist_ok=True)
        venv.mkdir(mode=0o750)
        self.give(venv)
        command = [*self.make(venv), *self.only_wheels()]
        for arguments in recipe.calls:
            status, said = self.as_app("install", *command, *arguments, cwd=code)
            if status:
                hint = build_hint(self.spec.name, said)
                raise ReleaseError("install", f"the app's packages could not be installed{hint}", tail(said))
        self.compile(venv, venv / "lib")
        self.take(venv)
        (venv / "complete").touch()
        return venv

    def make(self, venv: Path) -> list[str]:
        """Make an empty environment; the command that installs into it.

        Without uv it gets the distribution's own pip: unpacking it takes a tenth of `ensurepip`.
        """
        python, uv = self.python(), self.uv()
        steps: list[tuple[str, ...]]
        install = [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile"]
        wheels = sorted(PIP_WHEELS.glob("pip-*.whl")) if not self.spec.python else []
        if uv:
            steps = [(uv, "venv", "--quiet", "--allow-existing", "--no-project", "--python", python, str(venv))]
            install = [uv, "pip", "install", "--quiet", "--python", f"{venv}/bin/python"]
        elif wheels:
            packages = f"{venv}/lib/python{self.python_version()}/site-packages"
            steps = [
                (python, "-m", "venv", "--without-pip", str(venv)),
                (python, "-m", "zipfile", "-e", str(wheels[-1]), packages),
            ]
        else:
            steps = [(python, "-m", "venv", str(venv))]
        for step in steps:
            status, said = self.as_app("venv", *step, cwd=venv)
            if status:
                raise ReleaseError("install", f"no virtual environment could be made with {python}", tail(said))
        return install

    def only_wheels(self) -> list[str]:
        """What keeps the installer to the wheels that the controller sent."""
        if not self.spec.wheels_archive:
            return []
        directory = self.scratch("wheels")
        wheels = os.open(self.spec.wheels_archive, os.O_RDONLY | os.O_NOFOLLOW)
        status, said = self.unpack(wheels, directory, strip=False)
        if status:
            raise ReleaseError("install", "the wheels could not be unpacked", tail(said))
        return ["--no-index", "--find-links", str(directory)]


def has_user(name: str) -> bool:
    """Whether the host has this account."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def is_own(path: Path) -> bool:
    """Whether a directory is this process's, and no link to one: what belongs to an app says nothing."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def is_whole(venv: Path) -> bool:
    """Whether an environment was built to its end; until then it belongs to the app, which could say anything."""
    return os.path.lexists(venv) and is_own(venv) and (venv / "complete").exists()


def read(code: Path, name: str) -> str:
    """A file of the source that says what to install; "" for one that cannot be read: the installer says it better."""
    try:
        return trees.read_text(code, name, MOST_REQUIREMENTS)
    except OSError:
        return ""


def pip_configuration(path: Path) -> dict[str, str]:
    """What the host's pip is told by its configuration file, as environment variables."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text())
    except (OSError, configparser.Error):
        return {}
    found = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            for key, value in parser.items(section):
                found[f"PIP_{key.upper().replace('-', '_')}"] = " ".join(value.split())
    return found


def requirement_files(code: Path, name: str, seen: frozenset[str] = frozenset()) -> tuple[list[str], bool]:
    """A requirements file with those it names, and whether they name code of the source itself."""
    path = os.path.normpath(name)
    if path in seen:
        return [], False
    text = read(code, path)
    texts, local = [text], False
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if match := re.match(r"(?:-r|-c|--requirement|--constraint)[ =]?(\S+)", " ".join(words)):
            inner = os.path.join(os.path.dirname(name), match[1])
            more, own = requirement_files(code, inner, seen | {path})
            texts, local = texts + more, local or own
        elif re.match(r"-e|--editable|\.|/|file:|[^=<>@]*/", words[0]) or re.search(r"@ *file:", line):
            local = True
    return texts, local


def build_hint(app: str, said: str) -> str:
    """Which apt packages a failed build asks for."""
    for pattern, packages in BUILD_HINTS:
        if re.search(pattern, said):
            return (
                f"; it has to compile: add {packages} to flask_apps.{app}.packages, unless its server asks for them "
                "itself, and run groundwork.flask.site"
            )
    return ""
