# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certbot from PyPI, in a virtual environment of its own.

The program installs it, and not a task of the role. So an index that is down fails no play and is tried again by the
timer, a new Python of the host gets a new environment without a play, and the old certbot renews until a new one runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .config import MINUTE, HostOptions, Paths
from .messages import QUOTE_LIMIT, CertificateError, one_line, say
from .processes import CHOSEN, run

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
PYTHON = ("/usr/bin/python3", "-I")
INSTALL_TIMEOUT = 10 * MINUTE
REMEDY_INSTALL = (
    "Let this host reach the index, or name another one in /etc/pip.conf or certificate_install_environment; "
    "the next attempt installs it."
)
REMEDY_HASHES = (
    "The index gives something else than was published: find out why before you trust it, and name another index in "
    "/etc/pip.conf or certificate_install_environment."
)


class PypiCertbot:
    """Certbot from PyPI. A symlink leads to its environment, and is replaced once the certbot in a new one runs.

    :ivar installed: whether this run has installed it; an error if it could not. An older certbot may still work then.
    """

    def __init__(self, paths: Paths, options: HostOptions) -> None:
        self.paths, self.options = paths, options
        self.link = paths.certbot
        self.installed: CertificateError | bool = False

    @property
    def program(self) -> Path:
        """The program in the environment in use."""
        return self.link / "bin/certbot"

    @property
    def target(self) -> Path:
        """The environment for the requirements of today and this Python; both are part of its name."""
        python = ".".join(map(str, sys.version_info[:3]))
        pinned = [self.paths.pinned.read_text()] if self.options.pinned else []
        key = hashlib.sha256("\n".join([*pinned, *sorted(self.options.requirements), python]).encode()).hexdigest()[:12]
        return self.link.with_name(f"certbot-{key}")

    def install(self) -> None:
        """Install it if the requirements or Python have changed.

        :raises CertificateError: that failed, and there is no older certbot that works.
        """
        target = self.target
        if self.installed is True or self.leads_to(target):
            return
        if self.installed is False:
            self.installed = self.try_to_make(target)
        if isinstance(self.installed, CertificateError):
            if not self.program.exists():
                raise self.installed
            return
        self.turn(target)

    def leads_to(self, target: Path) -> bool:
        """Whether this environment is the one in use."""
        return self.link.is_symlink() and os.readlink(self.link) == target.name and self.program.exists()

    def try_to_make(self, target: Path) -> CertificateError | bool:
        """Make the environment; returns True, or the error."""
        try:
            self.make(target)
        except CertificateError as error:
            shutil.rmtree(target, ignore_errors=True)
            if self.program.exists():
                say(f"the installed certbot stays in use: {error}", "warning")
            return error
        return True

    def turn(self, target: Path) -> None:
        """Point the symlink at the environment in one step, and remove the others."""
        temporary = self.link.with_name(".certbot.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target.name)
        temporary.rename(self.link)
        for old in self.link.parent.glob("certbot-*"):
            if old != target:
                shutil.rmtree(old, ignore_errors=True)

    def make(self, target: Path) -> None:
        """Make the environment.

        A pinned requirement is installed only with the right hash, and none of its code runs for that. What the user
        chose is installed as the index gives it, unless it has hashes; pip then requires them of all that is missing.

        :raises CertificateError: anything of it cannot be installed.
        """
        chosen, environment = self.options.requirements, self.environment()
        say("installing certbot from PyPI")
        shutil.rmtree(target, ignore_errors=True)
        install = (f"{target}/bin/python3", "-I", "-m", "pip", "install", "--quiet", "--no-cache-dir")
        self.step("venv", (*PYTHON, "-m", "venv", str(target)), environment)
        if self.options.pinned:
            hashed = ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(self.paths.pinned))
            self.step("pip", (*install, *hashed), environment)
        if chosen:
            say(f"not pinned by this collection, so taken as the index gives it: {', '.join(chosen)}", "warning")
            listed = target / "chosen.txt"
            listed.write_text("\n".join(chosen) + "\n")
            self.step("pip", (*install, "-r", str(listed)), environment)
        self.step("certbot", (f"{target}/bin/certbot", "--version"), environment)

    def environment(self) -> dict[str, str]:
        """Return the environment variables of pip, with those that the user set for it."""
        path = self.paths.install_environment
        return {
            "PIP_CERT": CA_BUNDLE,
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            **(json.loads(path.read_text()) if path.exists() else {}),
        }

    @staticmethod
    def step(name: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run one step of the installation.

        :raises CertificateError: it failed, with the reason.
        """
        done = run(*argv, timeout=INSTALL_TIMEOUT, environment=environment, sandbox=CHOSEN)
        if done.returncode:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            reason = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "")
            tampered = "DO NOT MATCH THE HASHES" in reason
            raise CertificateError(
                f"certbot could not be installed from PyPI: {name}: {one_line(reason, QUOTE_LIMIT)}",
                REMEDY_HASHES if tampered else REMEDY_INSTALL,
            )
