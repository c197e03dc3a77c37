# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interpreter of a release, and uv, which installs for all apps of the host."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

from ..common import trees
from ..common.files import make_directory, write
from ..common.programs import ENVIRONMENT
from .build import INSTALL_SECONDS, Builder
from .context import Context
from .errors import ReleaseError, tail
from .pins import UV, UV_VERSION

PIP_WHEELS = Path("/usr/share/python-wheels")  # Debian's and Ubuntu's pip for virtual environments


class PythonTools:
    """Finds or fetches Python and uv."""

    def __init__(self, context: Context, builder: Builder) -> None:
        self.context, self.builder = context, builder
        self.spec, self.system, self.tools = context.spec, context.system, context.at.tools
        self.uv_path: str | None = None

    def version(self) -> str:
        """``3.11`` and the like: an environment is bound to the minor version."""
        return self.spec.python or re.sub(r"^.*python", "", os.path.realpath("/usr/bin/python3"))

    def path(self) -> str:
        """The interpreter's path: the host's, or one that uv brings. ReleaseError if there is neither."""
        name = f"python{self.spec.python}" if self.spec.python else "python3"
        if path := shutil.which(name, path="/usr/local/bin:/usr/bin"):
            return path
        where = f"flask_apps.{self.spec.name}.python: {self.spec.python!r} is not on this host"
        uv = self.uv()
        if not uv:
            raise ReleaseError("install", f"{where}: install {name} and {name}-venv, or let uv bring it")
        pythons = self.tools / "python"
        make_directory(pythons)
        # As root, so that no app can change what others run.
        environment = {
            **self.builder.environment(),
            "HOME": "/root",
            "PATH": ENVIRONMENT["PATH"],
            "UV_NO_CONFIG": "1",
            "UV_CACHE_DIR": str(self.tools / "cache"),
            "UV_PYTHON_INSTALL_DIR": str(pythons),
            "UV_PYTHON_DOWNLOADS": "automatic",
        }
        for arguments in (["install", "--quiet", "--no-bin"], ["find", "--managed-python", "--no-project"]):
            command = (uv, "python", *arguments, self.spec.python)
            done = self.system.run(*command, environment=environment, seconds=INSTALL_SECONDS)
            if done.returncode:
                raise ReleaseError(
                    "install",
                    f"{where}, and uv could not bring it; a mirror can be named by UV_PYTHON_INSTALL_MIRROR in "
                    "release_build_environment",
                    tail(done.stdout + done.stderr),
                )
        return done.stdout.strip().splitlines()[-1]

    def uv(self) -> str:
        """The path of uv, fetched from the index once for all apps; "" when pip is to be used.

        That is so where pip is asked for, where the index has no uv, as a private one may, and on Debian's armel and
        mips64el, for which there are no wheels of uv.
        """
        if self.uv_path is None:
            path = self.tools / f"uv-{UV_VERSION}" / "bin/uv"
            wanted = self.context.settings.installer == "uv"
            self.uv_path = str(path) if wanted and (path.exists() or self.fetch_uv(path.parent.parent)) else ""
        return self.uv_path

    def fetch_uv(self, target: Path) -> bool:
        """Get uv from the index with the distribution's pip, checked against its hashes; as root, for all apps."""
        fresh = target.with_name(f".uv.{os.getpid()}")
        make_directory(fresh)
        write(fresh / "requirements.txt", UV, 0o644)
        status, output = 1, "python3-venv, which brings pip, is not installed"
        environment = {**self.builder.environment(), **ENVIRONMENT, "HOME": "/root"}
        for pip in pip_wheels()[-1:]:
            done = self.system.run(
                "/usr/bin/python3", "-I", f"{pip}/pip", "--retries=1", "install", "--quiet", "--no-cache-dir",
                "--no-deps", "--only-binary=:all:", "--no-compile", "--require-hashes",
                f"--requirement={fresh}/requirements.txt", f"--target={fresh}", environment=environment,
                seconds=INSTALL_SECONDS,
            )  # fmt: skip
            status, output = done.returncode, done.stdout + done.stderr
        if status:
            self.context.notices.append(
                f"uv could not be fetched, so pip installs (slower, same result): {tail(output, 1)}"
            )
        else:
            with contextlib.suppress(OSError):  # another deploy was quicker
                os.rename(fresh, target)
            # Those of earlier versions of the collection; another deploy may be at work with one until it ends.
            older = [path for path in self.tools.glob("uv*") if path != target]
            trees.remove(*(path for path in older if path.stat().st_mtime < time.time() - 86400))
        trees.remove(fresh)
        return not status


def pip_wheels() -> list[Path]:
    """The distribution's pip, as a wheel that runs without being installed; the newest one last."""
    return sorted(PIP_WHEELS.glob("pip-*.whl"))
