# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building: what runs third-party code to make a release, as the app's user, without the app's secrets and data.

Each step of it is a unit with a sandbox (``sandbox.py``). Root touches what they leave by ``trees.py`` alone.
"""

from __future__ import annotations

import configparser
import grp
import inspect
import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ..common import trees
from ..common.files import is_own_directory, make_directory
from ..common.on_host import on_host
from ..common.ownership import refusal
from ..common.systemd import Directives
from . import sandbox, unpack
from .context import Context
from .environment import CA_BUNDLE
from .errors import ReleaseError
from .steps import Step
from .units import web_service

PIP_CONFIGURATION = Path("/etc/pip.conf")
INSTALL_SECONDS = 1800
UNPACK = inspect.getsource(unpack)

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


class Builder:
    """Runs the steps of a build, and hands directories to them and back.

    :ivar own: the directories that the build may write to now.
    :ivar variables: environment variables of the steps that install, beside those that all have.
    :ivar readable: what these steps may read beside what all may.
    """

    def __init__(self, context: Context) -> None:
        self.spec, self.settings, self.system, self.at = context.spec, context.settings, context.system, context.at
        self.deploy_key = context.deploy_key
        self.own: list[Path] = []
        self.variables: dict[str, str] = {}
        self.readable: list[Path] = []
        self.sandboxes: dict[str, Directives] = {}

    def prepare(self) -> None:
        """Make what a build needs: caches of its own, one for what is fetched and one for what is installed.

        They are apart so that what runs at an installation cannot change the source that is fetched next time.
        """
        owner = self.system.ownership(self.spec.name, self.at.root)
        if conflicts := owner.conflicts():
            raise ReleaseError("fetch", refusal(f"flask_apps.{self.spec.name}", conflicts))
        if owner.account is None:
            raise ReleaseError(
                "fetch", f"there is no account {self.spec.name} on this host: run groundwork.flask.site first"
            )
        cache = self.at.build_cache
        make_directory(cache.parent)
        if os.path.lexists(cache) and not is_own_directory(cache):
            trees.remove(cache)
        make_directory(cache, 0o711)
        for path in (self.at.source_cache, self.at.package_cache):
            if not path.exists():
                make_directory(path, 0o700)
                self.chown(path)

    def scratch(self, name: str) -> Path:
        """An empty directory for what only the build needs; the engine clears it away."""
        path = self.at.releases / f".{name}"
        trees.remove(path)
        make_directory(self.at.releases, 0o711)
        make_directory(path, 0o700)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Let the build write here."""
        self.chown(path)
        self.own.append(path)

    def chown(self, path: Path) -> None:
        """Make a directory the app's."""
        account = pwd.getpwnam(self.spec.name)
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def take(self, path: Path, files_only: bool = False) -> None:
        """Make a tree root's, readable by the app alone."""
        self.own.remove(path)
        trees.take(path, os.geteuid(), pwd.getpwnam(self.spec.name).pw_gid, files_only)

    def app_sandbox(self, release: str) -> Directives:
        """Return the sandbox that the unit of the app's server states. ReleaseError if there is no such unit."""
        if release not in self.sandboxes:
            unit = web_service(self.spec.name, release or "none")
            shown = self.system.systemctl("cat", unit)
            if shown.returncode:
                named = web_service(self.spec.name, release)  # of the first release, which has no id yet, the template
                raise ReleaseError("fetch", f"the unit {named} is not on this host: run groundwork.flask.site first")
            self.sandboxes[release] = sandbox.of_unit(shown.stdout, release)
        return self.sandboxes[release]

    def execute(
        self,
        name: str,
        *argv: str,
        cwd: Path,
        seconds: float = INSTALL_SECONDS,
        stdin: IO[Any] | None = None,
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
        readable: Sequence[Path] = (),
    ) -> tuple[int, str]:
        """Run a step of the build; its exit status and output.

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
        stdin: IO[Any] | None = None,
        environment: Mapping[str, str] | None = None,
        cache: Path | None = None,
        readable: Sequence[Path] = (),
    ) -> Step:
        """A step of the build, see :meth:`execute`."""
        writable = [*(path for path in self.own if path.exists()), cache or self.at.package_cache]
        fetches = cache == self.at.source_cache
        more = readable if fetches else [*readable, *self.readable]
        confined = sandbox.for_build(self.app_sandbox(""), writable, [self.at.home, *more])
        if fetches:
            confined.append(("RestrictAddressFamilies", "AF_UNIX"))
        variables = {**self.environment(), **({} if fetches else self.variables), **(environment or {})}
        return Step(self.spec.name, name, argv, confined, variables, str(cwd), seconds, stdin, build_group())

    def unpack(self, packed: int, directory: Path, strip: bool) -> tuple[int, str]:
        """Unpack a tar or zip archive that is open for reading; the step could not read where it lies."""
        with open(packed, "rb") as archive:
            how = "strip" if strip else "as it is"
            return self.execute("unpack", "/usr/bin/python3", "-I", "-c", UNPACK, how, cwd=directory, stdin=archive)

    def compile(self, venv: Path, directory: Path) -> None:
        """Compile the Python files of a tree while the app's user can still write to it."""
        self.execute("compile", f"{venv}/bin/python", "-I", "-c", COMPILE, cwd=directory)

    def environment(self) -> dict[str, str]:
        """The environment of the build: the system's certificates, a cache, an index, and no secret of the app."""
        pip = {**pip_configuration(PIP_CONFIGURATION), **self.settings.build}
        cache = self.at.package_cache
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            # Each step has a /tmp of its own: what one leaves in its home directory configures no other.
            "HOME": "/tmp",  # noqa: S108 - the step's own
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


def build_group() -> str:
    """The group that builds run as, by which the rules for outgoing connections tell them from the app.

    Empty on a host without it: there a build may connect to what the app may.
    """
    name = on_host("build_group")
    try:
        grp.getgrnam(name)
    except KeyError:
        return ""
    return name


def pip_configuration(path: Path) -> dict[str, str]:
    """The settings in the configuration file of the host's pip, as environment variables."""
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
