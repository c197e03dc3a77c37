# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running certbot: the distribution's or the one from PyPI, one at a time, and reading what it logs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from .ca import explain
from .config import MINUTE, HostOptions, Paths
from .messages import CertificateError
from .processes import CHOSEN, OUTPUT_LIMIT, run
from .pypi import PypiCertbot

CERTBOT = "/usr/bin/certbot"
CERTBOT_WAIT = 2 * MINUTE  # for another certbot to finish, which may be renewing several certificates
CERTBOT_TIMEOUT = 5 * MINUTE


class CertbotProgram:
    """The certbot of the distribution, or the one from PyPI."""

    def __init__(self, paths: Paths, options: HostOptions) -> None:
        self.paths, self.options = paths, options
        self.pypi = PypiCertbot(paths, options)

    @property
    def path(self) -> str:
        """The program that is run."""
        return str(self.pypi.program) if self.options.from_pypi else CERTBOT

    @property
    def shortcoming(self) -> CertificateError | None:
        """Why the installed certbot is not the configured one; None if it is."""
        return self.pypi.installed if isinstance(self.pypi.installed, CertificateError) else None

    def install(self) -> None:
        """Install certbot if it comes from PyPI; the distribution's is installed by the play.

        :raises CertificateError: there is no certbot that works.
        """
        if self.options.from_pypi:
            self.pypi.install()

    def attempt(self, *arguments: str, timeout: float = CERTBOT_TIMEOUT) -> CertificateError | None:
        """Run certbot; returns None if it succeeded, else an error in the CA's own words."""
        log_start = self.log_size()
        output, succeeded = self.launch([self.path, *arguments], timeout=timeout)
        return None if succeeded else explain(output, self.log_since(log_start), self.options.webroot)

    def launch(self, argv: Sequence[str], timeout: float = CERTBOT_TIMEOUT) -> tuple[str, bool]:
        """Run certbot once no other certbot runs; returns its output and whether it succeeded."""
        bundle = self.options.ca_bundle
        deadline = time.monotonic() + CERTBOT_WAIT
        while True:
            variables = {"REQUESTS_CA_BUNDLE": bundle} if bundle else {}
            result = run(*argv, timeout=timeout, environment=variables, sandbox=CHOSEN)
            output = f"{result.stdout}\n{result.stderr}"
            busy = "Another instance of Certbot is already running" in output
            if not busy or time.monotonic() > deadline:
                return output, result.returncode == 0
            time.sleep(2)

    def log_size(self) -> int:
        """Return the bytes in certbot's log, 0 if there is none."""
        path = self.paths.certbot_log
        return path.stat().st_size if path.exists() else 0

    def log_since(self, start: int) -> str:
        """Return what was logged since; the whole log if it was rotated in between."""
        try:
            with self.paths.certbot_log.open("rb") as log:
                size = os.fstat(log.fileno()).st_size
                log.seek(max(start if size >= start else 0, size - OUTPUT_LIMIT))
                return log.read(OUTPUT_LIMIT).decode(errors="replace")
        except OSError:
            return ""
