# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building: what runs strangers' code to make a release, always as the app's user and without the app's secrets."""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import json
import os
import pwd
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import source
from .host import Host
from .layout import Layout, ReleaseError, Settings, Spec, tail

PIP_WHEELS = Path("/usr/share/python-wheels")  # Debian's and Ubuntu's pip for virtual environments
PIP_CONFIGURATION = Path("/etc/pip.conf")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
UV = "uv>=0.9,<1"
INSTALL_SECONDS = 1800

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

    def __init__(self, spec: Spec, settings: Settings, host: Host, at: Layout, deploy_key: str = "") -> None:
        self.spec, self.settings, self.host, self.at, self.deploy_key = spec, settings, host, at, deploy_key
        self.warnings: list[str] = []
        self.uv_path: str | None = None

    def prepare(self) -> None:
        """Make what a build needs: a cache of its own."""
        if not has_user(self.spec.name):
            raise ReleaseError(
                "fetch", f"there is no account {self.spec.name} on this host: run groundwork.flask.site first"
            )
        self.at.build_cache.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not self.at.build_cache.exists():
            self.at.build_cache.mkdir(mode=0o700)
            self.give(self.at.build_cache)

    def scratch(self, name: str) -> Path:
        """An empty directory for what only the build needs; the engine clears it away."""
        path = self.at.releases / f".{name}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Let the app's user write here."""
        shutil.chown(path, self.spec.name, self.spec.name)

    def take(self, path: Path) -> None:
        """Make a tree root's, readable by the app alone."""
        self.host.run("chown", "-hR", f"root:{self.spec.name}", str(path))

    def as_app(
        self,
        *command: str,
        cwd: Path,
        seconds: float = INSTALL_SECONDS,
        stdin: Any = None,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Run a command of the build."""
        return self.host.run_as(
            self.spec.name, command, {**self.environment(), **(environment or {})}, str(cwd), seconds, stdin
        )

    def unpack(self, packed: str, directory: Path, strip: bool) -> tuple[int, str]:
        """Unpack a tar or zip archive, as the app's user. He cannot read where it lies, so he gets it on stdin."""
        with open(os.open(packed, os.O_RDONLY | os.O_NOFOLLOW), "rb") as archive:
            how = "strip" if strip else "as it is"
            return self.as_app("/usr/bin/python3", "-c", source.UNPACK, how, cwd=directory, stdin=archive)

    def environment(self) -> dict[str, str]:
        """The environment of the build: the system's certificates, a cache, an index, and no secret of the app."""
        pip = {**pip_configuration(PIP_CONFIGURATION), **self.settings.build}
        cache = self.at.build_cache
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(cache),
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
        self.host.run("mkdir", "-p", str(pythons))
        # As root, so that no app can change what others run.
        environment = {**self.environment(), "UV_PYTHON_INSTALL_DIR": str(pythons), "UV_PYTHON_DOWNLOADS": "automatic"}
        environment.update(HOME="/root", UV_CACHE_DIR=str(self.at.tools / "cache"))
        for arguments in (["install", "--quiet", "--no-bin"], ["find", "--managed-python", "--no-project"]):
            status, said = self.host.run_as(
                "root", (uv, "python", *arguments, self.spec.python), environment, "/", INSTALL_SECONDS
            )
            if status:
                raise ReleaseError(
                    "install",
                    f"{where}, and uv could not bring it; a mirror can be named by UV_PYTHON_INSTALL_MIRROR in "
                    "release_build_environment",
                    tail(said),
                )
        return said.strip().splitlines()[-1]

    def uv(self) -> str:
        """The path of uv, fetched from the index once for all apps; "" when pip is to be used."""
        if self.uv_path is None:
            path = self.at.tools / "uv/bin/uv"
            wanted = self.settings.installer == "uv"
            self.uv_path = str(path) if wanted and (path.exists() or self.fetch_uv(path.parent.parent)) else ""
        return self.uv_path

    def fetch_uv(self, target: Path) -> bool:
        """Get uv from the index with the distribution's pip; as root, so that no app can change what others run."""
        fresh = target.with_name(f"uv.{os.getpid()}")
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        status, said = 1, "python3-venv, which brings pip, is not installed"
        for pip in sorted(PIP_WHEELS.glob("pip-*.whl"))[-1:]:
            command = ("/usr/bin/python3", f"{pip}/pip", "--retries=1", "install", "--quiet", "--no-cache-dir")
            status, said = self.host.run_as(
                "root",
                (*command, "--no-deps", "--only-binary=:all:", "--no-compile", f"--target={fresh}", UV),
                {**self.environment(), "HOME": "/root"}, "/", INSTALL_SECONDS,
            )  # fmt: skip
        if status:
            self.warnings.append(f"uv could not be had, so pip installs (slower, same result): {tail(said, 1)}")
        else:
            with contextlib.suppress(OSError):  # another deploy was quicker
                os.rename(fresh, target)
        shutil.rmtree(fresh, ignore_errors=True)
        return not status

    # --- the environment ----------------------------------------

    def recipe(self, code: Path) -> Recipe:
        """What the source asks for, and the server. Hashes are enforced where there are any."""
        server, extras = list(self.spec.requirements), ",".join(self.spec.extras)
        own = f".[{extras}]" if extras else "."
        if requirement := self.spec.source.get("package"):
            return Recipe([[requirement, *server]], [requirement, *server])
        lock, project = code / "uv.lock", code / "pyproject.toml"
        if lock.is_file() and self.settings.installer == "uv" and self.uv():
            calls = [self.exported(code), server]
            packaged = "[build-system]" in project.read_text(errors="replace")
            if packaged:
                calls.append(["--no-deps", "."])
            return Recipe(calls, [lock.read_text(), extras, *server], own=packaged)
        if (code / "requirements.txt").is_file():
            texts, local = requirement_files(code, "requirements.txt")
            more, inputs = ([own] if extras else []), [*texts, extras, *server]
            if any("--hash=" in text for text in texts):  # pip wants hashes for all of a call, or for none
                return Recipe(
                    [["--require-hashes", "-r", "requirements.txt"], [*more, *server]], inputs, local or bool(extras)
                )
            return Recipe([["-r", "requirements.txt", *more, *server]], inputs, local or bool(extras))
        if project.is_file():
            return Recipe([[own, *server]], [extras, *server], own=True)
        raise ReleaseError(
            "install", "the source has neither requirements.txt, pyproject.toml nor uv.lock: add one that names Flask"
        )

    def exported(self, code: Path) -> list[str]:
        """The packages of uv.lock, as arguments for the installer."""
        path = self.scratch("lock") / "locked.txt"
        extras = [word for extra in self.spec.extras for word in ("--extra", extra)]
        status, said = self.as_app(
            self.uv(), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--python", self.python(),
            *extras, f"--output-file={path}", cwd=code,
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
        if (venv / "complete").exists():
            return venv
        shutil.rmtree(venv, ignore_errors=True)
        self.at.environments.mkdir(mode=0o711, parents=True, exist_ok=True)
        venv.mkdir(mode=0o750)
        self.give(venv)
        command = [*self.make(venv), *self.only_wheels()]
        for arguments in recipe.calls:
            status, said = self.as_app(*command, *arguments, cwd=code)
            if status:
                hint = build_hint(self.spec.name, said)
                raise ReleaseError("install", f"the app's packages could not be installed{hint}", tail(said))
        self.as_app(f"{venv}/bin/python", "-m", "compileall", "-q", "-j", "0", f"{venv}/lib", cwd=venv)
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
            status, said = self.as_app(*step, cwd=venv)
            if status:
                raise ReleaseError("install", f"no virtual environment could be made with {python}", tail(said))
        return install

    def only_wheels(self) -> list[str]:
        """What keeps the installer to the wheels that the controller sent."""
        if not self.spec.wheels_archive:
            return []
        directory = self.scratch("wheels")
        status, said = self.unpack(self.spec.wheels_archive, directory, strip=False)
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
    path = os.path.normpath(code / name)
    if path in seen:
        return [], False
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return [], False  # the installer says it better
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
